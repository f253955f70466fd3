"""Fréchet distance between two sets of features."""

import numpy as np

from jaxgen.metrics.inputs import check_pair


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared 2-Wasserstein distance between Gaussians fitted to `a` [N, F] and `b` [M, F] (Dowson & Landau 1982).

    |mean difference|^2 + tr(A + B - 2 (A B)^(1/2)), with unbiased covariances A and B. It is an FID only in the
    features of the FID's own network, so never call it that for any other. It is biased upward where N or M is small:
    compare sets of the same size. Raises `UserError` on fewer than two items, different F, or values that are not
    finite.
    """
    a, b = check_pair(a, b, ("a", "b"))
    mean = a.mean(0) - b.mean(0)
    root_a, root_b = _root(a), _root(b)
    # With A = Ra' Ra and B = Rb' Rb, tr (A B)^(1/2) is the sum of the singular values of Ra Rb'. Real and not negative
    # whatever the rank, where a square root of A B comes out complex for singular covariances.
    cross = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    return max(0.0, float(mean @ mean + (root_a**2).sum() + (root_b**2).sum() - 2 * cross))


def _root(x: np.ndarray) -> np.ndarray:
    """R [min(N, F), F] with R' R the unbiased covariance of `x` [N, F]."""
    return np.linalg.qr(x - x.mean(0), mode="r") / np.sqrt(len(x) - 1)
