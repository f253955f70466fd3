"""Crafter's scenes from maps by wide networks in large batches. For accelerators.

jaxgen train configs/scene_gan_wide.py

Not run to its end yet.
"""

from jaxgen.config import Adam, Config, Loop, Paired, Spade


def get_config() -> Config:
    return Config(
        domain="scenes",
        model=Spade(z_dim=64, gen=(512, 384, 256), disc=(512, 384, 256), blocks=(2,), hidden=256),
        game=Paired(
            gen=Adam(lr=2e-4, b1=0.0, b2=0.99, decay=50_000),
            disc=Adam(lr=2e-4, b1=0.0, b2=0.99, decay=50_000),
            l1=0.0,
        ),
        data="crafter_views",
        shape=(64, 64, 3),
        batch=256,
        precision="bf16",
        loop=Loop(steps=50_000, steps_per_call=20, log_every=1000, save_every=10_000, sample_every=10_000),
    )
