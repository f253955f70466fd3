"""Against paths walked step by step with mirrors, and SciPy's interpolation."""

import itertools

import numpy as np
import pytest
from scipy import ndimage

from jaxgen.data import embedded, moving_digits
from jaxgen.data.transforms import fit
from jaxgen.errors import UserError

SHAPE = (12, 32, 32, 1)


def dots(n):
    """Digits of one bright dot, which shows where the middle of its square is."""
    images = np.zeros((n, 28, 28, 1), np.uint8)
    images[:, 12:16, 12:16] = 255
    return images


def test_speed_is_constant_between_mirrors():
    """Each axis's displacement is one of two walks: as far as ever, or shortened by what lies behind a mirror."""
    path = moving_digits.move(dots(500), SHAPE, seed=3)["path"].astype(np.float64)
    low, high = 7.5, 7.5 + 16
    assert path.min() >= low - 1e-5
    assert path.max() <= high + 1e-5
    for clip in path:
        for axis in (0, 1):
            position, steps = clip[:, axis], np.diff(clip[:, axis])
            fast = np.abs(steps).max()
            for before, after in itertools.pairwise(position):
                free = (before - fast, before + fast)  # then reflected, by hand
                mirrored = [2 * low - f if f < low else 2 * high - f if f > high else f for f in free]
                assert np.abs(np.array(mirrored) - after).min() < 1e-4


def test_speeds_and_directions_are_spread_evenly():
    path = moving_digits.move(dots(4000), SHAPE, seed=1)["path"].astype(np.float64)
    speed = np.hypot(*np.abs(np.diff(path, axis=1)).max(1).T)
    assert 0.99 < speed.min() < 1.05
    assert 2.95 < speed.max() < 3.01
    assert np.histogram(speed, 4, (1, 3))[0].min() > 900
    turned = np.sign(path[:, 1] - path[:, 0])
    for quarter in np.unique(turned[(turned != 0).all(1)], axis=0):
        assert (turned == quarter).all(1).mean() == pytest.approx(0.25, abs=0.03)
    assert np.abs(path[:, 0].mean(0) - 15.5).max() < 0.3


def test_pictures_are_interpolated_linearly():
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1), np.uint8)
    found = moving_digits.move(images, (5, 24, 20, 1), seed=2)
    for image, clip, path in zip(images, found["image"], found["path"], strict=True):
        small = fit(image, (12, 12, 1))[..., 0].astype(float)
        for frame, centre in zip(clip, path.astype(np.float64), strict=True):
            corner = centre - 5.5
            canvas = np.pad(small, ((0, 12), (0, 8)))
            shifted = ndimage.shift(np.pad(canvas, 1), corner, order=1)[1:-1, 1:-1]
            assert np.abs(frame[..., 0] - shifted).max() <= 0.51


def test_dots_are_where_the_path_says():
    found = moving_digits.move(dots(50), SHAPE)
    image = found["image"][..., 0].astype(float)
    for axis in (0, 1):
        along = image.sum(3 - axis)
        centre = along @ np.arange(32) / along.sum(2)
        np.testing.assert_allclose(centre, found["path"][..., axis], atol=0.02)


def test_clips_of_the_set(prepared_mnist_5k):
    test = moving_digits.clips(SHAPE, "test", str(prepared_mnist_5k))
    assert {k: (v.shape, v.dtype.name) for k, v in test.items()} == {
        "image": ((1000, *SHAPE), "uint8"),
        "label": ((1000,), "int32"),
        "path": ((1000, 12, 2), "float32"),
    }
    held_out = embedded.read("mnist_5k", (28, 28, 1), "test", str(prepared_mnist_5k))
    np.testing.assert_array_equal(test["label"], held_out["label"])
    # A digit's brightness stays on the canvas: the square is never cut.
    small = np.stack([fit(image, (16, 16, 1)) for image in held_out["image"][:20]])
    total = test["image"][:20].sum((2, 3, 4), dtype=np.int64)
    assert np.abs(total / small.sum((1, 2, 3), dtype=np.int64)[:, None] - 1).max() < 0.02
    again = moving_digits.clips(SHAPE, "validation", str(prepared_mnist_5k))
    assert all((again[name] == test[name]).all() for name in test)


def test_training_clips_show_each_digit_twice(prepared_mnist_5k):
    train = moving_digits.clips((2, 8, 8, 1), "train", str(prepared_mnist_5k))
    assert train["image"].shape == (8000, 2, 8, 8, 1)
    np.testing.assert_array_equal(train["label"][:4000], train["label"][4000:])
    assert np.abs(train["path"][:4000] - train["path"][4000:]).max(axis=(1, 2)).min() > 0
    other = moving_digits.clips((2, 8, 8, 1), "train", str(prepared_mnist_5k), seed=1)
    assert np.abs(train["path"] - other["path"]).max(axis=(1, 2)).min() > 0


def test_two_digits_pass_over_each_other(prepared_mnist_5k):
    one = moving_digits.clips((3, 16, 16, 1), "test", str(prepared_mnist_5k))
    two = moving_digits.clips((3, 16, 16, 1), "test", str(prepared_mnist_5k), digits=2)
    assert two["label"].shape == (1000, 2)
    assert two["path"].shape == (1000, 3, 2, 2)
    np.testing.assert_array_equal(two["path"][:, :, 0], one["path"])
    np.testing.assert_array_equal(two["label"][:, 0], one["label"])
    assert (two["image"] >= one["image"]).all()
    assert sorted(two["label"][:, 1]) == sorted(one["label"])  # the second of each is another's first
    assert 0.05 < (two["label"][:, 0] == two["label"][:, 1]).mean() < 0.15


def test_the_same_seed_gives_the_same_bits():
    first, again, other = (moving_digits.move(dots(20), SHAPE, seed=seed) for seed in (5, 5, 6))
    assert all((first[name] == again[name]).all() for name in first)
    assert (first["path"] != other["path"]).any()


def test_a_canvas_that_is_all_digit_one_way():
    found = moving_digits.move(dots(4), (3, 16, 8, 1))
    np.testing.assert_allclose(found["path"][..., 1], 3.5)


@pytest.mark.parametrize(
    ("shape", "digits", "says"),
    [((12, 32, 32, 3), 1, "are grey"), ((12, 32, 8, 1), 1, "does not hold"), (SHAPE, 0, "a digit or more")],
)
def test_refuses(shape, digits, says):
    with pytest.raises(UserError, match=says):
        moving_digits.move(dots(2), shape, digits=digits)
