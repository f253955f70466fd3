"""28x28 binarised digits: the VAE of image_vae.py on the importance-weighted bound with K = 5.

jaxgen train configs/image_iwae.py
"""

from jaxgen.config import MLPVAE, Adam, Config, Loop, Variational


def get_config() -> Config:
    return Config(
        domain="image",
        model=MLPVAE(z_dim=40, widths=(512, 512)),
        game=Variational(likelihood="bernoulli", binarise=True, samples=5, tx=Adam(lr=1e-3, b1=0.9, decay=10_000)),
        loop=Loop(steps=10_000, save_every=2000, sample_every=2000),
    )
