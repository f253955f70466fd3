import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.metrics.histogram import class_histogram, classes_present, label_histogram, total_variation


def rows(*counts_class_confidence):
    """`n` rows given to a class of 4 with this confidence; the rest is shared."""
    parts = []
    for n, c, confidence in counts_class_confidence:
        row = np.full(4, (1 - confidence) / 3)
        row[c] = confidence
        parts += [row] * n
    return np.array(parts)


def test_shares_by_hand():
    np.testing.assert_allclose(class_histogram(rows((3, 0, 0.6), (1, 2, 0.9))), [0.75, 0, 0.25, 0])
    np.testing.assert_allclose(label_histogram(np.array([1, 1, 0, 1]), 3), [0.25, 0.75, 0])


def test_a_class_needs_share_and_confidence():
    # Of 100: class 0 has 90 sure ones; class 1 exactly 3; class 2 two sure and four unsure ones; class 3 one.
    probabilities = rows((90, 0, 0.95), (3, 1, 0.91), (2, 2, 0.99), (4, 2, 0.89), (1, 3, 1.0))
    assert classes_present(probabilities) == 2
    assert classes_present(probabilities, confidence=0.5) == 3
    assert classes_present(probabilities, share=0.01) == 4
    assert classes_present(probabilities, share=0.5) == 1
    assert classes_present(np.eye(40)) == 40  # of many classes none can have 0.03


def test_total_variation_by_hand():
    assert total_variation(np.array([0.5, 0.5, 0]), np.array([0.2, 0.3, 0.5])) == pytest.approx(0.5)
    assert total_variation(np.array([1, 0]), np.array([0, 1])) == 1
    assert total_variation(np.array([0.3, 0.7]), np.array([0.3, 0.7])) == 0


@pytest.mark.parametrize(("p", "q", "says"), [([1], [0.5, 0.5], "one length"), ([3, 1], [0.5, 0.5], "sum to 1")])
def test_total_variation_refuses(p, q, says):
    with pytest.raises(UserError, match=says):
        total_variation(np.array(p), np.array(q))


@pytest.mark.parametrize("metric", [class_histogram, classes_present])
@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.zeros(3)])
def test_refuses_what_is_not_a_table(metric, bad):
    with pytest.raises(UserError, match="probabilities"):
        metric(bad)
