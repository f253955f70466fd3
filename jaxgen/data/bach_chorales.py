"""The embedded set `bach_chorales`: the four-part chorales of J. S. Bach in the corpus of music21 (Cuthbert & Ariza
2010).

They come with the package music21, as compressed MusicXML, which is read here: to the same notes, music21's own
reader takes ten times as long.
"""

import importlib.metadata
import importlib.util
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from jaxgen.data.cache import cache_dir, made_once
from jaxgen.errors import UserError
from jaxgen.music.roll import LOWEST, PITCHES, check_grid

_VOICES = 4
_TWICE = (
    *("bwv62.6", "bwv177.4", "bwv18.5-w", "bwv20.7", "bwv227.11", "bwv244.17"),
    *("bwv279", "bwv280", "bwv323", "bwv398", "bwv414", "bwv419"),
)
_TICKS = 10080  # in a quarter note, as in music21: a whole number of them in a 32nd, a triplet, a quintuplet, ..
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_INSTALL = 'The data set bach_chorales comes with the package music21. Install it: pip install "jaxgen[music]".'


def read(grid: int, data_dir: str = "") -> list[np.ndarray]:
    """The chorales in the order of their files' names, each a roll uint8 [T, 88] with `grid` slices a quarter note.

    A slice has the notes that sound at its beginning: at a grid of 4, sixteenths are kept and shorter notes between
    them are not. Repeats are played once. Of the corpus's 408 files (in 10.5.1) 364 have four parts. Left out are
    twelve that share sixteen quarter notes in a row with another one, in whatever key: most are the same chorale again,
    and would be trained on and held out at once. The 352 others are 76,788 sixteenths. They are read at first use (two
    seconds) and kept in `cache_dir(data_dir)`, in a file of music21's version and the grid; a damaged file is made
    anew. Raises `UserError` where music21 is missing, its corpus is damaged, the grid is out of range or the cache
    cannot be written.
    """
    check_grid(grid)
    try:
        version = importlib.metadata.version("music21")
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError(_INSTALL) from error
    path = cache_dir(data_dir) / "music" / f"bach-chorales-{version}-grid{grid}.npz"
    found = made_once(path, lambda: _all(grid), _fit)
    return np.split(np.unpackbits(found["bits"], axis=1, count=PITCHES), found["lengths"].cumsum()[:-1])


def chorale(content: bytes, grid: int) -> np.ndarray | None:
    """MusicXML (score-partwise) of one piece -> its roll uint8 [T, 88] as `read` has it; None unless it has four parts.

    Raises ValueError or AttributeError for what is no such score.
    """
    parts = ET.fromstring(content).findall("part")
    if len(parts) != _VOICES:
        return None
    voices = [list(_notes(part)) for part in parts]
    total = max(end for voice in voices for _, _, end in voice)
    roll = np.zeros((-(-total * grid // _TICKS), PITCHES), np.uint8)
    for voice in voices:
        for pitch, start, end in voice:
            if pitch is not None:
                first, after = (-(-edge * grid // _TICKS) for edge in (start, end))  # rounded up
                roll[first:after, pitch - LOWEST] = 1
    return roll


def _notes(part: ET.Element) -> Iterator[tuple[int | None, int, int]]:
    """(MIDI pitch, or None for a rest; start; end) in ticks from the beginning of the part."""
    begin, ticks = 0, _TICKS
    for measure in part.findall("measure"):
        now = last = longest = begin
        for item in measure:
            if divisions := item.findtext("divisions"):
                ticks = _ticks(int(divisions))
            length = ticks * int(item.findtext("duration") or 0)
            if item.tag == "backup":
                now -= length
            elif item.tag == "forward":
                now += length
            elif item.tag == "note":  # grace notes have no duration, and so no slice
                start = last if item.find("chord") is not None else now
                last, now = start, start + length
                yield _pitch(item), start, now
            longest = max(longest, now)
        begin = longest


def _ticks(divisions: int) -> int:
    """Of one division of a quarter note."""
    if divisions < 1 or _TICKS % divisions:
        raise ValueError(f"it divides quarter notes by {divisions}")
    return _TICKS // divisions


def _pitch(note: ET.Element) -> int | None:
    pitch = note.find("pitch")
    if pitch is None:
        return None
    step, octave = pitch.findtext("step", ""), int(pitch.findtext("octave", ""))
    return 12 * (octave + 1) + _STEPS[step] + round(float(pitch.findtext("alter") or 0))


def _all(grid: int) -> dict[str, np.ndarray]:
    spec = importlib.util.find_spec("music21")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(_INSTALL)
    folder = Path(spec.submodule_search_locations[0], "corpus", "bach")
    rolls = []
    for file in sorted(folder.glob("*.mxl")):
        if file.stem in _TWICE:
            continue
        try:
            roll = chorale(_inside(file), grid)
        except (
            OSError,
            ValueError,
            AttributeError,
            LookupError,
            StopIteration,
            SyntaxError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise UserError(
                f"Cannot read {file} ({error}). Install it anew: pip install --force-reinstall music21."
            ) from error
        if roll is not None:
            rolls.append(roll)
    if not rolls:
        raise UserError(f"{folder} holds no chorales. Install music21 anew: pip install --force-reinstall music21.")
    return {"bits": np.packbits(np.concatenate(rolls), axis=1), "lengths": np.array([len(roll) for roll in rolls])}


def _inside(file: Path) -> bytes:
    """The score in a compressed MusicXML file: what its table of contents names first."""
    with zipfile.ZipFile(file) as opened:
        contents = ET.fromstring(opened.read("META-INF/container.xml"))
        return opened.read(next(contents.iter("rootfile")).attrib["full-path"])


def _fit(found: Mapping[str, np.ndarray]) -> bool:
    bits, lengths = found["bits"], found["lengths"]
    return (
        bits.dtype == np.uint8
        and bits.shape == (lengths.sum(), PITCHES // 8)
        and np.issubdtype(lengths.dtype, np.integer)
        and len(lengths) > 1
        and lengths.min() > 0
    )
