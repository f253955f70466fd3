import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")

from jaxgen.errors import UserError
from jaxgen.metrics.registers import classifier

WORDS = (("sun", "sea", "sand"), ("law", "court", "judge"), ("bread", "milk", "salt"))


def texts(rng, count):
    labels = np.repeat(np.arange(3), count)
    return ["the " + " ".join(rng.choice(WORDS[label], 3)) + " ." for label in labels], labels


def test_tells_categories_apart_and_says_when_it_cannot():
    rng = np.random.default_rng(0)
    trained = classifier(*texts(rng, 30))
    unseen, labels = texts(rng, 20)
    assert trained.accuracy(unseen, labels) == 1
    assert trained.accuracy(unseen, (labels + 1) % 3) == 0
    assert trained.accuracies(unseen, labels) == [1, 1, 1]
    assert trained.accuracy(["The SEA, the sand!"], np.array([0])) == 1
    probabilities = trained.probabilities(["sun sea", "judge milk"])
    assert probabilities.shape == (2, 3)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert probabilities[0].argmax() == 0
    assert probabilities[1].argmin() == 0


def test_order_of_words_counts():
    told, labels = ["up down"] * 9 + ["down up"] * 9, np.repeat([0, 1], 9)
    assert classifier(told, labels).accuracy(["up down", "down up"], np.array([0, 1])) == 1


def test_a_small_category_is_not_overlooked():
    found = classifier(["a b"] * 99 + ["a c"], np.array([0] * 99 + [1])).probabilities(["a"])
    assert found[0, 1] > 0.05  # of every hundredth text


def test_a_label_without_texts():
    trained = classifier(*texts(np.random.default_rng(0), 5))
    found = trained.accuracies(["sun", "sea"], np.array([0, 2]))
    assert found[::2] == [1, 0]
    assert np.isnan(found[1])


def test_refuses(monkeypatch):
    with pytest.raises(UserError, match=r"\[2\] texts"):
        classifier(["a", "b"], np.array([0, 0]))
    with pytest.raises(UserError, match=r"\[1, 0, 1\] texts"):
        classifier(["a", "b"], np.array([0, 2]))
    with pytest.raises(UserError, match="labels is"):
        classifier(["a", "b"], np.array([0, 1, 1]))
    trained = classifier(["a", "b"], np.array([0, 1]))
    with pytest.raises(UserError, match="no text"):
        trained.accuracy([], np.array([], int))
    monkeypatch.setitem(sys.modules, "sklearn.pipeline", None)
    with pytest.raises(UserError, match=r"jaxgen\[data\]"):
        classifier(["a", "b"], np.array([0, 1]))
