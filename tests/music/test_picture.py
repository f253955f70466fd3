import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.music.picture import drawn, span
from jaxgen.music.roll import from_pitches


def colourful(picture):
    """[H, W]: where there is a note; paper and lines are nearly grey."""
    wide = picture.astype(int)
    return wide.max(-1) - wide.min(-1) > 30


def test_pitch_goes_upwards_and_time_to_the_right():
    picture = drawn(from_pitches([[60], [64, 60], [], [62]]), 1)
    assert picture.shape == (9 * 6 + 1, 4 * 16 + 1, 3)  # 58 to 66
    assert picture.dtype == np.uint8
    there = colourful(picture)
    middle = there[3::6, 8::16]  # of each pitch, from above, and of each slice
    assert np.argwhere(middle).tolist() == [[2, 1], [4, 3], [6, 0], [6, 1]]
    assert there[6 * 6 + 3, 16]  # held: nothing between its slices
    row = picture[6 * 6 + 3, :33]
    assert row[0].max() < 0.5 * row[1].max()  # its beginning is dark
    assert (row[1:31] == row[1]).all()
    assert not there[6 * 6 + 3, 31]  # a gap behind it


def test_two_notes_in_a_row_are_told_apart_from_one():
    apart, held = (colourful(drawn(from_pitches(s), 4))[2 * 6 + 3] for s in ([[60], [], [60]], [[60], [60], [60]]))
    assert np.flatnonzero(np.diff(apart.astype(int))).size > np.flatnonzero(np.diff(held.astype(int))).size


def test_lines_stand_at_beats_bars_and_below_each_c():
    picture = drawn(from_pitches([[59, 61]] + [[]] * 32), 4, pitches=(59, 61))
    blank = picture[3, 32:].astype(int).mean(-1)  # a row of the black key 61, behind the note
    lines = 32 + np.flatnonzero(blank < blank.max())
    assert lines.tolist() == [32, 48, 64, 80, 96, 112, 128]  # of 16 pixels each
    assert picture[3, 64].max() < picture[3, 48].max()
    assert picture[3, 48].max() < picture[3, 50].max()
    assert picture[12, 40].max() < picture[13, 40].max()  # the line below middle C


def test_a_range_makes_pictures_of_one_height():
    low, high = from_pitches([[40]]), from_pitches([[80]])
    both = span([low, high])
    assert both == (38, 82)
    first, second = drawn(low, 4, both), drawn(high, 4, both)
    assert first.shape == second.shape
    assert colourful(first).any()
    assert not colourful(drawn(low, 4, (60, 72))).any()
    assert span([from_pitches([[21, 108]])]) == (21, 108)
    assert span([from_pitches([[]])]) == span([]) == (58, 74)
    assert drawn(from_pitches([[]]), 4).shape == (17 * 6 + 1, 5, 3)


def test_bad_calls():
    roll = from_pitches([[60]])
    for pitches in ((20, 60), (60, 109), (61, 60)):
        with pytest.raises(UserError, match="Pitches are shown from 21 to 108"):
            drawn(roll, 4, pitches)
    with pytest.raises(UserError, match="without slices"):
        drawn(roll[:0], 4)
    with pytest.raises(UserError, match="grid"):
        drawn(roll, 0)
    with pytest.raises(UserError, match="0 and 1 alone"):
        drawn(roll * 3, 4)
