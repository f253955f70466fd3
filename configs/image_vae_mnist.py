"""All of MNIST, binarised: the run of gate 2.

jaxgen train configs/image_vae_mnist.py --download

4.5 minutes on one CPU core. Result, seeds 0 to 2: NLL 85.11, 85.37 and 85.40 nats on the 10,000 test digits, 18 or 19
latents active (benchmarks/results/quality).
"""

from jaxgen.config import Adam, Config, ConvVAE, Loop, Variational


def get_config() -> Config:
    return Config(
        domain="image",
        model=ConvVAE(z_dim=40, widths=(16, 24), hidden=256),
        game=Variational(
            likelihood="bernoulli",
            binarise=True,
            tx=Adam(lr=4e-3, b1=0.9, weight_decay=0.05, warmup=1000, decay=30_000, nesterov=True),
            ema_decay=0.9995,
        ),
        data="mnist",
        batch=64,  # more updates from the same examples: better than 128 at equal cost for the MLP VAE
        loop=Loop(steps=30_000, log_every=1000, save_every=10_000, sample_every=10_000, keep=2),
    )
