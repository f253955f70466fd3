import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.metrics import kernel
from jaxgen.metrics.kernel import kid


def naive(a, b):
    """The unbiased estimator, pair by pair."""

    def k(x, y):
        return (float(x @ y) / len(x) + 1) ** 3

    def within(x):
        pairs = [k(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j]
        return np.mean(pairs)

    return within(a) + within(b) - 2 * np.mean([k(x, y) for x in a for y in b])


@pytest.fixture
def sets():
    rng = np.random.default_rng(0)
    return rng.normal(size=(9, 4)), rng.normal(size=(7, 4)) + 0.5


def test_by_hand():
    # One feature; a is all 1: k = 8 within. b is all -1: k = 8 within. Between: 0.
    assert kid(np.ones((3, 1)), -np.ones((4, 1))) == pytest.approx((16, 0))


def test_equals_the_double_loop(sets):
    assert kid(*sets)[0] == pytest.approx(naive(*sets), rel=1e-12)


def test_error_equals_the_jackknife(sets):
    a, b = sets
    variance = 0.0
    without_a = np.array([naive(np.delete(a, i, 0), b) for i in range(len(a))])
    without_b = np.array([naive(a, np.delete(b, i, 0)) for i in range(len(b))])
    for x in (without_a, without_b):
        variance += (len(x) - 1) / len(x) * ((x - x.mean()) ** 2).sum()
    assert kid(a, b)[1] == pytest.approx(variance**0.5, rel=1e-9)


def test_blocks_do_not_change_it(sets, monkeypatch):
    whole = kid(*sets)
    monkeypatch.setattr(kernel, "_BLOCK", 16)  # two rows at a time, the last block smaller
    assert kid(*sets) == pytest.approx(whole, rel=1e-12)


def test_unbiased_where_the_distributions_agree():
    rng = np.random.default_rng(1)
    values = np.array([kid(rng.normal(size=(20, 3)), rng.normal(size=(20, 3)))[0] for _ in range(300)])
    assert abs(values.mean()) < 4 * values.std() / len(values) ** 0.5
    assert (values < 0).any()


def test_the_error_is_the_spread_over_repeats():
    rng = np.random.default_rng(2)
    repeats = np.array([kid(rng.normal(size=(40, 3)), rng.normal(size=(40, 3)) + 1) for _ in range(200)])
    assert repeats[:, 1].mean() == pytest.approx(repeats[:, 0].std(), rel=0.2)


def test_refuses_two_items():
    with pytest.raises(UserError, match="at least 3"):
        kid(np.eye(3), np.eye(3)[:2])
