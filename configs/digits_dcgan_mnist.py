"""All of MNIST by class, DCGAN at its published width. For accelerators.

jaxgen train configs/digits_dcgan_mnist.py --download

Not run to its end yet.
"""

from jaxgen.config import Adam, Adversarial, Config, Conv, Loop


def get_config() -> Config:
    return Config(
        domain="digits",
        model=Conv(z_dim=100, width=128, layers=2, spectral_norm=True),
        game=Adversarial(loss="hinge", gen=Adam(lr=2e-4, b1=0.5), disc=Adam(lr=2e-4, b1=0.5), classes=10),
        data="mnist",
        batch=256,
        precision="bf16",
        loop=Loop(steps=50_000, steps_per_call=100, log_every=1000, save_every=5000, sample_every=5000),
    )
