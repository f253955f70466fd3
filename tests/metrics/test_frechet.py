import numpy as np
import pytest
import scipy.linalg

from jaxgen.errors import UserError
from jaxgen.metrics.frechet import frechet_distance


def two_points(mean, deviation):
    """Two items with this mean and, per feature, this unbiased standard deviation; the features fully correlated."""
    return np.array(mean) + np.outer([1, -1], np.array(deviation)) / np.sqrt(2)


def test_one_dimension_by_hand():
    # Between N(m, s^2) and N(n, t^2): (m - n)^2 + (s - t)^2.
    assert frechet_distance(two_points([1.0], [3.0]), two_points([5.0], [1.0])) == pytest.approx(16 + 4)


def test_orthogonal_singular_covariances_by_hand():
    # Variance 4 along the first axis only, 9 along the second only: A B = 0, so tr A + tr B is left.
    assert frechet_distance(two_points([0, 0], [2, 0]), two_points([0, 0], [0, 3])) == pytest.approx(13)


def test_equals_the_matrix_square_root():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(60, 7)) @ rng.normal(size=(7, 7)), rng.normal(size=(50, 7)) * 2 + 1
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    root = np.real(scipy.linalg.sqrtm(cov_a @ cov_b))
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_fewer_items_than_features():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(10, 40)).astype(np.float32)
    assert 0 <= frechet_distance(a, a) < 1e-9
    assert frechet_distance(a, a + 2) == pytest.approx(40 * 4, rel=1e-6)
    assert frechet_distance(a, np.zeros((5, 40))) == pytest.approx(
        (a.mean(0, dtype=np.float64) ** 2).sum() + a.var(0, ddof=1, dtype=np.float64).sum(), rel=1e-6
    )


@pytest.mark.parametrize(
    ("b", "says"),
    [
        (np.zeros((1, 3)), "1 items"),
        (np.zeros((5, 2)), "one extractor"),
        (np.zeros(3), r"\[N, F\]"),
        (np.full((5, 3), np.nan), "NaN"),
    ],
)
def test_refuses(b, says):
    with pytest.raises(UserError, match=says):
        frechet_distance(np.eye(3), b)
