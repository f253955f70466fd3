import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.metrics import nearest
from jaxgen.metrics.coverage import density_coverage, precision_recall


def radii(x, k):
    return [sorted(np.linalg.norm(x[i] - x[j]) for j in range(len(x)) if j != i)[k - 1] for i in range(len(x))]


def naive_density_coverage(real, fake, k):
    inside = np.array([[np.linalg.norm(f - r) < d for r, d in zip(real, radii(real, k), strict=True)] for f in fake])
    return inside.sum() / (k * len(fake)), inside.any(0).mean()


def naive_precision(real, fake, k):
    reach = radii(real, k)
    return np.mean([any(np.linalg.norm(f - r) <= d for r, d in zip(real, reach, strict=True)) for f in fake])


@pytest.fixture
def sets():
    rng = np.random.default_rng(0)
    return rng.normal(size=(23, 3)), rng.normal(size=(17, 3)) * 0.7 + 0.5


def test_by_hand():
    real = np.array([[0.0], [1.0], [3.0], [10.0]])  # radii with k = 1: 1, 1, 2, 7
    fake = np.array([[0.5], [0.6], [20.0]])  # the first two lie in the first two balls; 0.5 and 0.6 miss 3's (1..5)
    assert density_coverage(real, fake, k=1) == pytest.approx((4 / 3, 0.5))
    # Radii of the fakes: 0.1, 0.1, 19.4. The last one's ball reaches from 0.6 to 39.4 and holds 1, 3 and 10.
    assert precision_recall(real, fake, k=1) == pytest.approx((2 / 3, 0.75))


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("block", [2**24, 64])
def test_equals_the_loops(sets, k, block, monkeypatch):
    monkeypatch.setattr(nearest, "_BLOCK", block)
    real, fake = sets
    assert density_coverage(real, fake, k) == pytest.approx(naive_density_coverage(real, fake, k))
    expected = naive_precision(real, fake, k), naive_precision(fake, real, k)
    assert precision_recall(real, fake, k) == pytest.approx(expected)


def test_the_real_distribution_scores_as_the_paper_says():
    rng = np.random.default_rng(1)
    density, coverage = density_coverage(rng.normal(size=(1000, 8)), rng.normal(size=(1000, 8)))
    assert density == pytest.approx(1, abs=0.1)
    assert coverage == pytest.approx(1 - 2**-5, abs=0.02)


def test_a_collapsed_set_covers_little(sets):
    real, _ = sets
    density, coverage = density_coverage(real, np.repeat(real[:1], 50, axis=0), k=2)
    assert coverage < 0.3
    assert density > 0.4


@pytest.mark.parametrize("k", [0, 23])
@pytest.mark.parametrize("metric", [density_coverage, precision_recall])
def test_refuses_k(sets, k, metric):
    with pytest.raises(UserError, match="neighbours"):
        metric(*sets, k)
