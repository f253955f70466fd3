"""96x96 patches of lymph nodes with and without metastases (PatchCamelyon), by class. For accelerators.

jaxgen train configs/medical_gan_camelyon.py --download

Not run to its end yet.
"""

from jaxgen.config import Adam, Adversarial, Config, Loop, Residual


def get_config() -> Config:
    return Config(
        domain="medical",
        model=Residual(
            z_dim=128, gen=(768, 768, 512, 384, 256), disc=(768, 768, 512, 384, 256), blocks=(2,), norm="batch"
        ),
        game=Adversarial(
            loss="relativistic",
            gen=Adam(lr=2e-4, b1=0.0, b2=0.99),
            disc=Adam(lr=2e-4, b1=0.0, b2=0.99),
            penalty="r1+r2",
            penalty_weight=4.0,
            penalty_every=4,
            classes=2,
            augment="flip",
            ema_decay=0.9998,
        ),
        data="patch_camelyon",
        shape=(96, 96, 3),
        batch=256,
        precision="bf16",
        loop=Loop(steps=200_000, steps_per_call=100, log_every=1000, save_every=10_000, sample_every=10_000),
    )
