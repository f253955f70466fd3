import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from jaxgen.data import level_files
from jaxgen.errors import UserError
from jaxgen.levels import text, tiled
from jaxgen.levels.tiles import TILESETS

MARIO, SOKOBAN = TILESETS["mario"], TILESETS["sokoban"]


def level(value, height=2, width=3):
    return np.full((height, width), value, np.uint8)


def put(path, *levels, tileset=MARIO):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"; {i}\n{text.dump(level, tileset)}\n" for i, level in enumerate(levels)))


def pack(folder, archive):
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(folder.rglob("*")):
            opened.write(path, path.relative_to(folder))
    return archive


def values(levels):
    return levels[:, 0, 0].tolist()


def test_every_fifth_file_is_held_out(tmp_path):
    for i in range(11):
        put(tmp_path / f"{i:02d}.txt", level(i))
    assert values(level_files.read(tmp_path, MARIO, (2, 3), "train")) == [0, 1, 2, 3, 5, 6, 7, 8, 10]
    assert values(level_files.read(tmp_path, MARIO, (2, 3), "test")) == [4, 9]


def test_of_few_files_the_last_is_held_out(tmp_path):
    for i in range(3):
        put(tmp_path / f"{i}.txt", level(i))
    assert values(level_files.read(tmp_path, MARIO, (2, 3), "train")) == [0, 1]
    assert values(level_files.read(tmp_path, MARIO, (2, 3), "test")) == [2]


def test_every_fifth_level_of_all_is_held_out(tmp_path):
    put(tmp_path / "a.txt", *(level(i) for i in range(7)))
    put(tmp_path / "b.txt", *(level(i) for i in range(7, 10)))
    assert values(level_files.read(tmp_path, MARIO, (2, 3), "train")) == [0, 1, 2, 3, 5, 6, 7, 8]
    assert values(level_files.read(tmp_path, MARIO, (2, 3), "test")) == [4, 9]
    assert values(level_files.read(tmp_path / "a.txt", MARIO, (2, 3), "test")) == [4]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", ["test", "valid"])
def test_a_made_split_is_kept(tmp_path, zipped, name):
    folder = tmp_path / "sokoban"
    put(folder / "train" / "deeper" / "0.txt", level(0), level(1), tileset=SOKOBAN)
    put(folder / name / "0.txt", level(2), tileset=SOKOBAN)
    path = pack(tmp_path, tmp_path.parent / f"{tmp_path.name}.zip") / "sokoban" if zipped else folder
    assert values(level_files.read(path, SOKOBAN, (2, 3), "train")) == [0, 1]
    assert values(level_files.read(path, SOKOBAN, (2, 3), "test")) == [2]


def test_test_comes_before_valid(tmp_path):
    for i, name in enumerate(("train", "valid", "test")):
        put(tmp_path / name / "0.txt", level(i))
    assert values(level_files.read(tmp_path, MARIO, (2, 3), "test")) == [2]


def test_windows_by_hand():
    whole = np.arange(12, dtype=np.uint8).reshape(3, 4)
    found = level_files.windows(whole, (2, 3))
    assert found.tolist() == [
        [[0, 1, 2], [4, 5, 6]],
        [[1, 2, 3], [5, 6, 7]],
        [[4, 5, 6], [8, 9, 10]],
        [[5, 6, 7], [9, 10, 11]],
    ]
    assert level_files.windows(whole, (1, 2), stride=2).tolist() == [[[0, 1]], [[2, 3]], [[8, 9]], [[10, 11]]]
    assert level_files.windows(whole, (3, 4)).tolist() == [whole.tolist()]


def test_larger_levels_give_windows_of_one_split_only(tmp_path):
    for i in range(5):
        put(tmp_path / f"{i}.txt", level(i, width=3 + i))
    assert values(level_files.read(tmp_path, MARIO, (2, 3), "train")) == [0, 1, 1, 2, 2, 2, 3, 3, 3, 3]
    assert values(level_files.read(tmp_path, MARIO, (2, 3), "test")) == [4] * 5
    assert values(level_files.read(tmp_path, MARIO, (2, 3), "test", stride=4)) == [4] * 2


def test_a_single_level_gives_up_its_right_end(tmp_path):
    whole = np.tile(np.arange(10, dtype=np.uint8), (2, 1))
    put(tmp_path / "a.txt", whole)
    train, test = (level_files.read(tmp_path / "a.txt", MARIO, (2, 3), split) for split in ("train", "test"))
    assert (values(train), values(test)) == ([0, 1, 2, 3, 4], [7])
    assert set(train.ravel().tolist()) == set(range(7))
    put(tmp_path / "a.txt", whole[:, :5])
    with pytest.raises(UserError, match=r"a\.txt is a single level, 5 tiles wide, and too small .* takes 6 columns"):
        level_files.read(tmp_path, MARIO, (2, 3), "train")


@pytest.mark.parametrize("zipped", [False, True])
def test_maps_of_tiled_among_texts(tmp_path, zipped):
    pytest.importorskip("pytiled_parser")
    folder = tmp_path / "levels"
    put(folder / "a.txt", level(1))
    tiled.write(folder / "b.tmj", level(2), MARIO)
    put(folder / "c.TXT", level(3))
    path = pack(folder, tmp_path / "levels.zip") if zipped else folder
    both = [level_files.read(path, MARIO, (2, 3), split) for split in ("train", "test")]
    assert [values(part) for part in both] == [[1, 2], [3]]
    (folder / "b.tmj").write_text("{")
    path = pack(folder, tmp_path / "levels.zip") if zipped else folder
    with pytest.raises(UserError, match=r"Cannot read the map .*levels(\.zip)?/b\.tmj "):
        level_files.read(path, MARIO, (2, 3), "train")


def test_places_in_an_archive(tmp_path):
    folder = tmp_path / "all"
    for i in range(2):
        put(folder / "The Game" / "Processed" / f"{i}.txt", level(i))
    put(folder / "Other" / "0.txt", level(5), level(6))
    put(folder / "__MACOSX" / "0.txt", level(7))
    put(folder / ".hidden.txt", level(7))
    archive = pack(folder, tmp_path / "all.ZIP")
    before = sorted(tmp_path.rglob("*"))
    assert values(level_files.read(archive / "The Game/Processed", MARIO, (2, 3), "test")) == [1]
    assert values(level_files.read(archive / "The Game", MARIO, (2, 3), "train")) == [0]
    assert values(level_files.read(archive / "Other/0.txt", MARIO, (2, 3), "train")) == [5]
    assert values(level_files.read(archive, MARIO, (2, 3), "train")) == [5, 6, 0]
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(
        UserError, match=r"no levels at 'The Gam'\. Did you mean .*all\.ZIP/The Game'\? There are some in"
    ):
        level_files.read(archive / "The Gam", MARIO, (2, 3), "train")
    with pytest.raises(UserError, match=r"no levels at 'xyz'\. There are some in 'Other', 'The Game/Processed'\.$"):
        level_files.read(archive / "xyz", MARIO, (2, 3), "train")
    with pytest.raises(UserError, match=r"all\.ZIP/Other/0\.txt, line 2, column 1: 'E' is no tile of sokoban"):
        level_files.read(archive / "Other", SOKOBAN, (2, 3), "train")


def test_archives_that_are_none(tmp_path):
    put(tmp_path / "a" / "0.txt", level(0), level(1))
    good = pack(tmp_path / "a", tmp_path / "good.zip").read_bytes()
    flipped = bytearray(good)
    flipped[45] ^= 255  # in the text of the only file
    for name, content in {"empty": b"", "text": b"hello", "cut": good[:60], "flipped": bytes(flipped)}.items():
        path = tmp_path / f"{name}.zip"
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"Cannot read the archive .*{name}\.zip"):
            level_files.read(path, MARIO, (2, 3), "train")
    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match=r"holds no levels\. It needs files that end in \.txt or \.tmj"):
        level_files.read(pack(tmp_path / "b", tmp_path / "nothing.zip"), MARIO, (2, 3), "train")


def test_a_level_that_is_too_small_is_named(tmp_path):
    put(tmp_path / "a.txt", level(0), level(1))
    put(tmp_path / "b.txt", level(1, height=1))
    with pytest.raises(UserError, match=r"b\.txt has 1x3 tiles \(height x width\), fewer than the 2x3 asked for"):
        level_files.read(tmp_path, MARIO, (2, 3), "train")
    with pytest.raises(UserError, match=r"level 1 of .*a\.txt has 2x3 tiles"):
        level_files.read(tmp_path, MARIO, (2, 4), "train")


def test_nothing_there(tmp_path):
    with pytest.raises(UserError, match=r"The folder .* holds no levels"):
        level_files.read(tmp_path, MARIO, (2, 3), "train")
    with pytest.raises(UserError, match=r"gone does not exist \(looked at /.*gone\)"):
        level_files.read(tmp_path / "gone", MARIO, (2, 3), "train")
    (tmp_path / "a.png").touch()
    with pytest.raises(UserError, match=r"a\.png is no file of levels. Those end in \.txt or \.tmj"):
        level_files.read(tmp_path / "a.png", MARIO, (2, 3), "train")
    put(tmp_path / "a.txt", level(0))
    with pytest.raises(UserError, match=r"a\.txt/b does not exist"):
        level_files.read(tmp_path / "a.txt" / "b", MARIO, (2, 3), "train")
    with pytest.raises(UserError, match="no split 'dev'"):
        level_files.read(tmp_path, MARIO, (2, 3), "dev")


def test_without_the_parser_texts_are_read(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytiled_parser", None)
    put(tmp_path / "a.txt", level(0), level(1))
    assert values(level_files.read(tmp_path, MARIO, (2, 3), "train")) == [0]


VGLC = Path("/work/shared/data/levels/vglc/vglc-processed.zip")


@pytest.mark.skipif(not VGLC.is_file(), reason="the Video Game Level Corpus is not on this machine")
def test_the_video_game_level_corpus():
    path = VGLC / "Super Mario Bros" / "Processed"
    train, test = (level_files.read(path, MARIO, (14, 28), split) for split in ("train", "test"))
    assert (train.shape, test.shape) == ((1879, 14, 28), (639, 14, 28))
    assert text.dump(train[0], MARIO).splitlines()[-1] == "X" * 28  # of mario-1-1
