"""Characters that walk, cast spells and slash, 8 frames of 32x32 (Liberated Pixel Cup sprites).

jaxgen train configs/video_gan_sprites.py --data path/to/lpc-sprite-layers.zip

11 minutes on one shared core of an EPYC, not enough: the gate is missed by far (clip Fréchet distance 132, asked 10).
"""

from jaxgen.config import Adam, Adversarial, Clip, Config, Loop


def get_config() -> Config:
    return Config(
        domain="video/clips",
        model=Clip(content=32, motion=8, moves="shape", gen=(160, 80, 48), patch=2),
        game=Adversarial(
            gen=Adam(lr=5e-4, b1=0.0, b2=0.99, decay=2500),
            disc=Adam(lr=5e-4, b1=0.0, b2=0.99, decay=2500),
            penalty="r1+r2",
            penalty_weight=1.0,
            penalty_every=8,
            ema_decay=0.995,
        ),
        data="lpc-sprite-layers.zip",
        shape=(8, 32, 32, 3),
        batch=16,
        loop=Loop(steps=2500, sample_every=1000, save_every=500),
    )
