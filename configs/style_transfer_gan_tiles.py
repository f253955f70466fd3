"""32x32 tiles of Dungeon Crawl into redrawn ones, from pairs: half of gate 8.

jaxgen train configs/style_transfer_gan_tiles.py --data path/to/folder

Results of three seeds: benchmarks/results/quality/style_transfer_gan-seed*.json.
"""

from jaxgen.config import Adam, Config, Loop, Paired, UNet


def get_config() -> Config:
    return Config(
        domain="style",
        model=UNet(gen=(192, 128, 96), disc=(128, 96, 64), patch=2),
        game=Paired(
            gen=Adam(lr=5e-4, b1=0.5, b2=0.99, decay=3000),
            disc=Adam(lr=2e-4, b1=0.5, b2=0.99, decay=3000),
            l1=40.0,
            penalty="r1+r2",
            penalty_weight=0.001,
            penalty_every=8,
            augment="flip+translation",
            augment_p=0.5,
        ),
        data="dcss-tile-pairs",
        shape=(32, 32, 3),
        batch=16,
        loop=Loop(steps=3000, sample_every=1000, save_every=1000),
    )
