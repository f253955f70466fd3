"""How near restored images are to what they were."""

import numpy as np

from jaxgen.errors import UserError
from jaxgen.metrics.inputs import check_images


def psnr(images: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio [N] in dB of uint8 images [N, H, W, C], over all pixels and channels of each; infinite
    where an image equals its truth. Raises `UserError` on another shape, number or type."""
    truth = check_images(truth, "truth")
    images = check_images(images, "images", truth.shape[1:])
    if len(images) != len(truth):
        raise UserError(f"There are {len(images)} images and {len(truth)} truths; each image needs its own.")
    error = np.square(images.astype(np.float64) - truth).mean((1, 2, 3))
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255**2 / error)
