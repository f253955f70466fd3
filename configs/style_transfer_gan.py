"""64x64 patches of photographs into gravel and back, without pairs (scikit-image's and scikit-learn's pictures).

jaxgen train configs/style_transfer_gan.py

Outlines stay, the texture between them is gravel's, without single stones
(benchmarks/results/pictures/style_transfer_gan.png); of gravel come coloured blotches, no photographs.
"""

from jaxgen.config import Adam, Config, Loop, UNet, Unpaired


def get_config() -> Config:
    return Config(
        domain="style",
        model=UNet(gen=(128, 96, 64), disc=(128, 96, 64), patch=4),
        game=Unpaired(
            loss="relativistic",
            gen=Adam(lr=3e-4, b1=0.5, b2=0.99, decay=3000),
            disc=Adam(lr=3e-4, b1=0.5, b2=0.99, decay=3000),
            cycle=5.0,
            identity=0.5,
            penalty="r1+r2",
            penalty_weight=0.001,
            penalty_every=8,
        ),
        data="photos_to_textures",
        shape=(64, 64, 3),
        batch=12,
        loop=Loop(steps=3000, sample_every=500, save_every=1000),
    )
