"""28x28 digits by class: DCGAN with spectral norm in the critic and the hinge loss.

jaxgen train configs/digits_dcgan.py

So few steps make bold strokes; more are needed for fine ones. Results of one run:
benchmarks/results/defaults/digits_dcgan.json.
"""

from jaxgen.config import Adam, Adversarial, Config, Conv, Loop


def get_config() -> Config:
    return Config(
        domain="digits",
        model=Conv(z_dim=100, width=32, layers=2, spectral_norm=True),
        game=Adversarial(loss="hinge", gen=Adam(lr=2e-4, b1=0.5), disc=Adam(lr=2e-4, b1=0.5), classes=10),
        loop=Loop(steps=2000, sample_every=500, save_every=500),
    )
