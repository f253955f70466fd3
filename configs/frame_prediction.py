"""The next frame of a moving digit from four before it, 32x32.

jaxgen train configs/frame_prediction.py

Results of three seeds: benchmarks/results/quality/frame_prediction-seed*.json.
"""

from jaxgen.config import Adam, Config, Loop, Paired, UNet


def get_config() -> Config:
    return Config(
        domain="video/prediction",
        model=UNet(gen=(128, 64, 32), disc=(96, 64, 32), patch=2),
        game=Paired(
            gen=Adam(lr=1e-3, b1=0.5, b2=0.99, decay=8000),
            disc=Adam(lr=2e-4, b1=0.5, b2=0.99, decay=8000),
            l1=200.0,
            penalty="r1+r2",
            penalty_weight=0.05,
            penalty_every=8,
        ),
        data="moving_digits",
        shape=(5, 32, 32, 1),
        batch=32,
        loop=Loop(steps=8000, sample_every=2000, save_every=2000),
    )
