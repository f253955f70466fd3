"""How does the rate grow with the batch?"""

from dataclasses import replace

from benchmarks.suites import Case
from benchmarks.suites.step import DCGAN, DIGITS_GAN, IMAGE_VAE

SIZES = {
    "digits_gan": (DIGITS_GAN, (32, 128, 512)),
    "image_vae": (IMAGE_VAE, (32, 128, 512)),
    "dcgan_28": (DCGAN, (16, 64, 128)),
}

CASES = tuple(
    Case(f"{name}_batch_{n}", replace(config, batch=n)) for name, (config, sizes) in SIZES.items() for n in sizes
)
