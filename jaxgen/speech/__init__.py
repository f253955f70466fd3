"""Speech: waveforms, their log-mel spectrograms, and files and pictures of them."""
