import numpy as np
import pytest
import scipy.spatial.distance

from jaxgen.errors import UserError
from jaxgen.metrics import nearest
from jaxgen.metrics.nearest import memorisation_auc, nearest_distance, nearest_item


def test_distance_by_hand():
    found = nearest_distance(np.array([[0, 0], [3, 4]]), np.array([[0, 1], [6, 8]]))
    np.testing.assert_allclose(found, [1, np.sqrt(18)])


def test_the_nearest_item_is_named():
    index, distance = nearest_item(np.array([[9.0, 0], [0, 2], [4, 0]]), np.array([[0.0, 0], [8, 0], [4, 0]]))
    assert index.tolist() == [1, 0, 2]
    assert distance.tolist() == [1, 2, 0]


def test_a_copy_is_at_exactly_zero():
    items = np.random.default_rng(0).normal(size=(50, 8)) * 1e3 + 1e6
    np.testing.assert_array_equal(nearest_distance(items[::3], items), 0)


@pytest.mark.parametrize("block", [2**24, 64])
def test_equals_scipy(block, monkeypatch):
    monkeypatch.setattr(nearest, "_BLOCK", block)  # 64: three rows at a time, the last block smaller
    rng = np.random.default_rng(1)
    queries, items = rng.normal(size=(31, 5)), rng.normal(size=(20, 5))
    expected = scipy.spatial.distance.cdist(queries, items).min(1)
    np.testing.assert_allclose(nearest_distance(queries, items), expected, rtol=1e-12)


def test_auc_by_counting_pairs():
    rng = np.random.default_rng(2)
    samples, heldout = rng.integers(0, 6, 30), rng.integers(2, 8, 25)  # integers: many ties
    pairs = [1.0 if s < h else 0.5 if s == h else 0.0 for s in samples for h in heldout]
    assert memorisation_auc(samples, heldout) == pytest.approx(np.mean(pairs), rel=1e-12)


@pytest.mark.parametrize(
    ("samples", "expected"), [([0, 0, 0], 1.0), ([9, 9], 0.0), ([1, 2, 3], 0.5), ([2], 0.5), ([1, 1], 2.5 / 3)]
)
def test_auc_by_hand(samples, expected):
    assert memorisation_auc(np.array(samples), np.array([1, 2, 3])) == pytest.approx(expected)


@pytest.mark.parametrize("bad", [np.array([]), np.array([np.inf]), np.zeros((2, 2))])
def test_auc_refuses(bad):
    with pytest.raises(UserError, match="samples"):
        memorisation_auc(bad, np.ones(3))


def test_distance_refuses_another_width():
    with pytest.raises(UserError, match="one extractor"):
        nearest_distance(np.ones((2, 3)), np.ones((2, 4)))
