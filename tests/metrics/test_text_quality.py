import itertools

import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.metrics import text_quality
from jaxgen.metrics.text_quality import copies, distinct, memorisation, near_copies, nearest_text
from jaxgen.metrics.tokens import texts


def rows(*texts):
    tokens = np.zeros((len(texts), max(map(len, texts))), np.int32)
    for row, text in zip(tokens, texts, strict=True):
        row[: len(text)] = text
    return tokens


def test_distinct_by_hand():
    tokens = rows([1, 2, 1, 2], [1, 2, 0, 9], [3])
    assert distinct(tokens, 1) == 3 / 7
    assert distinct(tokens, 2) == 2 / 4  # 12, 21, 12; 12
    assert distinct(tokens, 4) == 1
    assert distinct(tokens, 9) == 0


def test_copies_end_where_the_text_ends():
    train = rows([1, 2, 3], [4, 5])
    samples = rows([1, 2, 3, 0, 7, 7], [1, 2], [4, 5, 6], [4, 5])
    assert copies(samples, train) == 0.5


@pytest.mark.parametrize(
    ("sample", "near"),
    [
        ([1, 2, 3, 4, 9], True),  # 4 of 5 in a row
        ([1, 2, 9, 4, 5], False),
        ([2, 3, 4, 5, 6, 7, 8, 9, 9, 9], False),  # 7 of 10
        ([9, 2, 3, 4, 5, 6, 7, 8, 8, 9], False),
        ([9, 1, 2, 3, 4, 5, 6, 7, 8, 9], True),  # 8 of 10
        ([1, 2, 3], False),  # too short to be one
        ([20, 21], True),  # but for a copy
        ([4, 5, 6, 7], True),
        ([], False),
        ([8, 20, 21, 8], False),  # no run across two texts
    ],
)
def test_near_copies_by_hand(sample, near):
    assert near_copies(rows(sample, [30]), rows([1, 2, 3, 4, 5, 6, 7, 8], [20, 21])) == near / 2


def jaccard_distance(a, b):
    a, b = ({*text, *itertools.pairwise(text)} for text in (a, b))
    return 1 - (len(a & b) / len(a | b) if a | b else 1)


@pytest.mark.parametrize("block", [2**23, 50])
def test_nearest_text_equals_sets(block, monkeypatch):
    monkeypatch.setattr(text_quality, "_BLOCK", block)
    rng = np.random.default_rng(0)
    queries, items = (rng.integers(1, 6, (n, 6)) * (np.arange(6) < rng.integers(0, 7, (n, 1))) for n in (31, 20))
    expected = np.array([[jaccard_distance(q, i) for i in texts(items)] for q in texts(queries)])
    index, distance = nearest_text(queries, items)
    np.testing.assert_allclose(distance, expected.min(1), atol=1e-6)
    np.testing.assert_allclose(expected[np.arange(31), index], expected.min(1), atol=1e-6)


def test_nearest_text_by_hand():
    index, distance = nearest_text(rows([1, 2], [7]), rows([2, 1], [1, 2, 3], [1, 2]))
    assert index.tolist()[0] == 2
    assert distance.tolist() == [0, 1]


def test_what_copies_is_memorised():
    rng = np.random.default_rng(1)
    train, heldout, other = (rng.integers(1, 50, (200, 8)) for _ in range(3))
    assert memorisation(train[:50], train, heldout)["memorisation_auc"] > 0.99
    assert abs(memorisation(other, train, heldout)["memorisation_auc"] - 0.5) < 0.1
    assert memorisation(other + 100, train, heldout)["memorisation_auc"] < 0.01
    assert memorisation(train[:50], train, heldout)["train_distance"] == 0


def test_refuses():
    tokens = rows([1, 2])
    with pytest.raises(UserError, match="at least 1, not 0"):
        distinct(tokens, 0)
    for metric in (copies, near_copies):
        with pytest.raises(UserError, match="samples has 0 texts"):
            metric(tokens[:0], tokens)
        with pytest.raises(UserError, match="train is float"):
            metric(tokens, tokens * 1.0)
    with pytest.raises(UserError, match="items is"):
        nearest_text(tokens, tokens[0])
