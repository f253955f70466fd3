"""All of MNIST, the MLP pair of digits_gan.py: the run of gate 1.

jaxgen train configs/digits_gan_mnist.py --download

Results of three seeds: benchmarks/results/quality/digits_gan-seed*.json.
"""

from jaxgen.config import MLP, Adam, Adversarial, Config, Loop


def get_config() -> Config:
    return Config(
        domain="digits",
        model=MLP(z_dim=100, gen=(256, 512, 1024), disc=(1024, 512, 256), dropout=0.3),
        game=Adversarial(
            loss="relativistic",
            gen=Adam(lr=5e-4, b1=0.5),
            disc=Adam(lr=5e-4, b1=0.5),
            penalty="r1+r2",
            penalty_weight=0.1,
            penalty_every=16,
            ema_decay=0.9998,  # a constant rate and a long average; with a cosine and 0.999, density stays at 0.73
        ),
        data="mnist",
        batch=256,
        loop=Loop(steps=27_000, log_every=1000, save_every=3000, sample_every=3000, keep=2),
    )
