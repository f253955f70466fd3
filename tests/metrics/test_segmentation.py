"""Maps read from pictures: shares by hand, and a reader that has to take the light into account."""

import sys

import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.metrics.segmentation import diversity, mean_iou, segmenter

COLOURS = np.array([[60, 40, 0], [120, 80, 0], [240, 160, 0]])  # each is the one before in twice the light
LIGHTS = (0.25, 0.5, 1)


def pictures(n, seed):
    """(uint8 [n, 6, 8, 3], maps [n, 3, 4]): cells of 2x2 pixels in flat colours, four of each kind, in some light."""
    rng = np.random.default_rng(seed)
    maps = rng.permuted(np.tile(np.repeat(np.arange(3), 4), (n, 1)), axis=1).reshape(n, 3, 4)
    light = rng.choice(LIGHTS, n)[:, None, None, None]
    return (COLOURS[maps] * light).astype(np.uint8).repeat(2, 1).repeat(2, 2), maps.astype(np.uint8)


@pytest.fixture(scope="module")
def reader():
    return segmenter(*pictures(2000, 0), *pictures(50, 1), kinds=3)


def test_intersection_over_union_by_hand():
    maps, read = np.array([[[0, 0, 1], [1, 2, 2]]]), np.array([[[0, 1, 1], [1, 2, 0]]])
    assert mean_iou(read, maps, 3) == pytest.approx((1 / 3 + 2 / 3 + 1 / 2) / 3)
    assert mean_iou(read, maps, 9) == mean_iou(read, maps, 3)  # kinds that do not occur
    assert mean_iou(maps, maps, 3) == 1
    assert mean_iou((maps + 1) % 3, maps, 3) == 0
    assert mean_iou(np.array([0, 0, 0, 3]), np.zeros(4, int), 4) == pytest.approx(
        3 / 8
    )  # what is seen and is not there


def test_all_cells_together():
    """Not the mean over pictures: there the kind that the first lacks would not count."""
    maps, read = np.array([[[0, 0]], [[0, 1]]], np.uint8), np.array([[[0, 0]], [[0, 0]]])
    assert mean_iou(read, maps, 2) == pytest.approx((3 / 4 + 0) / 2)


def test_diversity_by_hand():
    images = np.array([[250, 5], [0, 0], [5, 5], [250, 15]], np.uint8).reshape(4, 1, 2, 1)
    groups = np.array([0, 1, 0, 0])
    assert diversity(images, groups) == pytest.approx((245 / 2 + 10 / 2 + 255 / 2) / 3)  # the second has no other
    assert diversity(images, np.array([0, 1, 1, 0])) == pytest.approx((10 / 2 + 10 / 2) / 2)
    assert diversity(images, np.arange(4)) == 0
    assert diversity(np.repeat(images, 2, axis=0), np.repeat(np.arange(4), 2)) == 0


def test_flat_cells_are_read_in_any_light(reader):
    """The same pixels mean one kind in the dark and another by day."""
    images, maps = pictures(50, 1)
    read = reader.read(images)
    assert read.shape == maps.shape
    np.testing.assert_array_equal(read, maps)
    assert (reader.cell, reader.heldout_miou) == (2, 1)
    day, night = images[images.max((1, 2, 3)) == 240], images[images.max((1, 2, 3)) == 120]
    day[:, :2, :2], night[:, :2, :2] = COLOURS[0], COLOURS[0]
    assert (reader.read(day)[:, 0, 0] == 0).mean() > 0.9
    assert (reader.read(night)[:, 0, 0] == 1).mean() > 0.9


def test_pictures_of_other_maps_are_read_as_what_they_show(reader):
    images, maps = pictures(50, 1)
    shuffled = reader.read(np.roll(images, 1, axis=0))
    np.testing.assert_array_equal(shuffled, np.roll(maps, 1, axis=0))
    assert mean_iou(shuffled, maps, 3) < 0.3  # chance: 1 / 5
    turned = reader.read(images[:, :, ::-1])
    np.testing.assert_array_equal(turned, maps[:, :, ::-1])


def test_pictures_of_another_size(reader):
    images, maps = pictures(6, 2)
    wide, maps = np.concatenate([images, images], axis=2), np.concatenate([maps, maps], axis=2)
    np.testing.assert_array_equal(reader.read(wide), maps)


def test_the_same_data_and_seed_give_the_same_network():
    few, heldout = pictures(100, 0), pictures(20, 1)
    one, again, other = (segmenter(*few, *heldout, kinds=3, seed=seed) for seed in (0, 0, 1))
    assert one.hash == again.hash != other.hash
    assert one.heldout_miou == mean_iou(one.read(heldout[0]), heldout[1], 3)
    assert segmenter(few[0], few[1][::-1], *heldout, kinds=3).hash != one.hash


@pytest.mark.parametrize(
    ("images", "maps"),
    [
        (np.zeros((3, 6, 8, 3), np.uint8), np.zeros((3, 3, 3), np.uint8)),  # cells that are not square
        (np.zeros((3, 7, 8, 3), np.uint8), np.zeros((3, 3, 4), np.uint8)),
        (np.zeros((3, 6, 8, 3), np.uint8), np.zeros((2, 3, 4), np.uint8)),
        (np.zeros((3, 6, 8, 3), np.uint8), np.zeros((3, 12, 16), np.uint8)),  # more cells than pixels
    ],
)
def test_pictures_and_maps_that_do_not_fit(images, maps):
    with pytest.raises(UserError, match="don't fit; a cell is a square of pixels"):
        segmenter(images, maps, images, maps, kinds=2)


def test_scikit_learn_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.neural_network", None)
    with pytest.raises(UserError, match=r"^scikit-learn is needed for .*pip install \"jaxgen\[data\]\""):
        segmenter(*pictures(4, 0), *pictures(4, 1), kinds=3)
