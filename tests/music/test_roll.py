import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.music import roll
from jaxgen.music.roll import Note, from_pitches, notes, top_voice


def test_pitches_are_columns():
    found = from_pitches([[21, 108], [], [60.0, 60]])
    assert found.shape == (3, 88)
    assert found.dtype == np.uint8
    assert np.argwhere(found).tolist() == [[0, 0], [0, 87], [2, 39]]
    assert from_pitches([]).shape == (0, 88)


@pytest.mark.parametrize("pitch", [20, 109, -1, 60.5, float("nan"), float("inf")])
def test_other_pitches_are_refused(pitch):
    with pytest.raises(UserError, match=rf"Slice 1 has the pitch {pitch}\. .* 21 \(A0\) to 108 \(C8\)"):
        from_pitches([[60], [61, pitch]])


def test_equal_pitches_in_a_row_are_one_note():
    found = notes(from_pitches([[60, 64], [60], [60, 64], [], [64, 108, 21]]))
    assert found == [Note(60, 0, 3), Note(64, 0, 1), Note(64, 2, 1), Note(21, 4, 1), Note(64, 4, 1), Note(108, 4, 1)]
    assert notes(np.zeros((0, 88), np.uint8)) == notes(np.zeros((5, 88), np.uint8)) == []


def test_notes_make_the_roll_again():
    rolled = (np.random.default_rng(0).uniform(size=(200, 88)) < 0.4).astype(np.uint8)
    again = np.zeros_like(rolled)
    for pitch, first, slices in notes(rolled):
        assert not again[max(0, first - 1) : first + slices + 1, pitch - 21].any()  # apart from the others
        again[first : first + slices, pitch - 21] = 1
    np.testing.assert_array_equal(again, rolled)


def test_the_top_voice_is_the_highest_pitch_of_each_slice():
    found = top_voice(from_pitches([[48, 60, 72], [], [21], [108, 107]]))
    np.testing.assert_array_equal(found, from_pitches([[72], [], [21], [108]]))


def test_windows_are_equal_in_any_key_and_left_out_where_nothing_changes():
    tune = [[60, 64], [60, 65], [62], [], []]
    keys = [list(roll.windows_in_any_key(from_pitches([[p + up for p in s] for s in tune]), 3)) for up in (0, 7, 43)]
    assert keys[0] == keys[1] == keys[2]
    assert len(set(keys[0])) == 3
    other = list(roll.windows_in_any_key(from_pitches([[60, 65], [60, 64], [62], [], []]), 3))
    assert [a == b for a, b in zip(keys[0], other, strict=True)] == [False, False, True]
    assert list(roll.windows_in_any_key(from_pitches([[60]] * 5), 3)) == []
    assert list(roll.windows_in_any_key(from_pitches([[]] * 5), 3)) == []
    assert list(roll.windows_in_any_key(from_pitches([[60], [61]]), 3)) == []


def test_what_is_no_roll():
    for wrong in (np.zeros((3, 87)), np.zeros(88), np.zeros((2, 3, 88))):
        with pytest.raises(UserError, match=r"has the shape \[slices, 88\]"):
            notes(wrong)
    for wrong in (np.full((3, 88), 0.5), np.full((3, 88), 2), np.full((3, 88), np.nan)):
        with pytest.raises(UserError, match="0 and 1 alone"):
            top_voice(wrong)
    for grid in (0, 97):
        with pytest.raises(UserError, match=rf"1 to 96 slices in a quarter note \(grid\), not {grid}"):
            roll.check_grid(grid)
    for bpm in (3, 1001, float("nan")):
        with pytest.raises(UserError, match=rf"4 to 1,000 quarter notes in a minute \(bpm\), not {bpm}"):
            roll.check_bpm(bpm)
