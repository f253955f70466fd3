"""Clips of one moving digit by class, 8 frames of 32x32 (real MNIST digits by the rule of Moving MNIST).

jaxgen train configs/video_gan.py

Results of three seeds: benchmarks/results/quality/video_gan-seed*.json.
"""

from jaxgen.config import Adam, Adversarial, Clip, Config, Loop


def get_config() -> Config:
    return Config(
        domain="video/clips",
        model=Clip(
            content=32,
            motion=8,
            moves="place",
            clip=(96, 48, 24),
            frames=1,
            patch=2,
            norm="batch",
        ),
        game=Adversarial(
            gen=Adam(lr=1e-3, b1=0.0, b2=0.99, decay=3000),
            disc=Adam(lr=1e-3, b1=0.0, b2=0.99, decay=3000),
            penalty="r1+r2",
            penalty_weight=0.05,
            penalty_every=8,
            ema_decay=0.995,
            classes=10,
        ),
        data="moving_digits",
        shape=(8, 32, 32, 1),
        batch=96,
        loop=Loop(steps=3000, sample_every=1000, save_every=1000),
    )
