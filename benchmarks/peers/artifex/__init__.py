"""The same systems in avitai-artifex, a library of GANs and VAEs on Flax NNX."""
