"""Free-form holes in 128x128 faces filled (TFDS celeb_a). For accelerators.

jaxgen train configs/inpainting_celeba128.py --download

Not run to its end yet.
"""

from jaxgen.config import Adam, Config, Loop, Paired, UNet


def get_config() -> Config:
    return Config(
        domain="restoration",
        model=UNet(gen=(768, 768, 512, 256, 128), disc=(512, 384, 256, 128), blocks=(2, 2, 1), patch=2),
        game=Paired(
            gen=Adam(lr=2e-4, b1=0.5, b2=0.99, decay=200_000),
            disc=Adam(lr=2e-4, b1=0.5, b2=0.99, decay=200_000),
            degrade="holes-15",
            l1=30.0,
            penalty="r1+r2",
            penalty_weight=0.05,
            penalty_every=8,
            ema_decay=0.9998,
        ),
        data="celeb_a",
        shape=(128, 128, 3),
        batch=128,
        precision="bf16",
        loop=Loop(steps=200_000, steps_per_call=20, log_every=1000, save_every=10_000, sample_every=10_000),
    )
