"""Characters that walk, cast spells or slash, by action, 8 frames of 32x32 (Liberated Pixel Cup sprites).

jaxgen train configs/video_gan_sprites.py --data path/to/lpc-sprite-layers.zip

Two parts of four of gate 6 on it are met: characters change in most clips, and held-out ones lie nearer to the
training set (benchmarks/results/quality/video_gan_sprites-seed0.json).
"""

from jaxgen.config import Adam, Adversarial, Clip, Config, Loop


def get_config() -> Config:
    return Config(
        domain="video/clips",
        model=Clip(
            content=32,
            motion=8,
            moves="shape",
            gen=(160, 80, 48, 24),
            disc=(128, 64, 48, 24),
            frames=1,
            patch=1,
            norm="batch",
            still=True,
        ),
        game=Adversarial(
            gen=Adam(lr=1e-3, b1=0.0, b2=0.99, decay=4000),
            disc=Adam(lr=1e-3, b1=0.0, b2=0.99, decay=4000),
            penalty="r1+r2",
            penalty_weight=5.0,
            penalty_every=8,
            penalty_decay=4000,
            ema_decay=0.995,
            classes=9,
        ),
        data="lpc-sprite-layers.zip",
        shape=(8, 32, 32, 3),
        batch=16,
        loop=Loop(steps=4000, sample_every=1000, save_every=1000),
    )
