"""Resampling along an axis as a banded matrix."""

import numpy as np


def blur_matrix(n: int) -> np.ndarray:
    """[ceil(n / 2), n]: taps 1 3 3 1 over 8 at every second entry, reflected at both ends."""
    places = np.pad(np.arange(n), (1, 2), mode="reflect")
    matrix = np.zeros((-(-n // 2), n))
    for i, row in enumerate(matrix):
        np.add.at(row, places[2 * i : 2 * i + 4], np.array([1, 3, 3, 1]) / 8)
    return matrix


def bilinear_matrix(n: int) -> np.ndarray:
    """[2 n, n]: between the centres of pixels, constant beyond the outermost."""
    return np.stack([np.interp((np.arange(2 * n) - 0.5) / 2, np.arange(n), unit) for unit in np.eye(n)], 1)
