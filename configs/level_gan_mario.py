"""14x28 windows of Super Mario Bros levels (VGLC): the first run of gate 13.

jaxgen train configs/level_gan_mario.py --data "path/to/Super Mario Bros/Processed"

Results of three seeds: benchmarks/results/quality/level_gan-seed*.json.
"""

from jaxgen.config import Adam, Adversarial, Config, Loop, Residual


def get_config() -> Config:
    return Config(
        domain="levels/mario",
        model=Residual(z_dim=64, gen=(128, 64), disc=(128, 64), temperature=4.0),
        game=Adversarial(
            loss="relativistic",
            gen=Adam(lr=5e-4, b1=0.0, b2=0.99),
            disc=Adam(lr=5e-4, b1=0.0, b2=0.99),
            penalty="r1+r2",
            penalty_weight=0.3,
            penalty_every=8,
        ),
        data="vglc",
        shape=(14, 28, 13),
        batch=32,
        loop=Loop(steps=2000, sample_every=1000, save_every=500),
    )
