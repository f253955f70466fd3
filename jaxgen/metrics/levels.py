"""How far generated levels are from real ones, and samplers of levels that a metric has to see through.

Levels are uint8 [N, H, W] of tile numbers. Every function raises `UserError` for anything else, or where N is 0.
"""

import itertools
from collections import defaultdict

import numpy as np

from jaxgen.errors import UserError
from jaxgen.metrics.histogram import total_variation

_BLOCK = 2**24  # elements of one block of the table of matches: 64 MiB


def tile_pattern_kl(
    fake: np.ndarray, real: np.ndarray, size: int = 3, epsilon: float = 1e-5, weight: float = 0.5
) -> float:
    """Tile-pattern KL divergence in nats, 0 for equal frequencies (Lucas & Volz 2019).

    Over all windows of `size` x `size` tiles, at every position; P are the frequencies of patterns in `real`, Q in
    `fake`: `weight` KL(P | Q) + (1 - weight) KL(Q | P). The first term punishes what is missing, the second what is
    new. A pattern seen C times in N windows has the frequency (C + epsilon) / ((N + epsilon) (1 + epsilon)); the sums
    are over the patterns seen on either side. A smaller epsilon makes it larger: compare numbers of one epsilon only.

    On Super Mario Bros 1-1 these defaults give, over seeds: its tiles shuffled 4.8 to 5.7, each tile drawn from its row
    1.9 to 2.6, columns chained 0.1 to 0.6; the 14 other real levels 0.6 to 3.1. So a low number alone proves nothing.
    Raises `UserError` where a level is smaller than a pattern.
    """
    fake, real = _check(fake, "fake"), _check(real, "real")
    if not 1 <= size <= min(*fake.shape[1:], *real.shape[1:]):
        raise UserError(f"Patterns of {size} x {size} tiles do not fit; levels are {fake.shape[1:]}, {real.shape[1:]}.")
    if not epsilon > 0 or not 0 <= weight <= 1:
        raise UserError(f"epsilon must be above 0 and weight from 0 to 1, not {epsilon} and {weight}.")
    q_windows, p_windows = _windows(fake, size), _windows(real, size)
    codes, known = np.zeros(q_windows.shape[1] + p_windows.shape[1], np.int64), 1
    base = int(max(fake.max(), real.max())) + 1
    for q_tile, p_tile in zip(q_windows, p_windows, strict=True):
        if known * base >= 2**62:  # exact, whatever the number of tiles: number the patterns so far anew
            values, codes = np.unique(codes, return_inverse=True)
            known = len(values)
        codes = codes * base + np.concatenate([q_tile, p_tile])
        known *= base
    values, codes = np.unique(codes, return_inverse=True)
    n = q_windows.shape[1]
    q, p = (_frequencies(np.bincount(side, minlength=len(values)), epsilon) for side in (codes[:n], codes[n:]))
    log = np.log(p / q)
    return float(weight * (p * log).sum() - (1 - weight) * (q * log).sum())


def nearest_hamming(queries: np.ndarray, items: np.ndarray) -> np.ndarray:
    """[N]: the share of tiles in which each of `queries` [N, H, W] differs from the nearest of `items` [M, H, W].

    Exact. Raises `UserError` where H or W differ.
    """
    queries, items = _check(queries, "queries"), _check(items, "items")
    if queries.shape[1:] != items.shape[1:]:
        raise UserError(f"queries are {queries.shape[1:]}, items {items.shape[1:]}; compare levels of one size.")
    queries, items = queries.reshape(len(queries), -1), items.reshape(len(items), -1)
    ones = {tile: (items == tile).astype(np.float32).T for tile in np.unique(items)}
    out = np.empty(len(queries))
    step = max(1, _BLOCK // len(items))
    for start in range(0, len(queries), step):
        rows = queries[start : start + step]
        # Sums of ones: exact in float32, since levels have fewer than 2^24 tiles.
        matches = sum((rows == tile).astype(np.float32) @ one for tile, one in ones.items())
        out[start : start + step] = 1 - np.max(matches, axis=1).astype(np.float64) / queries.shape[1]
    return out


def distinct_share(levels: np.ndarray) -> float:
    """The number of different levels over the number of levels."""
    levels = _check(levels, "levels")
    return len(np.unique(levels.reshape(len(levels), -1), axis=0)) / len(levels)


def bin_edges(real: np.ndarray, bins: int = 10) -> np.ndarray:
    """Edges [B + 1] of bins with about equal shares of the numbers `real` [N]: its quantiles.

    Quantiles that coincide are one edge, so numbers of few values get fewer bins. What is below the least or above the
    greatest real number has bins of its own: the edges begin with -inf and end with inf. Raises `UserError` unless
    `real` holds one finite number at least.
    """
    real = _check_numbers(real, "real")
    inner = np.quantile(real, np.arange(bins) / bins, method="inverted_cdf")
    return np.unique([-np.inf, *inner, np.nextafter(real.max(), np.inf), np.inf])


def histogram_tv(a: np.ndarray, b: np.ndarray, edges: np.ndarray) -> float:
    """Total variation distance, 0 to 1, of the histograms of two samples of numbers, [N] and [M].

    `edges` [B + 1] rise; a bin holds its lower edge, not its upper one. Raises `UserError` for numbers that are not
    finite or lie outside the edges.
    """
    a, b, edges = _check_numbers(a, "a"), _check_numbers(b, "b"), np.asarray(edges, np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not (edges[1:] > edges[:-1]).all():
        raise UserError("edges must be at least two rising numbers; see bin_edges.")
    shares = []
    for sample in (a, b):
        places = np.searchsorted(edges, sample, side="right") - 1
        if places.min() < 0 or places.max() > len(edges) - 2:
            raise UserError(
                f"Numbers lie outside the edges {edges[0]:g} to {edges[-1]:g}; begin with -inf, end with inf."
            )
        shares.append(np.bincount(places, minlength=len(edges) - 1) / len(sample))
    return total_variation(*shares)


def tile_marginal(levels: np.ndarray, n: int, seed: int) -> np.ndarray:
    """[n, H, W]: each tile drawn, independently, from the tiles of `levels` at its position."""
    levels = _check(levels, "levels")
    _, height, width = levels.shape
    which = np.random.default_rng(seed).integers(len(levels), size=(n, height, width))
    return levels[which, np.arange(height)[:, None], np.arange(width)]


def row_unigram(levels: np.ndarray, n: int, seed: int) -> np.ndarray:
    """[n, H, W]: each tile drawn, independently, from all tiles of its row in `levels`."""
    levels = _check(levels, "levels")
    _, height, width = levels.shape
    rows = levels.transpose(1, 0, 2).reshape(height, -1)
    which = np.random.default_rng(seed).integers(rows.shape[1], size=(n, height, width))
    return rows[np.arange(height)[:, None], which]


def column_markov(levels: np.ndarray, n: int, seed: int, order: int = 1) -> np.ndarray:
    """[n, H, W]: whole columns of `levels`, each drawn from those that follow `order` columns equal to the last ones.

    The first `order` are the first ones of a level; where none ever follows, any column of `levels` may come next. The
    higher the order, the longer the pieces that are copied. Raises `UserError` unless 1 <= order <= W.
    """
    levels = _check(levels, "levels")
    _, height, width = levels.shape
    if not 1 <= order <= width:
        raise UserError(f"order must be from 1 to {width}, the number of columns; it is {order}.")
    columns, numbers = np.unique(levels.transpose(0, 2, 1).reshape(-1, height), axis=0, return_inverse=True)
    numbers = numbers.reshape(-1, width)
    followers = defaultdict(list)
    for row in numbers.tolist():
        for i in range(order, width):
            followers[tuple(row[i - order : i])].append(row[i])
    rng, drawn = np.random.default_rng(seed), []
    for start in rng.integers(len(numbers), size=n):
        chain = numbers[start, :order].tolist()
        while len(chain) < width:
            options = followers.get(tuple(chain[-order:])) or numbers.ravel()
            chain.append(int(options[rng.integers(len(options))]))
        drawn.append(chain)
    return columns[np.array(drawn)].transpose(0, 2, 1)


def _windows(levels: np.ndarray, size: int) -> np.ndarray:
    """[size^2, windows]: the tiles of every window, one row for each place in it."""
    rows, columns = levels.shape[1] - size + 1, levels.shape[2] - size + 1
    places = itertools.product(range(size), repeat=2)
    return np.stack([levels[:, i : i + rows, j : j + columns].ravel() for i, j in places])


def _frequencies(counts: np.ndarray, epsilon: float) -> np.ndarray:
    return (counts + epsilon) / ((counts.sum() + epsilon) * (1 + epsilon))


def _check(levels: np.ndarray, name: str) -> np.ndarray:
    levels = np.asarray(levels)
    if levels.dtype != np.uint8 or levels.ndim != 3 or 0 in levels.shape:
        raise UserError(f"{name} is {levels.dtype} {levels.shape}; pass tile numbers as uint8 [N, H, W].")
    return levels


def _check_numbers(numbers: np.ndarray, name: str) -> np.ndarray:
    numbers = np.asarray(numbers, np.float64)
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all():
        raise UserError(f"{name} must hold one finite number an item, and one item at least.")
    return numbers
