"""64x64 grey faces, 280 pictures of 40 persons (Olivetti): the run of gate 4.

jaxgen train configs/face_gan_olivetti.py --data path/to/olivetti.npz
"""

from jaxgen.config import Adam, Adversarial, Config, Loop, Residual


def get_config() -> Config:
    return Config(
        domain="face",
        model=Residual(z_dim=64, gen=(256, 128, 64, 32, 16), disc=(256, 128, 64, 32, 16), blocks=(1, 1, 1, 1, 0)),
        game=Adversarial(
            loss="relativistic",
            gen=Adam(lr=2e-4, b1=0.0, b2=0.99),
            disc=Adam(lr=2e-4, b1=0.0, b2=0.99),
            penalty="r1+r2",
            penalty_weight=0.2,
            penalty_every=4,
            augment="color+translation+cutout+flip",
        ),
        data="olivetti.npz",
        shape=(64, 64, 1),
        batch=32,
        loop=Loop(steps=3000, sample_every=1000, save_every=1000),
    )
