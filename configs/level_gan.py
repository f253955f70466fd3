"""16x16 maps of crafter, an open-world game: tiles by a residual GAN.

jaxgen train configs/level_gan.py

Maps as they come, looked at: benchmarks/results/pictures/level_gan-crafter.png.
"""

from jaxgen.config import Adam, Adversarial, Config, Loop, Residual


def get_config() -> Config:
    return Config(
        domain="levels/crafter",
        model=Residual(z_dim=64, gen=(128, 64), disc=(128, 64), temperature=4.0),
        game=Adversarial(
            loss="relativistic",
            gen=Adam(lr=5e-4, b1=0.0, b2=0.99),
            disc=Adam(lr=5e-4, b1=0.0, b2=0.99),
            penalty="r1+r2",
            penalty_weight=0.3,
            penalty_every=8,
        ),
        data="crafter_maps",
        shape=(16, 16, 10),
        batch=32,
        loop=Loop(steps=3000, sample_every=1000, save_every=1000),
    )
