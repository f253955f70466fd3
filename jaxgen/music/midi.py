"""Standard MIDI files from and to piano rolls (`roll`), by the library mido."""

import io
from collections.abc import Iterator
from types import ModuleType

import numpy as np
from etils import epath

from jaxgen import files
from jaxgen.errors import UserError, needed
from jaxgen.music.roll import LOWEST, PITCHES, check, check_bpm, check_grid, notes

MOST = 100_000
"""Slices of the longest file that is read: at four a quarter note and 120 quarters a minute, three and a half hours."""

_TICKS = 480  # in a quarter note, or the next multiple of the grid below it
_DRUMS = 9  # the channel that people call 10
_VELOCITY = 80


def to_bytes(roll: np.ndarray, grid: int, bpm: float = 90) -> bytes:
    """The content of a MIDI file (type 1) of `roll` uint8 [T, 88]: each held note once, on a piano, in 4/4.

    `grid` is slices in a quarter note, `bpm` quarter notes in a minute. A first track has tempo and metre, the second
    the notes; it ends after T slices. Raises `UserError` on what is no roll, a grid or tempo out
    of range, and where mido is missing.
    """
    mido = _library()
    ticks = max(1, _TICKS // check_grid(grid))  # in a slice
    file = mido.MidiFile(type=1, ticks_per_beat=ticks * grid)
    head = mido.MidiTrack()
    head.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(check_bpm(bpm))))
    head.append(mido.MetaMessage("time_signature", numerator=4, denominator=4))
    track = mido.MidiTrack()
    track.append(mido.Message("program_change", program=0))
    events = []  # (slice, is on, pitch): in one slice, notes end before others begin
    for pitch, first, slices in notes(check(roll)):
        events += [(first, True, pitch), (first + slices, False, pitch)]
    now = 0
    for at, on, pitch in sorted(events):
        kind, velocity = ("note_on", _VELOCITY) if on else ("note_off", 0)
        track.append(mido.Message(kind, note=pitch, velocity=velocity, time=(at - now) * ticks))
        now = at
    track.append(mido.MetaMessage("end_of_track", time=(len(roll) - now) * ticks))
    file.tracks += [head, track]
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def write(path: epath.PathLike, roll: np.ndarray, grid: int, bpm: float = 90) -> epath.Path:
    """`to_bytes` to the file `path`, in one piece: no reader sees half of it. Its folder is made."""
    return files.write(path, to_bytes(roll, grid, bpm))


def read(path: epath.PathLike, grid: int) -> np.ndarray:
    """The MIDI file `path` as `from_bytes` has it. Raises `UserError` where it cannot be read, too."""
    try:
        content = epath.Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"Cannot read {path} ({error.strerror or error}).") from error
    return from_bytes(content, grid, str(path))


def from_bytes(content: bytes, grid: int, source: str) -> np.ndarray:
    """The content of a MIDI file of type 0 or 1 -> uint8 [T, 88], with `grid` slices in a quarter note.

    Both ends of a note move to the nearest slice, and it stays at least one slice long: on a grid coarser than its
    shortest notes, they sound together with what comes next. All tracks and instruments
    become one roll. Left out are drums (channel 10), pitches beyond the 88, the pedal, tempo (a quarter note is one at
    any speed), and silence after the last note; silence before the first stays, so that beats stay where they are. A
    note that is never ended goes on to the end of its track. `source` names the file in messages.

    Raises `UserError` for bytes that are no MIDI file or a damaged one, one of type 2, one timed in seconds, one
    without notes, one longer than `MOST` slices, a grid out of range, and where mido is missing.
    """
    check_grid(grid)
    mido = _library()
    try:
        file = mido.MidiFile(file=io.BytesIO(content))
    except Exception as error:  # on damaged bytes mido raises whatever its parts do: EOFError, IndexError, KeyError, ..
        reason = str(error) or "it ends too early"
        raise UserError(f"Cannot read {source} as a MIDI file ({reason}). Take it out, or export it anew.") from error
    if file.type == 2:
        raise UserError(f"{source} is a MIDI file of type 2, several songs in one. Export each as one of type 0 or 1.")
    if file.ticks_per_beat <= 0:
        raise UserError(f"{source} is timed in seconds (SMPTE), not in beats. Export it with ticks per quarter note.")
    found = np.array([note for track in file.tracks for note in _notes(track)], np.int64).reshape(-1, 3)
    if not len(found):
        raise UserError(f"{source} has no notes within the 88 keys of a piano (drums do not count). Take it out.")
    columns = found[:, 0] - LOWEST
    edges = (2 * grid * found[:, 1:] + file.ticks_per_beat) // (2 * file.ticks_per_beat)  # half a slice rounds up
    first, after = edges[:, 0], np.maximum(edges[:, 1], edges[:, 0] + 1)
    if after.max() > MOST:
        raise UserError(
            f"{source} is {after.max():,} slices long, with {grid} in a quarter note; at most {MOST:,} are read. "
            "Cut it, or ask for a coarser grid."
        )
    change = np.zeros((after.max() + 1, PITCHES), np.int32)
    np.add.at(change, (first, columns), 1)
    np.add.at(change, (after, columns), -1)
    return (change.cumsum(0)[:-1] > 0).astype(np.uint8)


def _notes(track) -> Iterator[tuple[int, int, int]]:
    """(pitch, first tick, tick after the last) of the track's notes that belong in a roll."""
    now, open_notes = 0, {}
    for message in track:
        now += message.time
        if message.type not in ("note_on", "note_off") or message.channel == _DRUMS:
            continue
        if not LOWEST <= message.note < LOWEST + PITCHES:
            continue
        key = message.channel, message.note
        if message.type == "note_on" and message.velocity:
            open_notes.setdefault(key, now)  # struck again before its end: it sounds on
        elif key in open_notes:
            yield message.note, open_notes.pop(key), now
    for (_, pitch), first in open_notes.items():
        yield pitch, first, now


def _library() -> ModuleType:
    with needed("mido", "MIDI files", "music"):
        import mido
    return mido
