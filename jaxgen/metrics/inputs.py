"""What the metrics accept: sets of features and sets of images, checked at the door."""

import numpy as np

from jaxgen.errors import UserError


def check_features(features: np.ndarray, name: str, least: int = 2) -> np.ndarray:
    """`features` [N, F] as float64. Raises `UserError` unless it is finite, two-dimensional and N >= `least`."""
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or not features.shape[1]:
        raise UserError(f"{name} has shape {features.shape}; pass features as [N, F].")
    if len(features) < least:
        raise UserError(f"{name} has {len(features)} items; this metric needs at least {least}.")
    if not np.isfinite(features).all():
        raise UserError(f"{name} contains NaN or infinity; check the samples it was computed from.")
    return features


def check_pair(a: np.ndarray, b: np.ndarray, names: tuple[str, str], least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Two sets that `check_features` accepts, with the same F."""
    a, b = check_features(a, names[0], least), check_features(b, names[1], least)
    if a.shape[1] != b.shape[1]:
        raise UserError(
            f"{names[0]} has {a.shape[1]} features an item, {names[1]} has {b.shape[1]}; use one extractor for both."
        )
    return a, b


def check_images(images: np.ndarray, name: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """`images` [N, H, W, C] uint8, N >= 1. Raises `UserError` otherwise, or where [H, W, C] is not `shape`."""
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
        raise UserError(f"{name} is {images.dtype} {images.shape}; pass uint8 images as [N, H, W, C], 0 to 255.")
    if shape is not None and images.shape[1:] != shape:
        raise UserError(f"{name} has images of {images.shape[1:]}, expected {shape}; resize them first.")
    return images


def check_labels(labels: np.ndarray, n: int, name: str) -> np.ndarray:
    """`labels` [n] of integers from 0. Raises `UserError` otherwise."""
    labels = np.asarray(labels)
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise UserError(
            f"{name} is {labels.dtype} {labels.shape}; pass one class number, from 0, for each of {n} images."
        )
    return labels.astype(np.int32)
