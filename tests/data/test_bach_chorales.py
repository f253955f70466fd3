import importlib.metadata
import sys
import zipfile

import numpy as np
import pytest

from jaxgen.data import bach_chorales
from jaxgen.errors import UserError
from jaxgen.music.roll import from_pitches, windows_in_any_key

REST = "<rest/>"


def pitch(step, octave, alter=0):
    return f"<pitch><step>{step}</step><alter>{alter}</alter><octave>{octave}</octave></pitch>"


def note(what, duration, extra=""):
    return f"<note>{extra}{what}<duration>{duration}</duration></note>"


def score(*parts):
    """MusicXML of parts, each a list of the contents of measures."""
    measures = [
        "".join(f'<measure number="{n}">{measure}</measure>' for n, measure in enumerate(part, 1)) for part in parts
    ]
    names = "".join(f'<score-part id="P{i}"><part-name>{i}</part-name></score-part>' for i in range(len(parts)))
    inner = "".join(f'<part id="P{i}">{part}</part>' for i, part in enumerate(measures))
    return f"<score-partwise><part-list>{names}</part-list>{inner}</score-partwise>".encode()


def attributes(divisions):
    return f"<attributes><divisions>{divisions}</divisions></attributes>"


def parsed(content):
    return pytest.importorskip("music21").converter.parse(content.decode(), format="musicxml")


def rolled(content, grid):
    roll = bach_chorales.chorale(parsed(content), grid)
    assert roll is not None
    return roll


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """A corpus of three pieces, of which two have four parts; gives their folder."""
    pytest.importorskip("music21")
    folder = tmp_path / "bach"
    folder.mkdir()
    for i, parts in enumerate((4, 3, 4)):
        with zipfile.ZipFile(folder / f"bwv{i}.mxl", "w") as file:
            file.writestr("META-INF/container.xml", '<container><rootfile full-path="a.xml"/></container>')
            voices = [[attributes(1) + note(pitch("C", 2 + voice), i + 1)] for voice in range(parts)]
            file.writestr("a.xml", score(*voices))
    monkeypatch.setattr(bach_chorales, "_folder", lambda: folder)
    return folder


def test_a_score_by_hand():
    soprano = [
        attributes(2) + note(pitch("C", 5), 1) + note(pitch("D", 5, -1), 1),  # eighths
        attributes(4) + note(REST, 4) + note(pitch("B", 4, 1), 3) + note(pitch("A", 4), 1),
    ]
    alto = [
        attributes(1) + note(pitch("E", 4), 1),
        note(pitch("E", 4), 1) + note(pitch("G", 4), 1, "<chord/>") + note(pitch("F", 4), 1),
    ]
    tenor = [
        attributes(1) + f"<note><grace/>{pitch('D', 4)}</note>" + note(pitch("C", 4), 1),
        note(REST, 2) + "<backup><duration>1</duration></backup>" + note(pitch("C", 4, 1), 1),
    ]
    low = note(pitch("C", 3), 1)
    bass = [
        attributes(1) + low + "<backup><duration>1</duration></backup>",
        "<forward><duration>1</duration></forward>" + low,
    ]
    expected = [[72, 64, 60, 48], [73, 64, 60, 48], [64, 67], [64, 67], [72, 65, 61, 48], [72, 65, 61, 48]]
    found, coarse, fine = (rolled(score(soprano, alto, tenor, bass), grid) for grid in (2, 1, 4))
    np.testing.assert_array_equal(found, from_pitches(expected))
    np.testing.assert_array_equal(coarse, found[::2])  # what sounds at the beginning of a slice
    np.testing.assert_array_equal(fine[:-1], np.repeat(found, 2, axis=0)[:-1])
    np.testing.assert_array_equal(fine[-1:], from_pitches([[69, 65, 61, 48]]))
    assert bach_chorales.chorale(parsed(score(soprano, alto, tenor)), 4) is None


def test_pieces_are_read_once_and_kept(corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9.9")
    found = bach_chorales.read(2, str(tmp_path / "cache"))
    assert [len(roll) for roll in found] == [2, 6]
    assert "read for the first time" in capsys.readouterr().err
    np.testing.assert_array_equal(found[1], from_pitches([[36, 48, 60, 72]] * 6))
    (path,) = (tmp_path / "cache" / "music").glob("*.npz")
    assert path.name == "bach-chorales-9.9.9-grid2.npz"
    assert len(bach_chorales.read(1, str(tmp_path / "cache"))[1]) == 3
    for file in corpus.iterdir():
        file.unlink()
    np.testing.assert_array_equal(bach_chorales.read(2, str(tmp_path / "cache"))[1], found[1])
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"holds no chorales\. Install music21 anew"):
        bach_chorales.read(2, str(tmp_path / "cache"))


@pytest.mark.parametrize("damage", [b"", b"text", "cut", "names", "notes"])
def test_a_damaged_corpus_is_named(corpus, damage):
    file = corpus / "bwv2.mxl"
    content = damage
    if damage == "cut":
        content = file.read_bytes()[:200]
    elif isinstance(damage, str):
        with zipfile.ZipFile(file, "w") as opened:
            container = "<container/>" if damage == "names" else '<container><rootfile full-path="a.xml"/></container>'
            opened.writestr("META-INF/container.xml", container)
            opened.writestr("a.xml", score(*[[note(pitch("H", 4), 1)]] * 4))
        content = file.read_bytes()
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"Cannot read .*bwv2\.mxl .*pip install --force-reinstall music21"):
        bach_chorales.read(2)


def test_without_the_package(monkeypatch, tmp_path):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setitem(sys.modules, "music21", None)
    with pytest.raises(UserError, match=r'pip install "jaxgen\[music\]"'):
        bach_chorales.read(4, str(tmp_path))
    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(UserError, match=r'pip install "jaxgen\[music\]"'):
        bach_chorales.read(4)
    with pytest.raises(UserError, match="grid"):
        bach_chorales.read(0)


@pytest.fixture(scope="session")
def chorales(tmp_path_factory):
    """The real set."""
    pytest.importorskip("music21")
    return bach_chorales.read(4, str(tmp_path_factory.mktemp("chorales")))


def test_the_real_set(chorales):
    for roll in chorales:
        assert roll.dtype == np.uint8
        assert roll.shape[1:] == (88,)
        assert roll.sum(1).max() <= 4
    pitches = 21 + np.flatnonzero(np.any([roll.any(0) for roll in chorales], axis=0))
    assert (pitches[0], pitches[-1]) == (36, 81)
    if importlib.metadata.version("music21") == "10.5.1":
        assert (len(chorales), sum(map(len, chorales))) == (352, 76_788)


def test_no_chorale_is_there_twice(chorales):
    """In whatever key: they would be in both splits."""
    known = set()
    for roll in chorales:
        found = set(windows_in_any_key(roll, 64))
        assert not known & found
        known |= found
