"""256x256 photographs of horses into zebras and back (TFDS cycle_gan/horse2zebra). For accelerators.

jaxgen train configs/style_transfer_gan_horse2zebra.py --download

Not run to its end yet.
"""

from jaxgen.config import Adam, Config, Loop, UNet, Unpaired


def get_config() -> Config:
    return Config(
        domain="style",
        model=UNet(gen=(768, 512, 256, 128), disc=(768, 512, 256, 128), blocks=(3, 2, 1), patch=2),
        game=Unpaired(
            loss="relativistic",
            gen=Adam(lr=2e-4, b1=0.5, b2=0.99, decay=100_000),
            disc=Adam(lr=2e-4, b1=0.5, b2=0.99, decay=100_000),
            penalty="r1+r2",
            penalty_weight=0.001,
            penalty_every=8,
        ),
        data="cycle_gan/horse2zebra",
        shape=(256, 256, 3),
        batch=16,
        precision="bf16",
        loop=Loop(steps=100_000, steps_per_call=20, log_every=1000, save_every=10_000, sample_every=10_000),
    )
