"""10x10 rooms of Sokoban (Boxoban, unfiltered): the second run of gate 13.

jaxgen train configs/level_gan_sokoban.py --data path/to/boxoban/unfiltered

Results of three seeds: benchmarks/results/quality/level_gan-seed*.json.
"""

from jaxgen.config import Adam, Adversarial, Config, Loop, Residual


def get_config() -> Config:
    return Config(
        domain="levels/sokoban",
        model=Residual(z_dim=64, gen=(128, 64), disc=(128, 64), placed="@$$$$....", temperature=4.0),
        game=Adversarial(
            loss="relativistic",
            gen=Adam(lr=5e-4, b1=0.0, b2=0.99),
            disc=Adam(lr=5e-4, b1=0.0, b2=0.99),
            penalty="r1+r2",
            penalty_weight=0.05,
            penalty_every=8,
            ema_decay=0.9995,
        ),
        data="boxoban",
        shape=(10, 10, 7),
        batch=32,
        loop=Loop(steps=4000, sample_every=1000, save_every=1000),
    )
