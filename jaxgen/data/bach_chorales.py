"""The embedded set `bach_chorales`: the four-part chorales of J. S. Bach in the corpus of music21 (Cuthbert & Ariza
2010).

They come with the package music21, as compressed MusicXML, and are read by it.
"""

import importlib.metadata
import math
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.data.cache import cache_dir, made_once
from jaxgen.errors import UserError, needed
from jaxgen.music.roll import LOWEST, PITCHES, check_grid

_VOICES = 4
_TWICE = (
    *("bwv62.6", "bwv177.4", "bwv18.5-w", "bwv20.7", "bwv227.11", "bwv244.17"),
    *("bwv279", "bwv280", "bwv323", "bwv398", "bwv414", "bwv419"),
)
_with_music21 = partial(needed, "music21", "the data set bach_chorales", "music")


def read(grid: int, data_dir: str = "") -> list[np.ndarray]:
    """The chorales in the order of their files' names, each a roll uint8 [T, 88] with `grid` slices a quarter note.

    A slice has the notes that sound at its beginning: at a grid of 4, sixteenths are kept and shorter notes between
    them are not. Repeats are played once. Of the corpus's 408 files (in 10.5.1) 364 have four parts. Left out are
    twelve that share sixteen quarter notes in a row with another one, in whatever key: most are the same chorale again,
    and would be trained on and held out at once. The 352 others are 76,788 sixteenths. They are read at first use (half
    a minute) and kept in `cache_dir(data_dir)`, in a file of music21's version and the grid; a damaged file is made
    anew. Raises `UserError` where music21 is missing, its corpus is damaged, the grid is out of range or the cache
    cannot be written.
    """
    check_grid(grid)
    with _with_music21():
        version = importlib.metadata.version("music21")
    path = cache_dir(data_dir) / "music" / f"bach-chorales-{version}-grid{grid}.npz"
    found = made_once(path, lambda: _all(grid), _fit)
    return np.split(np.unpackbits(found["bits"], axis=1, count=PITCHES), found["lengths"].cumsum()[:-1])


def chorale(score: Any, grid: int) -> np.ndarray | None:
    """A music21 score of one piece -> its roll uint8 [T, 88] as `read` has it; None unless it has four parts."""
    if len(score.parts) != _VOICES:
        return None
    roll = np.zeros((math.ceil(score.highestTime * grid), PITCHES), np.uint8)
    for element in score.flatten().notes:
        if not element.duration.isGrace:  # it has no time of its own
            first, after = (math.ceil(edge * grid) for edge in (element.offset, element.offset + element.quarterLength))
            roll[first:after, [pitch.midi - LOWEST for pitch in element.pitches]] = 1
    return roll


def _all(grid: int) -> dict[str, np.ndarray]:
    with _with_music21():
        from music21 import converter
    print("bach_chorales is read for the first time, which takes half a minute.", file=sys.stderr)
    folder, rolls = _folder(), []
    for file in sorted(folder.glob("*.mxl")):
        if file.stem in _TWICE:
            continue
        try:
            # forceSource: without the pickles that music21 may have of it among the user's temporary files.
            roll = chorale(converter.parse(file, forceSource=True), grid)
        except Exception as error:  # whatever music21 may say of a broken file
            raise UserError(
                f"Cannot read {file} ({error}). Install it anew: pip install --force-reinstall music21."
            ) from error
        if roll is not None:
            rolls.append(roll)
    if not rolls:
        raise UserError(f"{folder} holds no chorales. Install music21 anew: pip install --force-reinstall music21.")
    return {"bits": np.packbits(np.concatenate(rolls), axis=1), "lengths": np.array([len(roll) for roll in rolls])}


def _folder() -> Path:
    import music21

    return Path(music21.__file__).parent / "corpus" / "bach"


def _fit(found: Mapping[str, np.ndarray]) -> bool:
    bits, lengths = found["bits"], found["lengths"]
    return (
        bits.dtype == np.uint8
        and bits.shape == (lengths.sum(), PITCHES // 8)
        and np.issubdtype(lengths.dtype, np.integer)
        and len(lengths) > 1
        and lengths.min() > 0
    )
