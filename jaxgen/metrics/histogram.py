"""Which classes the samples belong to."""

import numpy as np

from jaxgen.errors import UserError


def class_histogram(probabilities: np.ndarray) -> np.ndarray:
    """[K]: the share of items given to each class, from `probabilities` [N, K]. Raises `UserError` unless N, K >= 1."""
    probabilities = _check(probabilities)
    return label_histogram(probabilities.argmax(1), probabilities.shape[1])


def label_histogram(labels: np.ndarray, classes: int) -> np.ndarray:
    """[classes]: the share of each class among `labels` [N], which are integers from 0."""
    return np.bincount(labels, minlength=classes) / len(labels)


def classes_present(probabilities: np.ndarray, share: float | None = None, confidence: float = 0.9) -> int:
    """How many classes have at least `share` of all items given to them at `confidence` or more.

    By default a share of 0.03, and where there are more than ten classes three tenths of an equal share.
    `probabilities` [N, K]. Raises `UserError` unless N, K >= 1.
    """
    probabilities = _check(probabilities)
    if share is None:
        share = min(0.03, 0.3 / probabilities.shape[1])
    sure = probabilities.max(1) >= confidence
    counts = np.bincount(probabilities.argmax(1)[sure], minlength=probabilities.shape[1])
    return int((counts >= share * len(probabilities)).sum())


def total_variation(p: np.ndarray, q: np.ndarray) -> float:
    """Total variation distance of two histograms [K]: half the summed difference, 0 to 1.

    Raises `UserError` where the shapes differ or either does not sum to 1.
    """
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    if p.shape != q.shape or p.ndim != 1:
        raise UserError(f"Histograms of shapes {p.shape} and {q.shape} cannot be compared; pass two of one length.")
    if not np.allclose([p.sum(), q.sum()], 1):
        raise UserError(f"Histograms must sum to 1, not {p.sum():g} and {q.sum():g}; divide counts by their total.")
    return float(np.abs(p - q).sum() / 2)


def _check(probabilities: np.ndarray) -> np.ndarray:
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or 0 in probabilities.shape:
        raise UserError(f"probabilities has shape {probabilities.shape}; pass one row of class probabilities an item.")
    return probabilities
