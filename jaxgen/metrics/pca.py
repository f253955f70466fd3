"""Principal components of images: features where there are no labels, and a Gaussian to sample from."""

import hashlib
from dataclasses import dataclass

import numpy as np

from jaxgen.errors import UserError
from jaxgen.metrics.inputs import check_images

_FIT_ON = 10_000  # images at most: enough for the leading components, and it bounds memory
_ROWS = 1024  # images turned to floats at a time


@dataclass(frozen=True, eq=False)
class PCA:
    """An orthonormal basis [F, H * W * C] of leading components, in the scale 0 to 255.

    Features are coordinates in units of the training images' root mean square along a component, so that a kernel made
    for features of about 1 (KID's has 1 beside their product) is of use; distances keep their proportions.
    """

    shape: tuple[int, ...]
    mean: np.ndarray
    basis: np.ndarray
    deviations: np.ndarray  # [F], of the training images along each component, in the scale 0 to 255

    @property
    def hash(self) -> str:
        """sha256 of all that decides the features."""
        parts = (self.mean, self.basis, self.deviations)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()

    def features(self, images: np.ndarray) -> np.ndarray:
        """[N, F] float32 of uint8 `images` [N, H, W, C]. Raises `UserError` on another shape or type."""
        flat = check_images(images, "images", self.shape).reshape(len(images), -1)
        unit = float(np.sqrt(np.mean(np.square(self.deviations)))) or 1.0  # 0 of images that are all the same
        across = self.basis.T / np.float32(unit)
        parts = [(flat[i : i + _ROWS] - self.mean) @ across for i in range(0, len(flat), _ROWS)]
        return np.concatenate(parts).astype(np.float32)

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """[n, H, W, C] uint8 drawn from the Gaussian with the training images' mean and leading covariance."""
        z = np.random.default_rng(seed).standard_normal((n, len(self.basis)), dtype=np.float32) * self.deviations
        out = np.empty((n, len(self.mean)), np.uint8)
        for i in range(0, n, _ROWS):
            out[i : i + _ROWS] = np.clip(np.rint(z[i : i + _ROWS] @ self.basis + self.mean), 0, 255)
        return out.reshape(n, *self.shape)


def pca(images: np.ndarray, components: int = 64, seed: int = 0) -> PCA:
    """The leading components of uint8 `images` [N, H, W, C]: at most `components`, N - 1 and H * W * C.

    Randomised subspace iteration (Halko et al. 2011, algorithm 4.4) on at most 10,000 of the images. Raises `UserError`
    on another type, or fewer than two images.
    """
    images = check_images(images, "images")
    if len(images) < 2 or components < 1:
        raise UserError(f"{components} components of {len(images)} images: pass at least two images and one component.")
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(images))[:_FIT_ON])
    x = images[chosen].reshape(len(chosen), -1).astype(np.float32)
    mean = x.mean(0)
    x -= mean
    kept = min(components, len(x) - 1, x.shape[1])
    basis = rng.standard_normal((x.shape[1], min(kept + 16, *x.shape)), dtype=np.float32)
    for _ in range(8):
        basis = np.linalg.qr(x.T @ np.linalg.qr(x @ basis)[0])[0]
    _, singular, right = np.linalg.svd(x @ basis, full_matrices=False)
    return PCA(images.shape[1:], mean, (right @ basis.T)[:kept], singular[:kept] / np.sqrt(np.float32(len(x) - 1)))
