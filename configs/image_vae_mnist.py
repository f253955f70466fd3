"""All of MNIST, binarised: the run of gate 2.

jaxgen train configs/image_vae_mnist.py --download

8 minutes on one CPU core of a busy machine. Result, seed 0: NLL 86.36 nats on the 10,000 test digits, 25 latents active
(benchmarks/results/quality).
"""

from jaxgen.config import MLPVAE, Adam, Config, Loop, Variational


def get_config() -> Config:
    return Config(
        domain="image",
        model=MLPVAE(z_dim=40, widths=(512, 512)),
        game=Variational(
            likelihood="bernoulli",
            binarise=True,
            beta_warmup=5000,
            tx=Adam(lr=2e-3, b1=0.9, warmup=1000, decay=80_000),
            ema_decay=0.9995,
        ),
        data="mnist",
        batch=64,  # more updates from the same examples: 0.8 nats better than 128 at equal cost
        loop=Loop(steps=80_000, log_every=1000, save_every=20_000, sample_every=20_000, keep=2),
    )
