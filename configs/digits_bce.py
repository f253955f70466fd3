"""28x28 digits: the article's GAN as it stands, binary cross-entropy and no penalty.

jaxgen train configs/digits_bce.py

A class is lost, which digits_gan.py is there to mend. Results of one run:
benchmarks/results/defaults/digits_bce.json.
"""

from jaxgen.config import MLP, Adam, Adversarial, Config, Loop


def get_config() -> Config:
    return Config(
        domain="digits",
        model=MLP(z_dim=100, gen=(256, 512, 1024), disc=(1024, 512, 256), dropout=0.3),
        game=Adversarial(loss="nonsaturating", gen=Adam(lr=2e-4, b1=0.5), disc=Adam(lr=2e-4, b1=0.5)),
        loop=Loop(steps=4000),
    )
