"""Distances to the nearest items of a set, and what they say about memorisation."""

from collections.abc import Iterator

import numpy as np

from jaxgen.errors import UserError
from jaxgen.metrics.inputs import check_pair

_BLOCK = 2**24  # elements of one block of the distance matrix: 128 MiB


def nearest_distance(queries: np.ndarray, items: np.ndarray) -> np.ndarray:
    """The second of `nearest_item`: the distances alone."""
    return nearest_item(queries, items)[1]


def nearest_item(queries: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of `items` [M, F] is nearest to each of `queries` [N, F], and its Euclidean distance: int [N], float64 [N].

    The distance is exactly 0 for a copy. Raises `UserError` on an empty set, different F, or values that are not
    finite.
    """
    queries, items = check_pair(queries, items, ("queries", "items"), least=1)
    index, distance = np.empty(len(queries), np.int64), np.empty(len(queries))
    for rows, squared in squared_distances(queries, items):
        index[rows] = squared.argmin(1)
        # The winner's distance again, by subtraction: the products below leave a rounding error where it is 0.
        distance[rows] = np.linalg.norm(queries[rows] - items[index[rows]], axis=1)
    return index, distance


def memorisation_auc(samples: np.ndarray, heldout: np.ndarray) -> float:
    """The AUC with which the distance to the nearest training item tells samples [N] from held-out items [M].

    0.5: they cannot be told apart. Toward 1: samples lie closer to training items than real unseen ones do: memorised.
    Toward 0: samples lie farther out. Ties count half. Both are what `nearest_distance` returns against the training
    set. Raises `UserError` on an empty set or values that are not finite.
    """
    samples, heldout = np.asarray(samples, np.float64), np.asarray(heldout, np.float64)
    for name, x in (("samples", samples), ("heldout", heldout)):
        if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
            raise UserError(f"{name} must hold one finite distance an item; pass what nearest_distance returns.")
    ranked = np.sort(heldout)
    farther = len(heldout) - np.searchsorted(ranked, samples, side="right")
    farther_or_tied = len(heldout) - np.searchsorted(ranked, samples, side="left")
    return float((farther + farther_or_tied).mean() / (2 * len(heldout)))


def squared_distances(queries: np.ndarray, items: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks (rows, [len(rows), M]) of squared Euclidean distances of `queries` [N, F] to `items` [M, F]."""
    centre = items.mean(0)  # distances do not change, and the cancellation below gets milder
    queries, items = queries - centre, items - centre
    norms = (items**2).sum(1)
    step = max(1, _BLOCK // len(items))
    for start in range(0, len(queries), step):
        rows = slice(start, min(start + step, len(queries)))
        squared = queries[rows] @ items.T
        squared *= -2
        squared += norms
        squared += (queries[rows] ** 2).sum(1, keepdims=True)
        yield rows, np.maximum(squared, 0, out=squared)
