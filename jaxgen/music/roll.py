"""Piano rolls: which of the 88 keys of a piano sound in each slice of time.

A roll is uint8 [T, 88] of 0 and 1: a row a slice, column p the MIDI pitch 21 + p (A0 to C8). A `grid` of g has g slices
in a quarter note. Rolls know no onsets: a pitch that sounds in slices that follow one another is one held note, so that
a repeated note becomes a longer one.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from jaxgen.errors import UserError

LOWEST = 21
"""The MIDI pitch of column 0."""

PITCHES = 88

GRIDS = (1, 96)
"""The least and the most slices in a quarter note."""

TEMPI = (4, 1000)
"""The least and the most quarter notes in a minute; MIDI files hold no slower ones."""


class Note(NamedTuple):
    """One held note of a roll."""

    pitch: int  # MIDI
    first: int  # slice
    slices: int  # how long it is held, at least 1


def from_pitches(slices: Sequence[Sequence[float]]) -> np.ndarray:
    """The MIDI pitches that sound in each slice, in any order -> uint8 [T, 88].

    Raises `UserError` for what is no whole number in 21 to 108.
    """
    roll = np.zeros((len(slices), PITCHES), np.uint8)
    for t, pitches in enumerate(slices):
        for pitch in pitches:
            column = pitch - LOWEST
            if not 0 <= column < PITCHES or column != int(column):  # NaN fails the first
                raise UserError(
                    f"Slice {t} has the pitch {pitch}. A MIDI pitch of a piano is a whole number, {LOWEST} (A0) to "
                    f"{LOWEST + PITCHES - 1} (C8)."
                )
            roll[t, int(column)] = 1
    return roll


def notes(roll: np.ndarray) -> list[Note]:
    """The held notes of uint8 [T, 88], by the slice they begin in, then from low to high."""
    padded = np.pad(check(roll).astype(np.int8), ((1, 1), (0, 0)))
    change = np.diff(padded, axis=0).T  # [88, T + 1]: 1 where a note begins, -1 after its last slice
    columns, first = np.nonzero(change == 1)
    after = np.nonzero(change == -1)[1]  # of the same notes: within a column, beginnings and ends alternate
    order = np.lexsort((columns, first))
    return [Note(int(columns[i]) + LOWEST, int(first[i]), int(after[i] - first[i])) for i in order]


def top_voice(roll: np.ndarray) -> np.ndarray:
    """uint8 [T, 88] -> [T, 88]: of each slice the highest pitch that sounds, if any does. Of a chorale, the soprano."""
    columns = np.arange(PITCHES)
    highest = np.where(check(roll) > 0, columns, -1).max(1, keepdims=True)
    return (columns == highest).astype(np.uint8)


def windows_in_any_key(roll: np.ndarray, slices: int) -> Iterator[bytes]:
    """A value for each `slices` in a row of uint8 [T, 88] in which something changes: the same in any transposition.

    Silence and one chord held are left out: they are in every music.
    """
    if len(check(roll)) < slices:
        return
    every = np.lib.stride_tricks.sliding_window_view(roll, slices, axis=0).swapaxes(1, 2)  # [M, slices, 88]
    every = every[(every != every[:, :1]).any((1, 2))]
    lowest = every.any(1).argmax(1)  # what changes has a note
    columns = (lowest[:, None] + np.arange(PITCHES)) % PITCHES
    moved = np.take_along_axis(every, columns[:, None], axis=2)
    yield from (window.tobytes() for window in np.packbits(moved, axis=2))


def check(roll: np.ndarray) -> np.ndarray:
    """`roll` itself. Raises `UserError` where it is not [T, 88] of 0 and 1."""
    roll = np.asarray(roll)
    if roll.ndim != 2 or roll.shape[1] != PITCHES:
        raise UserError(f"A piano roll has the shape [slices, {PITCHES}], not {list(roll.shape)}.")
    if not ((roll == 0) | (roll == 1)).all():
        raise UserError("A piano roll holds 0 and 1 alone; sample from probabilities, or compare them with 0.5, first.")
    return roll


def check_grid(grid: int) -> int:
    """`grid` itself. Raises `UserError` where it does not lie within `GRIDS`."""
    low, high = GRIDS
    if not low <= grid <= high:
        raise UserError(f"There must be {low} to {high} slices in a quarter note (grid), not {grid}.")
    return grid


def check_bpm(bpm: float) -> float:
    """`bpm` itself. Raises `UserError` where it does not lie within `TEMPI`."""
    low, high = TEMPI
    if not low <= bpm <= high:
        raise UserError(f"The tempo must be {low} to {high:,} quarter notes in a minute (bpm), not {bpm}.")
    return bpm
