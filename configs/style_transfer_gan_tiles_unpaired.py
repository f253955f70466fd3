"""32x32 tiles of Dungeon Crawl into redrawn ones and back, without pairs: half of gate 8.

jaxgen train configs/style_transfer_gan_tiles_unpaired.py --data path/to/folder

Results of three seeds: benchmarks/results/quality/style_transfer_gan-seed*.json.
"""

from jaxgen.config import Adam, Config, Loop, UNet, Unpaired


def get_config() -> Config:
    return Config(
        domain="style",
        model=UNet(gen=(128, 96, 64), disc=(128, 96, 64), patch=2),
        game=Unpaired(
            loss="relativistic",
            gen=Adam(lr=6e-4, b1=0.5, b2=0.99, decay=1500),
            disc=Adam(lr=6e-4, b1=0.5, b2=0.99, decay=1500),
            cycle=5.0,
            identity=1.0,
            penalty="r1+r2",
            penalty_weight=0.001,
            penalty_every=8,
        ),
        data="dcss-tile-pairs",
        shape=(32, 32, 3),
        batch=16,
        loop=Loop(steps=1500, sample_every=500, save_every=500),
    )
