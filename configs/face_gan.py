"""32x32 faces, 80 pictures that come with scikit-image: a residual GAN with differentiable augmentation.

jaxgen train configs/face_gan.py

Varied faces, some noses and mouths torn (benchmarks/results/pictures/face_gan-lfw.png); of so few pictures it knows
more than it should: few are held out to tell how much.
"""

from jaxgen.config import Adam, Adversarial, Config, Loop, Residual


def get_config() -> Config:
    return Config(
        domain="face",
        model=Residual(z_dim=64, gen=(128, 128, 64, 32), disc=(128, 128, 64, 32), blocks=(1, 1, 1, 0), norm="batch"),
        game=Adversarial(
            loss="relativistic",
            gen=Adam(lr=1e-3, b1=0.0, b2=0.99, decay=4000),
            disc=Adam(lr=1e-3, b1=0.0, b2=0.99, decay=4000),
            penalty="r1+r2",
            penalty_weight=0.05,
            penalty_every=8,
            augment="color+translation+cutout+flip",
            augment_p=0.3,
            ada_target=0.6,
            ada_images=100_000,
        ),
        data="lfw_faces",
        shape=(32, 32, 1),
        batch=16,
        loop=Loop(steps=4000, sample_every=1000, save_every=1000),
    )
