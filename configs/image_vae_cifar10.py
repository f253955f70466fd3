"""32x32 colour, CIFAR-10 at the size that convolutional VAEs are published at. For accelerators.

jaxgen train configs/image_vae_cifar10.py --download

Not run to its end yet.
"""

from jaxgen.config import Adam, Config, ConvVAE, Loop, Variational


def get_config() -> Config:
    return Config(
        domain="image",
        model=ConvVAE(z_dim=128, widths=(128, 256, 512), hidden=1024),
        game=Variational(
            likelihood="gaussian", tx=Adam(lr=1e-3, b1=0.9, warmup=1000, decay=100_000, clip=100.0), ema_decay=0.9999
        ),
        data="cifar10",
        shape=(32, 32, 3),
        batch=256,
        precision="bf16",
        loop=Loop(steps=100_000, steps_per_call=100, log_every=1000, save_every=10_000, sample_every=10_000),
    )
