"""From log-mel spectrograms to waveforms, 8,000 samples a second, of six voices (Free Spoken Digit Dataset): the
vocoder of gate 11.

jaxgen train configs/vocoder_fsdd.py --data path/to/recordings.zip

8 minutes on one shared core of an EPYC. Held-out recordings, seed 0 (Griffin-Lim with 60 iterations): multi-resolution
STFT 0.882 (0.955), mel-cepstral distortion 0.644 dB (0.673), PESQ 3.66 (3.41), STOI 0.978 (0.969). Tables:
benchmarks/results/quality/vocoder-seed*.json.
"""

from jaxgen.config import Adam, Config, Loop, Paired, Vocoder


def get_config() -> Config:
    return Config(
        domain="speech/vocoder",
        model=Vocoder(width=128, blocks=4),
        game=Paired(
            loss="least_squares",
            gen=Adam(lr=1e-3, b1=0.8, b2=0.99, decay=840),
            disc=Adam(lr=1e-3, b1=0.8, b2=0.99, decay=840),
            l1=100.0,
            matching=2.0,
        ),
        data="recordings.zip",
        shape=(4096,),
        batch=16,
        loop=Loop(steps=800, sample_every=400, save_every=400),
    )
