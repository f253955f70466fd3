"""28x28 binarised digits: an MLP VAE with Bernoulli likelihood.

jaxgen train configs/image_vae.py

Results of one run: benchmarks/results/defaults/image_vae.json.
"""

from jaxgen.config import MLPVAE, Adam, Config, Loop, Variational


def get_config() -> Config:
    return Config(
        domain="image",
        model=MLPVAE(z_dim=40, widths=(512, 512)),
        game=Variational(likelihood="bernoulli", binarise=True, tx=Adam(lr=1e-3, b1=0.9, decay=10_000)),
        loop=Loop(steps=10_000, save_every=2000, sample_every=2000),
    )
