"""All of MNIST, binarised: the run of gate 2, bound of K = 5 samples.

jaxgen train configs/image_iwae_mnist.py --download

Beside image_vae_mnist in benchmarks/results/quality/image_vae-seed*.json, of three seeds.
"""

from jaxgen.config import Adam, Config, ConvVAE, Loop, Variational


def get_config() -> Config:
    return Config(
        domain="image",
        model=ConvVAE(z_dim=40, widths=(16, 24), hidden=256),
        game=Variational(
            likelihood="bernoulli",
            binarise=True,
            samples=5,
            tx=Adam(lr=4e-3, b1=0.9, weight_decay=0.05, warmup=1000, decay=30_000, nesterov=True),
            ema_decay=0.9995,
        ),
        data="mnist",
        batch=64,  # more updates from the same examples: better than 128 at equal cost for the MLP VAE
        loop=Loop(steps=30_000, log_every=1000, save_every=10_000, sample_every=10_000, keep=2),
    )
