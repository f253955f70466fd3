"""Density and coverage, precision and recall: two sets compared by their nearest neighbours."""

import numpy as np

from jaxgen.errors import UserError
from jaxgen.metrics.inputs import check_pair
from jaxgen.metrics.nearest import squared_distances


def density_coverage(real: np.ndarray, fake: np.ndarray, k: int = 5) -> tuple[float, float]:
    """Density and coverage of `fake` [M, F] against `real` [N, F] (Naeem et al. 2020).

    Each real item has a ball that reaches to its k-th nearest other real item. Density: how many balls a fake item lies
    in, over k; about 1 for the real distribution, and it may exceed 1. Coverage: the share of balls with a fake item in
    them; for the real distribution about 1 - 2^-k where M = N, more where M > N: compare at one M and N.
    Raises `UserError` unless 1 <= k < N, and as `nearest_distance` does.
    """
    real, fake = check_pair(real, fake, ("real", "fake"), least=1)
    radii = _radii(real, k, "real")
    inside, covered = 0, np.zeros(len(real), bool)
    for _, squared in squared_distances(fake, real):
        hit = squared < radii
        inside += int(hit.sum())
        covered |= hit.any(0)
    return inside / (k * len(fake)), float(covered.mean())


def precision_recall(real: np.ndarray, fake: np.ndarray, k: int = 5) -> tuple[float, float]:
    """Improved precision and recall of `fake` [M, F] against `real` [N, F] (Kynkäänniemi et al. 2019).

    Precision: the share of fake items that lie in the ball of some real item; recall: the other way round. Balls as in
    `density_coverage`. Raises `UserError` unless 1 <= k < min(N, M), and as `nearest_distance` does.
    """
    real, fake = check_pair(real, fake, ("real", "fake"), least=1)
    return _share_inside(fake, real, _radii(real, k, "real")), _share_inside(real, fake, _radii(fake, k, "fake"))


def _share_inside(queries: np.ndarray, items: np.ndarray, radii: np.ndarray) -> float:
    inside = [(squared <= radii).any(1) for _, squared in squared_distances(queries, items)]
    return float(np.concatenate(inside).mean())


def _radii(items: np.ndarray, k: int, name: str) -> np.ndarray:
    """[N]: squared distance of each of `items` [N, F] to its k-th nearest other item."""
    if not 1 <= k < len(items):
        raise UserError(
            f"k = {k} neighbours need more than {max(k, 1)} {name} items and k >= 1; there are {len(items)}."
        )
    out = np.empty(len(items))
    for rows, squared in squared_distances(items, items):
        squared[np.arange(len(squared)), np.arange(rows.start, rows.stop)] = 0  # an item is its own nearest
        out[rows] = np.partition(squared, k, axis=1)[:, k]
    return out
