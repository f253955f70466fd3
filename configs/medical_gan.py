"""32x32 colour patches of two tissues, retina and stained colon (scikit-image's pictures): a GAN by class.

jaxgen train configs/medical_gan.py

Looked at (benchmarks/results/pictures/medical_gan-tissue.png): retina nearly plain red, as most of the real ones, few
vessels; colon with its brown walls and blue nuclei, blurrier than real.
"""

from jaxgen.config import Adam, Adversarial, Config, Loop, Residual


def get_config() -> Config:
    return Config(
        domain="medical",
        model=Residual(z_dim=64, gen=(128, 128, 64, 32), disc=(128, 128, 64, 32), blocks=(1, 1, 1, 0), norm="batch"),
        game=Adversarial(
            loss="relativistic",
            gen=Adam(lr=1e-3, b1=0.0, b2=0.99, decay=3000),
            disc=Adam(lr=1e-3, b1=0.0, b2=0.99, decay=3000),
            penalty="r1+r2",
            penalty_weight=0.05,
            penalty_every=8,
            classes=2,
            augment="translation+flip",
            augment_p=0.3,
        ),
        data="tissue_patches",
        shape=(32, 32, 3),
        batch=32,
        loop=Loop(steps=3000, sample_every=1000, save_every=1000),
    )
