"""All of MNIST, binarised: the run of gate 2.

jaxgen train configs/image_vae_mnist.py --download
"""

from jaxgen.config import MLPVAE, Adam, Config, Loop, Variational


def get_config() -> Config:
    return Config(
        domain="image",
        model=MLPVAE(z_dim=40, widths=(512, 512)),
        game=Variational(
            likelihood="bernoulli", binarise=True, tx=Adam(lr=1e-3, b1=0.9, decay=40_000), ema_decay=0.9995
        ),
        data="mnist",
        loop=Loop(steps=40_000, log_every=1000, save_every=10_000, sample_every=10_000),
    )
