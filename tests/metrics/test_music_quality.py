import math

import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.metrics.music_quality import compare, nearest_copy
from jaxgen.music.roll import from_pitches

TVS = ("pitch_class_tv", "chord_size_tv", "interval_tv", "duration_tv")


def walks(n, seed, slices=32, low=40):
    """[n, slices, 88]: two voices that walk up and down."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(-2, 3, (n, slices, 2)).cumsum(1) % 12 + np.array([low, low + 14])
    return np.stack([from_pitches(piece) for piece in steps.tolist()])


def test_the_same_music_is_at_0():
    row = compare(walks(5, 0), list(walks(5, 0)))
    assert [row[name] for name in TVS] == [0, 0, 0, 0]
    assert row["change"] == row["change_real"]
    assert (row["n_fake"], row["n_real"]) == (5, 5)


def test_by_hand():
    samples = [from_pitches([[60, 64], [60, 67], [60]]), from_pitches([[72]])]
    real = [from_pitches([[60, 64], [60, 64], [], [48]])]
    row = compare(samples, real)
    # C 4 of 6, E 1, G 1; C 3 of 5, E 2.
    assert row["pitch_class_tv"] == pytest.approx((abs(4 / 6 - 3 / 5) + abs(1 / 6 - 2 / 5) + 1 / 6) / 2)
    # Two notes 2 of 4, one 2; two 2 of 4, one 1, none 1.
    assert row["chord_size_tv"] == pytest.approx(0.25)
    # A third and a fifth; two thirds.
    assert row["interval_tv"] == pytest.approx(0.5)
    # 3, 1, 1, 1; 2, 2, 1.
    assert row["duration_tv"] == pytest.approx((abs(3 / 4 - 1 / 3) + 2 / 3 + 1 / 4) / 2)
    assert row["change"] == 1
    assert row["change_real"] == pytest.approx(2 / 3)


def test_each_number_sees_its_own_change():
    rolls = walks(20, 1)
    up = np.roll(rolls, 5, axis=2)  # another key alone
    row = compare(up, rolls)
    assert row["pitch_class_tv"] > 0.01
    assert [row[name] for name in TVS[1:]] == [0, 0, 0]
    shuffled = np.random.default_rng(0).permuted(rolls, axis=1)  # pitches and times, column by column
    assert compare(shuffled, rolls)["chord_size_tv"] > 0.2
    order = rolls[:, np.random.default_rng(0).permutation(32)]
    row = compare(order, rolls)
    assert [row[name] for name in TVS[:3]] == [0, 0, 0]
    assert row["duration_tv"] > 0.05
    slow = compare(np.repeat(rolls, 2, axis=1), rolls)
    assert [slow[name] for name in TVS[:3]] == [0, 0, 0]
    assert slow["duration_tv"] == pytest.approx(1, abs=0.35)
    assert slow["change"] < 0.6 * slow["change_real"]


def test_silence_is_as_far_as_can_be():
    silence, music = np.zeros((3, 8, 88), np.uint8), walks(3, 0)
    for row in (compare(silence, music), compare(music, silence)):
        assert [row[name] for name in TVS] == [1, 1, 1, 1]
    row = compare(silence, silence)
    assert [row[name] for name in TVS] == [0, 0, 0, 0]
    assert row["change"] == 0
    assert compare(silence[:, :1], silence[:, :1])["change"] == 0


def test_long_notes_and_thick_chords_count_as_one():
    held = [np.repeat(from_pitches([[60]]), n, axis=0) for n in (32, 40, 31)]
    assert compare(held[:1], held[1:2])["duration_tv"] == 0
    assert compare(held[:1], held[2:])["duration_tv"] == 1
    chords = [from_pitches([list(range(40, 40 + n))]) for n in (8, 12, 7)]
    assert compare(chords[:1], chords[1:2])["chord_size_tv"] == 0
    assert compare(chords[:1], chords[2:])["chord_size_tv"] == 1


def test_copies_are_found_in_any_key():
    train, others = walks(10, 0), walks(10, 1)
    assert nearest_copy(train, train) == 1
    assert nearest_copy(np.roll(train, 3, axis=2), train) == 1
    assert nearest_copy(others, train) == 0
    patched = others.copy()
    patched[3, 10:18] = np.roll(train[7, 20:28], -2, axis=1)
    patched[5, 10:17] = train[7, 20:27]  # one slice too short
    assert nearest_copy(patched, list(train)) == pytest.approx(0.1)
    assert nearest_copy(patched, train, slices=7) == pytest.approx(0.2)


def test_silence_and_held_chords_are_nobodys():
    silence, held = np.zeros((1, 16, 88), np.uint8), np.repeat(from_pitches([[60, 64]])[None], 16, axis=1)
    for one in (silence, held):
        assert nearest_copy(one, one) == 0


def test_what_is_shorter_than_a_window_does_not_count():
    train = walks(3, 0)
    assert math.isnan(nearest_copy(train[:, :7], train))
    assert nearest_copy([train[0], train[1][:7]], train) == 1
    assert nearest_copy(train, train[:, :7]) == 0


@pytest.mark.parametrize("call", [compare, nearest_copy])
def test_bad_calls(call):
    good = walks(2, 0)
    with pytest.raises(UserError, match=r"samples holds no passages"):
        call([], good)
    with pytest.raises(UserError, match=r"(real|train): .*0 and 1 alone"):
        call(good, good * 0.5)
    with pytest.raises(UserError, match=r"samples: .*has the shape"):
        call(good[0], good)
    with pytest.raises(UserError, match="without slices"):
        call(good, good[:, :0])
    with pytest.raises(UserError, match="2 slices in a row or more, not 1"):
        nearest_copy(good, good, 1)
