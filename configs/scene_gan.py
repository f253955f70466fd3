"""64x64 scenes of the game Crafter from maps of what lies where: half of gate 10.

jaxgen train configs/scene_gan.py

Results of three seeds: benchmarks/results/quality/scene_gan-seed*.json.
"""

from jaxgen.config import Adam, Config, Loop, Paired, Spade


def get_config() -> Config:
    return Config(
        domain="scenes",
        model=Spade(z_dim=16, gen=(128, 96, 64), disc=(128, 96, 64), hidden=64, patch=2),
        game=Paired(
            gen=Adam(lr=4e-4, b1=0.0, b2=0.99, decay=5000),
            disc=Adam(lr=4e-4, b1=0.0, b2=0.99, decay=5000),
            l1=0.0,
        ),
        data="crafter_views",
        shape=(64, 64, 3),
        batch=12,
        loop=Loop(steps=5000, sample_every=1000, save_every=1000),
    )
