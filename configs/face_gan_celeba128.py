"""128x128 colour faces of CelebA: one resolution more than face_gan_celeba64.py. For accelerators.

jaxgen train configs/face_gan_celeba128.py --download

Not run to its end yet.
"""

from jaxgen.config import Adam, Adversarial, Config, Loop, Residual


def get_config() -> Config:
    return Config(
        domain="face",
        model=Residual(z_dim=64, gen=(768, 768, 768, 768, 384, 192), disc=(768, 768, 768, 768, 384, 192), blocks=(2,)),
        game=Adversarial(
            loss="relativistic",
            gen=Adam(lr=1e-4, b1=0.0, b2=0.99),
            disc=Adam(lr=1e-4, b1=0.0, b2=0.99),
            penalty="r1+r2",
            penalty_weight=8.0,
            penalty_every=1,
            augment="flip",
            ema_decay=0.9998,
        ),
        data="celeb_a",
        shape=(128, 128, 3),
        batch=256,
        precision="bf16",
        loop=Loop(steps=200_000, steps_per_call=100, log_every=1000, save_every=10_000, sample_every=10_000),
    )
