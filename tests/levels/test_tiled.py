import base64
import json
import sys
import zlib

import numpy as np
import pytest
from etils import epath
from PIL import Image

from jaxgen.errors import UserError
from jaxgen.levels import tiled
from jaxgen.levels.art import tile_images
from jaxgen.levels.tiles import TILESETS

MARIO = TILESETS["mario"]
LEVEL = np.array([[0, 0, 10], [6, 7, 5]], np.uint8)


@pytest.fixture
def saved(tmp_path):
    return tiled.write(epath.Path(tmp_path / "levels" / "one.tmj"), LEVEL, MARIO)


def change(path, **fields):
    """The map at `path` with other fields; a function makes the new value of the old one."""
    content = json.loads(path.read_text())
    for name, value in fields.items():
        content[name] = value(content[name]) if callable(value) else value
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("tileset", TILESETS.values(), ids=TILESETS)
def test_round_trip(tmp_path, tileset):
    pytest.importorskip("pytiled_parser")
    level = np.random.default_rng(0).integers(0, tileset.size, (9, 14)).astype(np.uint8)
    path = tiled.write(epath.Path(tmp_path / "a.tmj"), level, tileset)
    back = tiled.read(path, tileset)
    np.testing.assert_array_equal(back, level)
    assert back.dtype == np.uint8


def test_what_is_written(saved):
    content = json.loads(saved.read_text())
    (layer,), (tiles,) = content["layers"], content["tilesets"]
    assert (content["width"], content["height"], content["orientation"]) == (3, 2, "orthogonal")
    assert layer["data"] == [1, 1, 11, 7, 8, 6]
    assert (tiles["firstgid"], tiles["tilecount"], tiles["imagewidth"], tiles["imageheight"]) == (1, 13, 13 * 16, 16)
    properties = [{p["name"]: p["value"] for p in tile["properties"]} for tile in tiles["tiles"]]
    assert properties[1] == {"char": "X", "name": "solid ground", "solid": True}
    assert properties[10] == {"char": "o", "name": "coin", "solid": False}
    with Image.open(saved.parent / tiles["image"]) as image:
        np.testing.assert_array_equal(np.asarray(image)[:, 16:32], tile_images(MARIO)[1])
    assert sorted(p.name for p in saved.parent.iterdir()) == ["mario-tiles.png", "one.tmj"]  # nothing half done


def test_the_picture_is_written_once(saved):
    image = saved.parent / "mario-tiles.png"
    before = image.stat().mtime
    tiled.write(saved.parent / "two.tmj", LEVEL, MARIO)
    assert image.stat().mtime == before
    good = image.read_bytes()
    image.write_bytes(b"damaged")
    tiled.write(saved.parent / "two.tmj", LEVEL, MARIO)
    assert image.read_bytes() == good


def test_a_level_of_another_game_is_not_written(tmp_path):
    with pytest.raises(UserError, match="tile 13, but mario has tiles 0 to 12"):
        tiled.write(epath.Path(tmp_path / "a.tmj"), LEVEL + np.uint8(3), MARIO)


def test_what_an_editor_may_do(saved):
    pytest.importorskip("pytiled_parser")

    def edit(layers):
        numbers = np.array(layers[0]["data"], "<u4").tobytes()
        packed = {
            "encoding": "base64",
            "compression": "zlib",
            "data": base64.b64encode(zlib.compress(numbers)).decode(),
        }
        common = {"opacity": 1, "visible": True, "id": 7, "x": 0, "y": 0}
        group = common | {"type": "group", "name": "all", "layers": [layers[0] | packed]}
        notes = common | {"type": "objectgroup", "name": "notes", "objects": [], "draworder": "topdown"}
        return [notes, group]

    np.testing.assert_array_equal(tiled.read(change(saved, layers=edit), MARIO), LEVEL)


def test_a_tile_is_known_by_its_character(saved):
    pytest.importorskip("pytiled_parser")

    def swap(sets):  # ground and enemy
        properties = [tile["properties"] for tile in sets[0]["tiles"]]
        sets[0]["tiles"][1]["properties"], sets[0]["tiles"][5]["properties"] = properties[5], properties[1]
        return sets

    assert tiled.read(change(saved, tilesets=swap), MARIO).tolist() == [[0, 0, 10], [6, 7, 1]]

    def bare(sets):
        return [{key: value for key, value in sets[0].items() if key != "tiles"}]

    np.testing.assert_array_equal(tiled.read(change(saved, tilesets=bare), MARIO), LEVEL)


def data(*numbers):
    return {"layers": lambda layers: [layers[0] | {"data": list(numbers)}]}


def set_field(**fields):
    return {"tilesets": lambda sets: [sets[0] | fields]}


BAD = {
    "no layer": ({"layers": []}, "has no tile layers; a level has exactly one"),
    "two layers": ({"layers": lambda layers: layers * 2}, r"has 2 tile layers \(level, level\)"),
    "infinite": ({"infinite": True}, "is an infinite map. Switch `Infinite` off"),
    "isometric": ({"orientation": "isometric"}, "orientation isometric; levels are orthogonal"),
    "empty cell": (data(1, 1, 1, 1, 0, 1), "row 2, column 2: this cell is empty"),
    "flipped": (data(1, 1, 1 + (1 << 31), 1, 1, 1), "row 1, column 3: this tile is flipped or rotated"),
    "rotated": (data(1, 1, 1, 1, 1, 1 + (1 << 29)), "row 2, column 3: this tile is flipped"),
    "beyond": (data(1, 14, 1, 1, 1, 1), r"row 1, column 2: tile 14 of the map is no tile of mario\. The tiles are '-'"),
    "too few": (data(1, 1, 1), r"is 2x3 tiles \(height x width\), but its tile layer has 3 cells"),
    "no cells": (data(), "its tile layer has 0 cells"),
    "words": (data("a", "b", "c", "d", "e", "f"), "something other than tile numbers"),
    "negative": (data(-1, 1, 1, 1, 1, 1), "something other than tile numbers"),
    "no tileset": ({"tilesets": []}, "tile 1 of the map is no tile"),
    "odd tileset": (set_field(tilecount="many"), "Cannot read the map .*is no whole number"),
    "missing field": (set_field(spacing=1, name=None) | {"tilesets": [{"firstgid": 1}]}, "it has no 'name'"),
    "no width": ({"width": None}, "Cannot read the map"),
    "outside tileset": ({"tilesets": [{"firstgid": 1, "source": "gone.tsj"}]}, "Cannot read the map .*gone.tsj"),
}


@pytest.mark.parametrize(("fields", "said"), BAD.values(), ids=BAD)
def test_bad_maps_are_refused(saved, fields, said):
    pytest.importorskip("pytiled_parser")
    with pytest.raises(UserError, match=said) as error:
        tiled.read(change(saved, **fields), MARIO)
    assert "one.tmj" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"hello", b"<map", b"[]", b"3", b"\xff\xfe", b"{}"])
def test_files_that_are_no_map(saved, content):
    pytest.importorskip("pytiled_parser")
    saved.write_bytes(content)
    with pytest.raises(UserError, match=r"Cannot read the map .*one\.tmj .*It must be a map that Tiled saved as JSON"):
        tiled.read(saved, MARIO)


def test_the_map_of_another_game(saved):
    pytest.importorskip("pytiled_parser")
    with pytest.raises(UserError, match="is no tile of sokoban"):
        tiled.read(saved, TILESETS["sokoban"])
    with pytest.raises(UserError, match=r"^x/y, row"):
        tiled.read(saved, TILESETS["sokoban"], "x/y")


def test_without_the_parser(saved, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytiled_parser", None)
    with pytest.raises(UserError, match=r'^pytiled_parser is needed for .*pip install "jaxgen\[games\]"'):
        tiled.read(saved, MARIO)
