import numpy as np
import pytest

from jaxgen.data import synthetic


@pytest.mark.parametrize("shape", [(28, 28, 1), (8, 16, 3)])
def test_shapes_types_and_labels(shape):
    data = synthetic.images(shape, 7, classes=3)
    assert data["image"].shape == (7, *shape)
    assert data["image"].dtype == np.uint8
    assert data["label"].dtype == np.int32
    assert data["label"].tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_fixed_by_the_seed():
    one, same, other = (synthetic.images((8, 8, 1), 5, seed=s)["image"] for s in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    assert len({image.tobytes() for image in one}) == 5


def test_the_class_can_be_seen_in_the_image():
    train, test = (synthetic.images((28, 28, 1), 200, seed=s) for s in (0, 1))
    means = np.stack([train["image"][train["label"] == c].mean(axis=0) for c in range(10)])
    distance = ((test["image"][:, None] - means) ** 2).sum(axis=(2, 3, 4))
    assert (distance.argmin(axis=1) == test["label"]).mean() > 0.9
