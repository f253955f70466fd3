"""28x28 digits: the article's MLP pair with a paired relativistic loss and lazy R1 + R2 penalties.

jaxgen train configs/digits_gan.py

Results of one run: benchmarks/results/defaults/digits_gan.json.
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
        ),
        loop=Loop(steps=4000),
    )
