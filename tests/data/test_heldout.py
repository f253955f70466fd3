import numpy as np
import pytest

from jaxgen.data.heldout import split_indices
from jaxgen.errors import UserError


@pytest.mark.parametrize(("n", "held_out"), [(2, 1), (9, 1), (10, 1), (25, 2), (1000, 100)])
def test_splits_divide_the_data_and_keep_its_order(n, held_out):
    train, test = split_indices(n, "train", "x"), split_indices(n, "test", "x")
    assert len(test) == held_out
    assert sorted([*train, *test]) == list(range(n))
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()
    np.testing.assert_array_equal(test, split_indices(n, "test", "another name"))
    np.testing.assert_array_equal(test, split_indices(n, "validation", "x"))


def test_held_out_examples_come_from_everywhere():
    test = split_indices(1000, "test", "x")  # a file sorted by class must not lose its last class
    assert (np.histogram(test, 4, (0, 1000))[0] > 10).all()


@pytest.mark.parametrize(("n", "said"), [(0, "no image"), (1, "a single image")])
def test_too_little_to_divide(n, said):
    with pytest.raises(UserError, match=f"The folder x holds {said}"):
        split_indices(n, "train", "The folder x")
