"""64x64 grey faces, 280 pictures of 40 persons (Olivetti), by person: the run of gate 4.

jaxgen train configs/face_gan_olivetti.py --data path/to/olivetti.npz

Results of three seeds: benchmarks/results/quality/face_gan-seed*.json.
"""

from jaxgen.config import Adam, Adversarial, Config, Loop, Residual


def get_config() -> Config:
    return Config(
        domain="face",
        model=Residual(z_dim=64, gen=(256, 128, 64, 32), disc=(256, 128, 64, 32), patch=2, norm="batch"),
        game=Adversarial(
            loss="relativistic",
            gen=Adam(lr=1e-3, b1=0.0, b2=0.99, decay=9000),
            disc=Adam(lr=1e-3, b1=0.0, b2=0.99, decay=9000),
            penalty="r1+r2",
            penalty_weight=0.05,
            penalty_every=8,
            classes=40,
            augment="color+translation+cutout",
            augment_p=0.05,
        ),
        data="olivetti.npz",
        shape=(64, 64, 1),
        batch=16,
        loop=Loop(steps=4500, sample_every=500, save_every=500),
    )
