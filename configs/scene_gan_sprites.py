"""32x32 sprites of Dungeon Crawl in ten classes, characters and items: half of gate 10.

jaxgen train configs/scene_gan_sprites.py --data path/to/sprites.npz

Bodies, weapons, clothes and books are clear, animals and demons are not; potions are not made. Results of three
seeds: benchmarks/results/quality/scene_gan-seed*.json.
"""

from jaxgen.config import Adam, Adversarial, Config, Loop, Residual


def get_config() -> Config:
    return Config(
        domain="sprites",
        model=Residual(z_dim=64, gen=(128, 128, 96, 48), disc=(128, 128, 96, 48), norm="batch"),
        game=Adversarial(
            loss="relativistic",
            gen=Adam(lr=1e-3, b1=0.0, b2=0.99, decay=5000),
            disc=Adam(lr=1e-3, b1=0.0, b2=0.99, decay=5000),
            penalty="r1+r2",
            penalty_weight=2.0,
            penalty_every=8,
            classes=10,
            augment="translation",
            augment_p=0.05,
        ),
        data="dcss-sprites.npz",
        shape=(32, 32, 3),
        batch=32,
        loop=Loop(steps=5000, sample_every=1000, save_every=1000),
    )
