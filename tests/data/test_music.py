import json
from pathlib import Path

import numpy as np
import pytest

from jaxgen.data import bach_chorales, music
from jaxgen.errors import UserError
from jaxgen.music import midi
from jaxgen.music.roll import from_pitches


def song(number):
    """A roll [1, 88] that tells which it is."""
    return from_pitches([[40 + number]])


def numbers(rolls):
    """Which songs these are."""
    return [int(roll[0].argmax()) + 21 - 40 for roll in rolls]


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_the_embedded_chorales(monkeypatch):
    asked = []

    def read(grid, data_dir):
        asked.append((grid, data_dir))
        return [song(i) for i in range(25)]

    monkeypatch.setattr(bach_chorales, "read", read)
    train, validation, test = (music.pieces("bach_chorales", split, 4, "there") for split in music.SPLITS)
    assert numbers(test) == numbers(validation) == [9, 19]
    assert numbers(train) == [i for i in range(25) if i not in (9, 19)]
    assert asked == [(4, "there")] * 3


def test_a_file_of_chorales(tmp_path):
    parts = {"train": [[[60, 64.0], []], [[21]]], "valid": [[[30]]], "test": [[[108], [60]]]}
    path = write(tmp_path / "jsb.JSON", parts)
    first, second = music.pieces(path, "train", 1)
    np.testing.assert_array_equal(first, from_pitches([[60, 64], []]))
    np.testing.assert_array_equal(second, from_pitches([[21]]))
    assert numbers(music.pieces(path, "validation", 1)) == [30 - 40]
    assert numbers(music.pieces(path, "test", 1)) == [108 - 40]
    without = write(tmp_path / "without.json", {"train": parts["train"], "test": parts["test"]})
    assert numbers(music.pieces(without, "validation", 1)) == [108 - 40]
    without = write(tmp_path / "without.json", {"train": parts["train"], "validation": parts["valid"]})
    assert numbers(music.pieces(without, "test", 1)) == [30 - 40]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "as JSON"),
        ("{", "as JSON"),
        ("[" * 100_000, "as JSON"),
        ([1], "holds no splits"),
        ({"test": [[[60]]]}, "has no part for train, only 'test'"),
        ({}, "has no part for train, only nothing"),
        ({"train": []}, "has no pieces for train"),
        ({"train": {"a": [[60]]}}, "has no pieces for train"),
        ({"train": [[[60]], []]}, "piece 1 for train is no list of slices"),
        ({"train": [[60, 61]]}, "piece 0 for train is no list of slices"),
        ({"train": [[["60"]]]}, "piece 0 for train is no list of slices"),
        ({"train": [[[60], [60.5]]]}, r"piece 0 for train: Slice 1 has the pitch 60\.5"),
        ({"train": [[[float("nan")]]]}, "piece 0 for train: Slice 0 has the pitch nan"),
        ({"train": [[[10**30]]]}, "piece 0 for train: Slice 0 has the pitch 1000"),
    ],
)
def test_files_that_are_none(tmp_path, content, message):
    path = write(tmp_path / "a.json", content)
    with pytest.raises(UserError, match=rf"a\.json.*{message}"):
        music.pieces(path, "train", 1)


def test_a_folder_of_midi_files(tmp_path):
    for i in range(12):
        midi.write(tmp_path / "ab"[i % 2] / f"{i:02}.{'MID' if i % 3 else 'midi'}", song(i), 2)
    (tmp_path / "readme.txt").touch()
    midi.write(tmp_path / ".trash" / "0.mid", song(40), 2)
    midi.write(tmp_path / "._0.mid", song(40), 2)
    order = [*range(0, 12, 2), *range(1, 12, 2)]
    train, validation, test = (music.pieces(str(tmp_path), split, 2) for split in music.SPLITS)
    assert numbers(test) == numbers(validation) == [order[9]]
    assert numbers(train) == order[:9] + order[10:]
    assert [len(roll) for roll in music.pieces(str(tmp_path), "test", 6)] == [3]  # slices, by the grid


@pytest.mark.parametrize("held_out", [("test",), ("validation", "test"), ("valid", "test"), ("valid",)])
def test_folders_make_the_split(tmp_path, held_out):
    for i, name in enumerate(("train", *held_out)):
        midi.write(tmp_path / name / "deep" / f"{i}.mid", song(i), 2)
    midi.write(tmp_path / "else.mid", song(40), 2)
    assert numbers(music.pieces(str(tmp_path), "train", 2)) == [0]
    assert numbers(music.pieces(str(tmp_path), "validation", 2)) == [1]
    assert numbers(music.pieces(str(tmp_path), "test", 2)) == [len(held_out)]


def test_training_files_alone_are_split(tmp_path):
    for i in range(3):
        midi.write(tmp_path / "train" / f"{i}.mid", song(i), 2)
    assert numbers(music.pieces(str(tmp_path), "train", 2)) == [0, 1]
    assert numbers(music.pieces(str(tmp_path), "test", 2)) == [2]


def test_folders_that_hold_too_little(tmp_path):
    with pytest.raises(
        UserError, match=r"The folder .* holds no MIDI files\. It needs files that end in \.mid or \.midi"
    ):
        music.pieces(str(tmp_path), "train", 2)
    path = midi.write(tmp_path / "a.mid", song(0), 2)
    with pytest.raises(UserError, match=r"The folder .* holds a single piece"):
        music.pieces(str(tmp_path), "train", 2)
    with pytest.raises(UserError, match=r"a\.mid is a single MIDI file"):
        music.pieces(str(path), "train", 2)
    midi.write(tmp_path / "b.mid", song(0), 2).write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"Cannot read .*b\.mid as a MIDI file"):
        music.pieces(str(tmp_path), "test", 2)


def test_anything_else(tmp_path):
    (tmp_path / "a.txt").touch()
    possible = r"Give bach_chorales \(embedded\), a folder of \.mid files, or a \.json file"
    for data in ("bach", "", str(tmp_path / "gone.json"), str(tmp_path / "a.txt")):
        with pytest.raises(UserError, match=rf"Cannot read music from .*{possible}"):
            music.pieces(data, "train", 4)
    with pytest.raises(UserError, match=r"no such file or folder: /.*/gone\.json"):
        music.pieces(str(tmp_path / "gone.json"), "train", 4)
    with pytest.raises(UserError, match="no split 'valid'; choose from train, validation, test"):
        music.pieces("bach_chorales", "valid", 4)


def test_passages():
    pieces = [np.zeros((n, 88), np.uint8) for n in (10, 3, 4, 6, 5)]
    for number, piece in enumerate(pieces):
        piece[:, number] = 1
        piece[np.arange(len(piece)), 20 + np.arange(len(piece))] = 1  # the slice
    rolls, lengths = music.windows(pieces, 4, 4)
    # 10 = 4 + 4 + 2, 6 = 4 + 2, and 5 = 4 + 1, which is less than half.
    assert lengths.tolist() == [4, 4, 2, 3, 4, 4, 2, 4]
    assert rolls.shape == (8, 4, 88)
    assert (rolls.dtype, lengths.dtype) == (np.uint8, np.int32)
    assert rolls[:, 0, :5].argmax(1).tolist() == [0, 0, 0, 1, 2, 3, 3, 4]
    assert rolls[:, 0, 20:].argmax(1).tolist() == [0, 4, 8, 0, 0, 0, 4, 0]
    for roll, length in zip(rolls, lengths, strict=True):
        assert roll[:length].any(1).all()
        assert not roll[length:].any()
    overlapping, lengths = music.windows(pieces[:1], 4, 3)
    assert overlapping[:, 0, 20:].argmax(1).tolist() == [0, 3, 6]  # its end is in the last one
    assert lengths.tolist() == [4, 4, 4]
    _, lengths = music.windows(pieces[3:4], 4, 1)
    assert lengths.tolist() == [4, 4, 4]
    sparse, lengths = music.windows(pieces[:1], 2, 8)
    assert sparse[:, 0, 20:].argmax(1).tolist() == [0, 8]
    assert music.windows([], 4, 4)[0].shape == (0, 4, 88)


def test_passages_that_cannot_be_cut():
    for length, hop in ((0, 1), (1, 0)):
        with pytest.raises(UserError, match="both must be 1 or more"):
            music.windows([song(0)], length, hop)
    with pytest.raises(UserError, match="shape"):
        music.windows([song(0)[0]], 4, 4)


JSB = Path("/work/shared/data/music/jsb-chorales/jsb-chorales-quarter.json")


@pytest.mark.skipif(not JSB.is_file(), reason="JSB Chorales are not on this machine")
def test_jsb_chorales():
    found = {split: music.pieces(str(JSB), split, 1) for split in music.SPLITS}
    assert {split: (len(rolls), sum(map(len, rolls))) for split, rolls in found.items()} == {
        "train": (229, 13807),
        "validation": (76, 4602),
        "test": (77, 4725),
    }
    np.testing.assert_array_equal(found["train"][0][:2], from_pitches([[60, 72, 79, 88], [72, 79, 88]]))
