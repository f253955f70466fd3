"""28x28 chest X-rays by class, normal or pneumonia (PneumoniaMNIST): the run of gate 9.

jaxgen train configs/medical_gan_xray.py --data path/to/pneumoniamnist.npz

Results of three seeds: benchmarks/results/quality/medical_gan-seed*.json.
"""

from jaxgen.config import Adam, Adversarial, Config, Loop, Residual


def get_config() -> Config:
    return Config(
        domain="medical",
        model=Residual(z_dim=64, gen=(128, 64, 32), disc=(128, 64, 32), norm="batch"),
        game=Adversarial(
            loss="relativistic",
            gen=Adam(lr=1e-3, b1=0.0, b2=0.99, decay=2000),
            disc=Adam(lr=1e-3, b1=0.0, b2=0.99, decay=2000),
            penalty="r1+r2",
            penalty_weight=0.05,
            penalty_every=8,
            classes=2,
        ),
        data="pneumoniamnist.npz",
        batch=32,
        loop=Loop(steps=2000, sample_every=500, save_every=500),
    )
