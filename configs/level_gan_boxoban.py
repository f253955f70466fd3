"""10x10 rooms of Sokoban at a width and batch for accelerators, on all of Boxoban.

jaxgen train configs/level_gan_boxoban.py --data path/to/boxoban/unfiltered

Not run to its end yet.
"""

from jaxgen.config import Adam, Adversarial, Config, Loop, Residual


def get_config() -> Config:
    return Config(
        domain="levels/sokoban",
        model=Residual(z_dim=128, gen=(512, 256), disc=(512, 256), blocks=(4,), placed="@$$$$....", temperature=4.0),
        game=Adversarial(
            loss="relativistic",
            gen=Adam(lr=2e-4, b1=0.0, b2=0.99),
            disc=Adam(lr=2e-4, b1=0.0, b2=0.99),
            penalty="r1+r2",
            penalty_weight=0.05,
            penalty_every=4,
            ema_decay=0.9998,
        ),
        data="boxoban",
        shape=(10, 10, 7),
        batch=512,
        precision="bf16",
        loop=Loop(steps=100_000, steps_per_call=100, log_every=1000, save_every=10_000, sample_every=10_000),
    )
