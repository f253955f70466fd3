"""Music as piano rolls (`jaxgen.music.roll`): the embedded chorales, files of chorales, folders of MIDI files."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxgen.data import bach_chorales
from jaxgen.errors import UserError
from jaxgen.music import midi
from jaxgen.music.roll import PITCHES, check, from_pitches

SPLITS = ("train", "validation", "test")
_NAMES = {"train": ("train",), "validation": ("validation", "valid"), "test": ("test",)}  # of keys and of folders
_SUFFIXES = (".mid", ".midi")
_EVERY = 10  # one piece of so many is held out
_POSSIBLE = (
    "bach_chorales (embedded), a folder of .mid files, or a .json file of lists of MIDI pitches, as JSB Chorales comes"
)


def pieces(data: str, split: str, grid: int, data_dir: str = "") -> list[np.ndarray]:
    """The pieces of `split` ("train", "validation" or "test"), each a roll uint8 [T, 88] with `grid` slices a quarter.

    `data` is one of

    - "bach_chorales": the embedded set (`bach_chorales.read`), kept in `data_dir`.
    - A .json file: {"train": pieces, "valid": pieces, "test": pieces}, a piece a list of slices, a slice a list of MIDI
      pitches (Boulanger-Lewandowski et al. 2012). Its slices are as long as the file has them: `grid` must be what the
      file was made with, and changes nothing.
    - A folder with .mid or .midi files, in it or below it (`midi.read`), in the order of their paths; hidden ones are
      left out. Sub-folders `train` and `test` (or `validation`, or `valid`) make the split; without them every tenth
      piece is held out, of two to nine the last.

    Where a source has one held-out part alone, it serves as "validation" and as "test". Raises `UserError` for anything
    else, and for a file that cannot be read, which is named.
    """
    if split not in SPLITS:
        raise UserError(f"There is no split {split!r}; choose from {', '.join(SPLITS)}.")
    if data == "bach_chorales":
        return held_out(bach_chorales.read(grid, data_dir), split, data)
    path = Path(data).expanduser()
    if data and path.is_dir():  # "" would be the working directory
        return _folder(path, split, grid)
    if path.suffix.lower() in _SUFFIXES:
        raise UserError(
            f"{path} is a single MIDI file, too little to train on and to measure with. Give a folder of several."
        )
    if path.suffix.lower() == ".json" and path.is_file():
        return _json(path, split)
    missing = "" if path.exists() else f" (there is no such file or folder: {path.absolute()})"
    raise UserError(f"Cannot read music from {data!r}{missing}. Give {_POSSIBLE}.")


def held_out(items: Sequence, split: str, source: str) -> list:
    """The items of `split`: every tenth, of two to nine the last, is "test", and "validation" too; "train" the others.

    `source` names the items in the `UserError` raised where there are fewer than two.
    """
    if len(items) < 2:
        raise UserError(f"{source} holds a single piece; it takes two or more to train on some and hold out others.")
    chosen = set(range(_EVERY - 1, len(items), _EVERY)) or {len(items) - 1}
    return [item for i, item in enumerate(items) if (i in chosen) == (split != "train")]


def windows(rolls: Sequence[np.ndarray], length: int, hop: int) -> tuple[np.ndarray, np.ndarray]:
    """Passages of `length` slices, cut from each piece every `hop` slices: uint8 [N, length, 88], int32 [N].

    The second array says how many slices of a passage are music; those behind them are zeros. A piece shorter than
    `length` is one passage. Of others the end is one too, beginning a hop after the last whole passage, where it goes
    beyond that and fills at least half of a passage. Raises `UserError` where `length` or `hop` is below 1, or a piece
    is no roll.
    """
    if length < 1 or hop < 1:
        raise UserError(f"Passages of {length} slices, {hop} apart, cannot be cut: both must be 1 or more.")
    parts, lengths = [np.zeros((0, length, PITCHES), np.uint8)], []
    for roll in rolls:
        whole = max(0, len(check(roll)) - length) // hop + 1  # of a short piece the one that is padded
        starts = [i * hop for i in range(whole)]
        end, rest = starts[-1] + length, len(roll) - whole * hop
        if len(roll) > end and 2 * rest >= length:
            starts.append(whole * hop)
        part = np.zeros((len(starts), length, PITCHES), np.uint8)
        for passage, start in zip(part, starts, strict=True):
            lengths.append(min(length, len(roll) - start))
            passage[: lengths[-1]] = roll[start : start + length]
        parts.append(part)
    return np.concatenate(parts), np.array(lengths, np.int32)


def _json(path: Path, split: str) -> list[np.ndarray]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"Cannot read {path} as JSON ({error}).") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no splits. {_layout()}")
    found = _part(content, split)
    if found is None:
        there = ", ".join(map(repr, content)) or "nothing"
        raise UserError(f"{path} has no part for {split}, only {there}. {_layout()}")
    if not isinstance(found, list) or not found:
        raise UserError(f"{path} has no pieces for {split}. {_layout()}")
    rolls = []
    for i, piece in enumerate(found):
        if not _is_piece(piece):
            raise UserError(f"{path}: piece {i} for {split} is no list of slices of numbers. {_layout()}")
        try:
            rolls.append(from_pitches(piece))
        except UserError as error:
            raise UserError(f"{path}, piece {i} for {split}: {error}") from error
    return rolls


def _is_piece(piece: object) -> bool:
    return (
        isinstance(piece, list)
        and len(piece) > 0
        and all(isinstance(pitches, list) for pitches in piece)
        and all(isinstance(pitch, int | float) for pitches in piece for pitch in pitches)
    )


def _layout() -> str:
    return (
        'It should be {"train": pieces, "valid": pieces, "test": pieces}; a piece is a list of slices, a slice a list '
        "of MIDI pitches."
    )


def _part(parts: dict, split: str):
    """Of a dict by the names of splits: the split's own part, or for held-out data the other one; None without."""
    order = (split,) if split == "train" else (split, "test" if split == "validation" else "validation")
    return next((parts[name] for choice in order for name in _NAMES[choice] if name in parts), None)


def _folder(path: Path, split: str, grid: int) -> list[np.ndarray]:
    below = sorted(file for file in path.rglob("*") if file.suffix.lower() in _SUFFIXES and file.is_file())
    files = [file for file in below if not any(part.startswith(".") for part in file.relative_to(path).parts)]
    if not files:
        raise UserError(f"The folder {path} holds no MIDI files. It needs files that end in {' or '.join(_SUFFIXES)}.")
    folders: dict[str, list[Path]] = {}
    for file in files:
        folders.setdefault(file.relative_to(path).parts[0], []).append(file)
    made = _part(folders, "train") is not None and _part(folders, "test") is not None
    chosen = _part(folders, split) if made else held_out(files, split, f"The folder {path}")
    return [midi.read(file, grid) for file in chosen or []]
