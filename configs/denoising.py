"""Photographs without white noise of 25 grey levels (scikit-image's and scikit-learn's pictures).

jaxgen train configs/denoising.py

Results of three seeds: benchmarks/results/quality/denoising-seed*.json.
"""

from jaxgen.config import Adam, Config, Loop, Paired, UNet


def get_config() -> Config:
    return Config(
        domain="restoration",
        model=UNet(gen=(128, 64, 48), disc=(96, 64, 32), blocks=(1,), patch=2),
        game=Paired(
            gen=Adam(lr=5e-4, b1=0.5, b2=0.99, decay=3000),
            disc=Adam(lr=2e-4, b1=0.5, b2=0.99, decay=3000),
            degrade="noise-25",
            l1=200.0,
            penalty="r1+r2",
            penalty_weight=0.05,
            penalty_every=8,
        ),
        data="photo_patches",
        shape=(64, 64, 3),
        batch=8,
        loop=Loop(steps=3000, sample_every=1000, save_every=1000),
    )
