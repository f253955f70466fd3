"""Sheets whose cells say who they are, composed by hand; and, where it is at hand, the benchmark's own archive."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgen.data import sprite_clips
from jaxgen.data.heldout import split_indices
from jaxgen.data.transforms import fit
from jaxgen.errors import UserError

ARCHIVE = Path("/work/shared/data/video/lpc-sprites/lpc-sprite-layers.zip")
BAND = {"body": 0, "bottomwear": 16, "topwear": 32, "hair": 48}  # the rows of a cell that a layer covers


def sheet(kind, variant):
    """Its band of each cell is (row, column, 1 + variant) of the cell; elsewhere it is transparent."""
    pixels = np.zeros((21, 64, 13, 64, 4), np.uint8)
    band = pixels[:, BAND[kind] : BAND[kind] + 16]
    band[..., 0] = np.arange(21)[:, None, None, None]
    band[..., 1] = np.arange(13)[None, None, :, None]
    band[..., 2] = 1 + variant
    band[..., 3] = 255
    return pixels.reshape(21 * 64, 13 * 64, 4)


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    root = tmp_path_factory.mktemp("layers")
    for kind in sprite_clips.ATTRIBUTES:
        (root / kind).mkdir()
        for variant in range(6):
            Image.fromarray(sheet(kind, variant)).save(root / kind / f"{variant}.png", compress_level=1)
    (root / "shoes").mkdir()
    shoes = np.zeros((21, 64, 13, 64, 4), np.uint8)
    shoes[:, 0, :, 0] = (200, 100, 50, 128)  # half transparent, over the body's first pixel
    Image.fromarray(shoes.reshape(21 * 64, 13 * 64, 4)).save(root / "shoes" / "1.png", compress_level=1)
    return root


def test_every_action_of_every_held_out_character(layers):
    data = sprite_clips.read(layers, (8, 64, 64, 3), "test")
    numbers = split_indices(1296, "test", "")
    assert data["image"].shape == (129 * 9, 8, 64, 64, 3)
    np.testing.assert_array_equal(data["label"], np.tile(np.arange(9), 129))
    places = np.array([216, 36, 6, 1])
    np.testing.assert_array_equal(data["character"], np.repeat(numbers[:, None] // places % 6, 9, axis=0))
    for kind, i in zip(sprite_clips.ATTRIBUTES, range(4), strict=True):
        shown = data["image"][:, :, BAND[kind] + 1, 5, 2]
        np.testing.assert_array_equal(shown, np.repeat(1 + data["character"][:, i : i + 1], 8, axis=1))


def test_cells_of_the_actions(layers):
    data = sprite_clips.read(layers, (8, 64, 64, 3), "test")["image"][:9, :, 60, 60]
    rows = {"walk": 8, "spellcast": 0, "slash": 12}
    columns = {
        "walk": [8, 1, 2, 3, 4, 5, 6, 7],
        "spellcast": [0, 1, 2, 3, 4, 5, 4, 6],
        "slash": [0, 1, 2, 3, 4, 5, 4, 0],
    }
    for clip, action in zip(data, sprite_clips.ACTIONS, strict=True):
        move, side = action.split()
        assert clip[:, 0].tolist() == [rows[move] + {"left": 1, "front": 2, "right": 3}[side]] * 8
        assert clip[:, 1].tolist() == columns[move]


def test_layers_lie_over_each_other_on_black(layers):
    clip = sprite_clips.read(layers, (2, 64, 64, 3), "test", most=1)
    body = clip["image"][0, :, 0, 1].astype(float)
    np.testing.assert_allclose(clip["image"][0, :, 0, 0], (body * 127 + np.array([200, 100, 50]) * 128) / 255, atol=1)


@pytest.mark.parametrize("size", [(32, 32), (24, 48), (64, 20), (100, 64)])
def test_resized_as_one_by_one(layers, size):
    whole = sprite_clips.read(layers, (8, 64, 64, 3), "test", most=6)["image"].reshape(-1, 64, 64, 3)
    found = sprite_clips.read(layers, (8, *size, 3), "test", most=6)["image"].reshape(-1, *size, 3)
    np.testing.assert_array_equal(found, [fit(frame, (*size, 3)) for frame in whole])


def test_most_keeps_a_fixed_part(layers):
    everything = sprite_clips.read(layers, (2, 8, 8, 3), "test")
    some = sprite_clips.read(layers, (2, 8, 8, 3), "validation", most=100)
    assert len(some["image"]) == 100
    assert len(set(some["label"].tolist())) == 9
    first, few = (np.c_[data["character"], data["label"]].tolist() for data in (everything, some))
    rows = [first.index(row) for row in few]
    assert rows == sorted(set(rows))
    np.testing.assert_array_equal(some["image"], everything["image"][rows])


def test_a_zip_is_as_good_as_a_folder(layers, tmp_path):
    path = tmp_path / "layers.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in layers.rglob("*.png"):
            archive.write(file, file.relative_to(layers))
    assert sprite_clips.is_source(path)
    assert sprite_clips.is_source(layers)
    first, second = (sprite_clips.read(p, (2, 8, 8, 3), "test", most=9) for p in (path, layers))
    assert all((first[name] == second[name]).all() for name in first)


def test_what_is_no_source(layers, tmp_path):
    assert not sprite_clips.is_source(tmp_path)
    (tmp_path / "broken.zip").write_bytes(b"PK")
    assert not sprite_clips.is_source(tmp_path / "broken.zip")
    with pytest.raises(UserError, match=r"must be a \.zip"):
        sprite_clips.read(tmp_path / "broken.zip", (8, 32, 32, 3), "test")


@pytest.mark.parametrize("shape", [(9, 32, 32, 3), (8, 32, 32, 1)])
def test_shapes_it_has_not(layers, shape):
    with pytest.raises(UserError, match=r"such as \(8, 32, 32, 3\)"):
        sprite_clips.read(layers, shape, "train")


def test_broken_sheets_are_named(layers, tmp_path):
    for kind in sprite_clips.ATTRIBUTES:
        (tmp_path / kind).symlink_to(layers / kind)
    with pytest.raises(UserError, match=r"sprite sheet shoes/1.png"):
        sprite_clips.read(tmp_path, (8, 32, 32, 3), "test")
    (tmp_path / "shoes").mkdir()
    Image.new("RGBA", (64, 64)).save(tmp_path / "shoes" / "1.png")
    with pytest.raises(UserError, match=r"shoes/1.png of .* is 64x64, not 832x1344"):
        sprite_clips.read(tmp_path, (8, 32, 32, 3), "test")


@pytest.mark.skipif(not ARCHIVE.is_file(), reason="the benchmark's archive is not on this machine")
def test_the_benchmarks_archive():
    data = sprite_clips.read(ARCHIVE, (8, 64, 64, 3), "test", most=60)
    image = data["image"]
    shown = (image.max(-1) > 0).mean((2, 3))
    assert (shown > 0.1).all()
    assert (shown < 0.4).all()
    assert (np.abs(np.diff(image.astype(int), axis=1)).mean((2, 3, 4)) > 0.1).all()  # no two frames in a row are alike
