"""Generated music against real: what its notes and chords are like, and whether it was copied.

Music here is a set of passages, each a piano roll uint8 [T, 88] (`jaxgen.music.roll`): a list of them, T from 1 on and
not always the same, or one array [N, T, 88]. Cut padding off first, as it would count as silence. Both sets need one
grid. Every function raises `UserError` for a set without passages, and for passages of another shape or values.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxgen.errors import UserError
from jaxgen.metrics.histogram import total_variation
from jaxgen.music.roll import LOWEST, PITCHES, check, notes, windows_in_any_key

Row = dict[str, Any]
Rolls = Sequence[np.ndarray] | np.ndarray

CHORD = 8
"""Notes at a time from which on all chords count as one."""

LONGEST = 32
"""Slices from which on all durations count as one."""


def compare(samples: Rolls, real: Rolls) -> Row:
    """How far the histograms of `samples` lie from those of `real`, in total variation: 0 is the same, 1 disjoint.

    pitch_class_tv: of the twelve pitch classes, each note weighted by its duration. chord_size_tv: of the number of
    notes that sound in a slice, 0 to `CHORD`. interval_tv: of the semitones between each two notes that sound together.
    duration_tv: of the slices that notes are held, 1 to `LONGEST`. change: the share of slices, the first of each
    passage left out, that differ from the one before; change_real: that of `real`. Where one of the sets has nothing to
    count, as silence has no notes, the distance is 1; where both do not, 0.

    A passage cuts the notes at its ends short, so compare passages of one length. Real music is not at 0 either: put
    the row of training passages against held-out ones beside that of samples.
    """
    fake, true = _checked(samples, "samples"), _checked(real, "real")
    found, there = _counts(fake), _counts(true)
    row: Row = {f"{name}_tv": _distance(found[name], there[name]) for name in found}
    return row | {"change": _change(fake), "change_real": _change(true), "n_fake": len(fake), "n_real": len(true)}


def nearest_copy(samples: Rolls, train: Rolls, slices: int = 8) -> float:
    """The share of `samples` of which some `slices` in a row are, in any transposition, those of a passage of `train`.

    Windows in which nothing changes, silence or one chord held, do not count. Choose eight quarter notes, so eight
    slices on a grid of 1 and 32 on one of 4, and give whole training pieces, whose passages have fewer windows. Real
    pieces of one style share such windows too, so the share says something beside that of held-out passages of the same
    length. Of those, against the training pieces:

        JSB Chorales, grid 1, passages of 32     4 slices  .73    8 slices  .06    16 slices  .01
        bach_chorales, grid 4, passages of 64    8 slices  .96   16 slices  .32    32 slices  .02

    nan where no sample is as long as a window. Raises `UserError` where `slices` is below 2.
    """
    if slices < 2:
        raise UserError(f"A copy is told from 2 slices in a row or more, not {slices}.")
    known = {window for roll in _checked(train, "train") for window in windows_in_any_key(roll, slices)}
    long = [roll for roll in _checked(samples, "samples") if len(roll) >= slices]
    copied = [any(window in known for window in windows_in_any_key(roll, slices)) for roll in long]
    return float(np.mean(copied)) if copied else float("nan")


def _counts(rolls: list[np.ndarray]) -> dict[str, np.ndarray]:
    """What the histograms of `compare` count, by name."""
    whole = np.concatenate(rolls).astype(np.float64)
    pitches = whole.sum(0)
    together = whole.T @ whole  # [88, 88]: slices in which two pitches sound together
    held = [note.slices for roll in rolls for note in notes(roll)]
    return {
        "pitch_class": np.bincount((LOWEST + np.arange(PITCHES)) % 12, pitches, minlength=12),
        "chord_size": np.bincount(np.minimum(whole.sum(1).astype(int), CHORD), minlength=CHORD + 1),
        "interval": np.array([np.trace(together, offset) for offset in range(1, PITCHES)]),
        "duration": np.bincount(np.minimum(held, LONGEST).astype(int), minlength=LONGEST + 1),
    }


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    if not a.sum() or not b.sum():
        return float(a.sum() != b.sum())
    return total_variation(a / a.sum(), b / b.sum())


def _change(rolls: list[np.ndarray]) -> float:
    changes = np.concatenate([(roll[1:] != roll[:-1]).any(1) for roll in rolls])
    return float(changes.mean()) if len(changes) else 0.0


def _checked(rolls: Rolls, name: str) -> list[np.ndarray]:
    if not len(rolls):
        raise UserError(f"{name} holds no passages; pass at least one.")
    try:
        found = [check(roll) for roll in rolls]
    except UserError as error:
        raise UserError(f"{name}: {error} Pass a list of such rolls, or [N, slices, {PITCHES}].") from error
    if not all(len(roll) for roll in found):
        raise UserError(f"{name} holds a passage without slices; leave it out.")
    return found
