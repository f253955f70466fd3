"""Piano rolls as pictures: pitch upwards, time to the right."""

import numpy as np

from jaxgen.errors import UserError
from jaxgen.music.roll import LOWEST, PITCHES, check, check_grid, notes

MARGIN = 2
"""Pitches above the highest note and below the lowest one that are shown too."""

_BAR = 4  # quarter notes
_ROW = 6  # pixels of a pitch
_QUARTER = 16  # pixels of a quarter note, at least
_SLICE = 4  # pixels of a slice, at least: a short note and its border must be seen

_PAPER, _BLACK_KEY = (255, 255, 255), (244, 244, 246)
_BEAT, _BAR_LINE, _OCTAVE = (228, 228, 232), (176, 176, 184), (196, 196, 206)
_LOW, _HIGH = np.array((38, 84, 160)), np.array((214, 92, 46))  # of notes, from the lowest pitch shown to the highest
_BLACK_KEYS = (1, 3, 6, 8, 10)


def drawn(roll: np.ndarray, grid: int, pitches: tuple[int, int] | None = None) -> np.ndarray:
    """uint8 [T, 88] -> a picture uint8 [H, W, 3] of its notes, from blue (low) to orange (high).

    A row of six pixels is a pitch: rows of black keys are grey, and there is a line below each C. A quarter note is 16
    pixels wide, or 4 `grid` where that is more; a line stands where each begins, a darker one at bars of four. A note
    begins with a dark edge, and a gap ends it.

    `pitches` (lowest, highest), in MIDI numbers, is the range that is shown: pass one range for pictures that stand
    above one another; notes outside are left out. By default that of the notes, and `MARGIN` on either side. Raises
    `UserError` on what is no roll, a roll without slices, a grid out of range, or pitches outside 21 to 108.
    """
    wide = max(_SLICE, -(-_QUARTER // check_grid(grid)))
    low, high = span([roll]) if pitches is None else pitches
    if not LOWEST <= low <= high < LOWEST + PITCHES:
        raise UserError(f"Pitches are shown from {LOWEST} to {LOWEST + PITCHES - 1}, low before high; not {low, high}.")
    if not len(check(roll)):
        raise UserError("A roll without slices cannot be drawn.")
    picture = _paper(len(roll), low, high, grid, wide)
    for pitch, first, slices in notes(roll):
        if low <= pitch <= high:
            share = (pitch - low) / max(1, high - low)
            colour = _LOW + share * (_HIGH - _LOW)
            top, left, right = (high - pitch) * _ROW, first * wide, (first + slices) * wide
            picture[top + 1 : top + _ROW, left : right - 1] = colour
            picture[top + 1 : top + _ROW, left] = 0.4 * colour
    return picture


def span(rolls: list[np.ndarray] | np.ndarray) -> tuple[int, int]:
    """(lowest, highest) MIDI pitch of several rolls [T, 88], of silence 60 to 72, and `MARGIN` on either side."""
    used = np.flatnonzero(np.any([check(roll).any(0) for roll in rolls], axis=0))
    low, high = (LOWEST + used[0], LOWEST + used[-1]) if len(used) else (60, 72)
    return int(max(LOWEST, low - MARGIN)), int(min(LOWEST + PITCHES - 1, high + MARGIN))


def _paper(slices: int, low: int, high: int, grid: int, wide: int) -> np.ndarray:
    """The picture without its notes: one more pixel below and at the right, for the last lines."""
    height, width = (high - low + 1) * _ROW + 1, slices * wide + 1
    picture = np.full((height, width, 3), _PAPER, np.uint8)
    for pitch in range(low, high + 1):
        if pitch % 12 in _BLACK_KEYS:
            top = (high - pitch) * _ROW
            picture[top : top + _ROW] = _BLACK_KEY
    picture[:, :: grid * wide] = _BEAT
    for pitch in range(low, high + 1):
        if pitch % 12 == 0:
            picture[(high - pitch + 1) * _ROW] = _OCTAVE
    picture[:, :: _BAR * grid * wide] = _BAR_LINE
    return picture
