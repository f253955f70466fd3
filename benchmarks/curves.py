"""Two generators over a range of temperatures, compared where they are equally diverse."""

from collections.abc import Mapping, Sequence

import numpy as np

Curve = Sequence[Mapping[str, float]]
"""A point for each temperature."""


def ahead(ours: Curve, theirs: Curve, y: str, x: str) -> float:
    """Mean of ours less their `y` where `x` is the same: at each point of ours that lies within their curve, of which
    `y` is read off by straight lines. nan where none does."""
    known = sorted((point[x], point[y]) for point in theirs)
    at, value = np.array(known).T
    inside = [point for point in ours if at[0] <= point[x] <= at[-1]]
    return float(np.mean([point[y] - np.interp(point[x], at, value) for point in inside])) if inside else float("nan")
