"""Clips of people by what they do, 16 frames of 64x64 (UCF-101), by wide networks in large batches. For accelerators.

jaxgen train configs/video_gan_ucf101.py

TFDS prepares the set where TensorFlow is installed, with file_format="array_record". Not run to its end yet.
"""

from jaxgen.config import Adam, Adversarial, Clip, Config, Loop


def get_config() -> Config:
    return Config(
        domain="video/clips",
        model=Clip(
            content=128,
            motion=32,
            hidden=256,
            gen=(1024, 512, 256, 128),
            disc=(1024, 512, 256, 128),
            clip=(1024, 512, 256, 128),
            norm="batch",
        ),
        game=Adversarial(
            gen=Adam(lr=2e-4, b1=0.0, b2=0.99, decay=100_000),
            disc=Adam(lr=2e-4, b1=0.0, b2=0.99, decay=100_000),
            penalty="r1+r2",
            penalty_weight=1.0,
            penalty_every=8,
            classes=101,
        ),
        data="ucf101",
        shape=(16, 64, 64, 3),
        batch=64,
        precision="bf16",
        loop=Loop(steps=100_000, steps_per_call=20, log_every=1000, save_every=10_000, sample_every=10_000),
    )
