"""Squares that move as the test says, and clips whose frames say which they are."""

import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.metrics import motion


def squares(path, side=3, height=32, width=32, channels=1):
    """uint8 [N, T, height, width, channels]: white squares whose upper left corners are at `path` [N, T, 2]."""
    path = np.asarray(path)
    clips = np.zeros((*path.shape[:2], height, width, channels), np.uint8)
    for i, t in np.ndindex(path.shape[:2]):
        y, x = path[i, t]
        clips[i, t, y : y + side, x : x + side] = 255
    return clips


def numbered(n, length, channels=1):
    """Frame t of clip i is all 10 i + t."""
    value = (10 * np.arange(n)[:, None] + np.arange(length)).astype(np.uint8)
    return np.broadcast_to(value[..., None, None, None], (n, length, 4, 5, channels)).copy()


def test_centres_by_hand():
    clips = squares([[(2, 5), (10, 0)]], channels=3)
    np.testing.assert_allclose(motion.centroids(clips), [[(3, 6), (11, 1)]])
    pair = np.zeros((1, 1, 4, 6, 1), np.uint8)
    pair[0, 0, 1, 1], pair[0, 0, 3, 5] = 50, 150
    np.testing.assert_allclose(motion.centroids(pair), [[(0.25 * 1 + 0.75 * 3, 0.25 * 1 + 0.75 * 5)]])


def test_dim_pixels_and_empty_frames_have_no_say():
    clips = np.full((1, 2, 8, 8, 1), motion.EMPTY, np.uint8)
    clips[0, 0, 2, 4] = 200
    centre = motion.centroids(clips)
    np.testing.assert_allclose(centre[0, 0], (2, 4))
    assert np.isnan(centre[0, 1]).all()


def test_centres_of_many_clips_are_those_of_each():
    clips = np.random.default_rng(0).integers(0, 256, (1030, 2, 5, 6, 1), np.uint8)
    found = motion.centroids(clips)
    for i in (0, 511, 512, 1029):
        np.testing.assert_array_equal(found[i], motion.centroids(clips[i : i + 1])[0])


def test_speed_in_spite_of_reflections():
    """3 down and 4 right, mirrored in the middle of a step, is 5 pixels a frame."""
    rows = [0, 3, 6, 9, 12, 11, 8, 5]  # 12 + 3 would be 15; the mirror is at 13
    path = np.stack([rows, 4 * np.arange(8)], axis=1)
    clips = squares([path, path[::-1], np.full((8, 2), 7)])
    np.testing.assert_allclose(motion.speeds(clips), [5, 5, 0])
    np.testing.assert_allclose(motion.steadiness(clips), [6 / 7, 6 / 7, 1])


def test_speed_is_unknown_where_too_few_frames_show_anything():
    clips = squares(np.stack([np.arange(6), np.arange(6)], axis=1)[None].repeat(3, 0))
    clips[1, 2:] = 0  # one displacement is left
    clips[2, 3] = 0  # three are left
    np.testing.assert_allclose(motion.speeds(clips), [np.sqrt(2), np.nan, np.sqrt(2)])
    found = motion.steadiness(clips)
    np.testing.assert_allclose(found, [1, np.nan, 3 / 5])
    np.testing.assert_allclose(motion.speeds(squares([[(0, 0), (0, 2)]])), [2])  # all that two frames can tell


def test_steadiness_of_jumps():
    rows = np.array([0, 2, 4, 10, 12, 14, 16])  # one jump of 6 among steps of 2
    path = np.stack([rows, np.zeros(7, int)], axis=1)
    np.testing.assert_allclose(motion.steadiness(squares([path])), [5 / 6])
    assert motion.steadiness(squares([path]), tolerance=4)[0] == 1
    np.testing.assert_allclose(motion.steadiness(squares([path], height=64), tolerance=2), [1])  # 4 pixels there


def test_speed_histogram_by_hand():
    speed = np.array([0, 0.6, 0.7, 1.0, 3.4, 99, np.nan, np.nan])
    expected = np.array([1, 2, 1, 0, 0, 0, 1, 1, 2]) / 8
    np.testing.assert_allclose(motion.speed_histogram(speed, 32), expected)
    np.testing.assert_allclose(motion.speed_histogram(2 * speed, 64), expected)
    np.testing.assert_allclose(motion.speed_histogram(np.array([1.0, 5.0]), 1, edges=(3,)), [0.5, 0.5, 0])


def test_speed_histogram_tv_by_hand():
    a, b = np.array([0.1, 0.2, 2.2, np.nan]), np.array([0.3, 2.3, 2.4, 2.4])
    assert motion.speed_histogram_tv(a, b, 32) == pytest.approx(0.5)
    assert motion.speed_histogram_tv(a, a, 32) == 0
    with pytest.raises(UserError, match="one clip or more"):
        motion.speed_histogram_tv(a, np.array([]), 32)


def test_motion_energy_by_hand():
    clips = numbered(2, 3)
    clips[1, 1] = 0  # 10, 0, 12
    np.testing.assert_allclose(motion.motion_energy(clips), [1, 11])


def test_identity_by_hand():
    def clip(*frames):
        return [[c if k == chosen else (1 - c) / 2 for k in range(3)] for chosen, c in frames]

    probabilities = np.array(
        [
            clip((0, 0.9), (0, 0.9), (0, 0.9), (0, 0.9)),
            clip((1, 0.9), (1, 0.9), (2, 0.4), (1, 0.9)),  # one frame unsure
            clip((1, 0.9), (1, 0.9), (2, 0.9), (1, 0.9)),  # one frame surely another
            clip((1, 0.9), (1, 0.4), (2, 0.4), (1, 0.4)),  # too few sure frames
        ]
    )
    assert motion.identity_constant(probabilities) == 0.25
    assert motion.identity_constant(probabilities, 0.5) == 0.5
    with pytest.raises(UserError, match="clips, frames, classes"):
        motion.identity_constant(probabilities[0])


def test_frames_in_the_channels():
    clips = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 6, 3), np.uint8)
    found = motion.stack_frames(clips)
    assert found.shape == (2, 5, 6, 12)
    for t in range(4):
        np.testing.assert_array_equal(found[..., 3 * t : 3 * t + 3], clips[:, t])


@pytest.mark.parametrize("length", [3, 12])
def test_shuffled_keeps_the_frames_and_neither_order(length):
    clips = numbered(20, length)
    found = motion.shuffled(clips, seed=1)[:, :, 0, 0, 0].astype(int) - 10 * np.arange(20)[:, None]
    assert (np.sort(found) == np.arange(length)).all()
    assert not (found == np.arange(length)).all(1).any()
    assert not (found == np.arange(length)[::-1]).all(1).any()
    assert len({tuple(row) for row in found.tolist()}) == (4 if length == 3 else 20)
    np.testing.assert_array_equal(motion.shuffled(clips, 1), motion.shuffled(clips, 1))
    assert (motion.shuffled(clips, 1) != motion.shuffled(clips, 2)).any()


def test_still_repeats_a_frame():
    clips = numbered(20, 6)
    found = motion.still(clips, seed=1)[:, :, 0, 0, 0].astype(int)
    assert (found == found[:, :1]).all()
    assert set((found[:, 0] - 10 * np.arange(20)).tolist()) == set(range(6))


def test_centred_finds_the_thing_anywhere():
    path = [[(0, 0), (14, 9), (29, 29)]]
    found = motion.centred(squares(path), 5)
    expected = np.zeros((5, 5), np.uint8)
    expected[1:4, 1:4] = 255
    for frame in found[0]:
        np.testing.assert_array_equal(frame[..., 0], expected)
    clips = squares(path, channels=3)
    clips[0, 1] = 0
    found = motion.centred(clips, 6)
    assert found.shape == (1, 3, 6, 6, 3)
    assert (found[0, 1] == 0).all()
    assert (found[0, [0, 2]].astype(int).sum((1, 2, 3)) == 9 * 3 * 255).all()


def test_centred_may_be_wider_than_the_clip():
    lone = np.zeros((1, 1, 8, 8, 1), np.uint8)
    lone[0, 0, 7, 0] = 255
    found = motion.centred(lone, 21)[0, 0, ..., 0]
    assert found.shape == (21, 21)
    assert found[10, 10] == 255
    assert (found > 0).sum() == 1


@pytest.mark.parametrize(
    ("call", "clips", "says"),
    [
        (motion.centroids, np.zeros((2, 3, 4, 5), np.uint8), "pass uint8 clips"),
        (motion.stack_frames, np.zeros((2, 3, 4, 5, 1)), "pass uint8 clips"),
        (motion.speeds, np.zeros((2, 1, 4, 5, 1), np.uint8), "at least 2"),
        (motion.shuffled, np.zeros((2, 2, 4, 5, 1), np.uint8), "at least 3"),
        (motion.still, np.zeros((0, 2, 4, 5, 1), np.uint8), "pass uint8 clips"),
    ],
)
def test_refuses(call, clips, says):
    with pytest.raises(UserError, match=says):
        call(clips)
