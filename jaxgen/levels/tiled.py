"""Levels as maps of the editor Tiled, in its JSON format (https://doc.mapeditor.org/en/stable/reference/json-map-format)."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath
from PIL import Image

from jaxgen import files
from jaxgen.errors import UserError, needed
from jaxgen.levels.art import SIDE, tile_images
from jaxgen.levels.inputs import check_level
from jaxgen.levels.tiles import Tileset

_FLAGS = 1 << 28  # a tile number has its four highest bits for flips and rotations


def write(path: epath.Path, level: np.ndarray, tileset: Tileset) -> epath.Path:
    """uint8 [H, W] to the map `path` (.tmj), one tile layer of `tileset`; gives the path.

    The picture of the tiles, which the map names, is written beside it as `<tileset's name>-tiles.png`, where it is not
    there already. Each tile has the properties `char`, `name` and `solid`. Raises `UserError` for a level that is not
    of `tileset`.
    """
    level, path = check_level(level, tileset), epath.Path(path)
    image = path.parent / f"{tileset.name}-tiles.png"
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(tile_images(tileset), axis=1)).save(buffer, "PNG")
    if not image.exists() or image.read_bytes() != buffer.getvalue():
        files.write(image, buffer.getvalue())
    return files.write(path, json.dumps(_map(level, tileset, image.name)).encode())


def read(path: Path, tileset: Tileset, source: str = "") -> np.ndarray:
    """uint8 [H, W] of the map at `path`, as `write` or Tiled itself writes it; `source` names it in messages.

    A tile whose property `char` is a character of `tileset` is that tile, wherever it stands in the map's own tileset;
    without that property, tiles are numbered as in `tileset`. Layers of objects and images are left out.

    Raises `UserError` where pytiled_parser is missing, and for a file that is no such map: one that is not orthogonal,
    or infinite, or has no tile layer or several, or a cell that is empty, flipped, or of no tile of `tileset`.
    """
    source = source or str(path)
    level_map = _parsed(path, source)
    if level_map.infinite:
        raise UserError(f"{source} is an infinite map. Switch `Infinite` off in Tiled under Map, Map Properties.")
    if level_map.orientation != "orthogonal":
        raise UserError(f"{source} is a map of orientation {level_map.orientation}; levels are orthogonal.")
    layers = list(_tile_layers(level_map.layers))
    if len(layers) != 1:
        names = f" ({', '.join(str(layer.name) for layer in layers)})" if layers else ""
        raise UserError(f"{source} has {len(layers) or 'no'} tile layers{names}; a level has exactly one.")
    cells = _cells(layers[0].data, level_map.map_size, source)
    numbers, where = np.unique(cells, return_inverse=True)
    tiles = np.empty(len(numbers), np.uint8)
    for i, gid in enumerate(numbers.tolist()):
        tile = _tile(gid, level_map.tilesets, tileset)
        if tile is None:
            row, column = np.argwhere(cells == gid)[0] + 1
            raise UserError(f"{source}, row {row}, column {column}: {_trouble(gid, tileset)}")
        tiles[i] = tile
    return tiles[where].reshape(cells.shape)


def _map(level: np.ndarray, tileset: Tileset, image: str) -> dict[str, Any]:
    height, width = level.shape
    layer = {
        "type": "tilelayer",
        "id": 1,
        "name": "level",
        "x": 0,
        "y": 0,
        "width": width,
        "height": height,
        "opacity": 1,
        "visible": True,
        "data": (level.astype(int) + 1).ravel().tolist(),  # 0 would be an empty cell
    }
    return {
        "type": "map",
        "version": "1.10",
        "tiledversion": "1.10.2",
        "orientation": "orthogonal",
        "renderorder": "right-down",
        "infinite": False,
        "compressionlevel": -1,
        "width": width,
        "height": height,
        "tilewidth": SIDE,
        "tileheight": SIDE,
        "nextlayerid": 2,
        "nextobjectid": 1,
        "layers": [layer],
        "tilesets": [_tileset(tileset, image)],
    }


def _tileset(tileset: Tileset, image: str) -> dict[str, Any]:
    return {
        "firstgid": 1,
        "name": tileset.name,
        "columns": tileset.size,
        "tilecount": tileset.size,
        "tilewidth": SIDE,
        "tileheight": SIDE,
        "margin": 0,
        "spacing": 0,
        "image": image,
        "imagewidth": tileset.size * SIDE,
        "imageheight": SIDE,
        "tiles": [
            {
                "id": i,
                "properties": [
                    {"name": "char", "type": "string", "value": char},
                    {"name": "name", "type": "string", "value": name},
                    {"name": "solid", "type": "bool", "value": char in tileset.solid},
                ],
            }
            for i, (char, name) in enumerate(zip(tileset.chars, tileset.names, strict=True))
        ],
    }


def _parsed(path: Path, source: str) -> Any:
    with needed("pytiled_parser", "reading maps of Tiled", "games"):
        import pytiled_parser
    try:
        level_map = pytiled_parser.parse_map(path)
        sets, size = level_map.tilesets, level_map.map_size
        counts = [size.width, size.height, *sets, *(tiles.tile_count for tiles in sets.values())]
        if not all(isinstance(count, int) for count in counts):
            raise ValueError("a size, `firstgid` or `tilecount` is no whole number")
        return level_map
    except Exception as error:  # the parser checks nothing, so a bad map may raise anything
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise UserError(
            f"Cannot read the map {source} ({what}). It must be a map that Tiled saved as JSON (.tmj)."
        ) from error


def _tile_layers(layers: list[Any]) -> Iterator[Any]:
    from pytiled_parser import LayerGroup, TileLayer

    for layer in layers:
        if isinstance(layer, LayerGroup):
            yield from _tile_layers(layer.layers or [])
        elif isinstance(layer, TileLayer):
            yield layer


def _cells(data: Any, size: Any, source: str) -> np.ndarray:
    """int64 [H, W] of Tiled's numbers, flags and all."""
    flat = [number for row in data or () for number in row]
    if not flat or len(flat) != size.height * size.width:
        raise UserError(
            f"{source} is {size.height}x{size.width} tiles (height x width), but its tile layer has {len(flat)} cells."
        )
    if not all(isinstance(number, int) and 0 <= number < 1 << 32 for number in flat):
        raise UserError(f"{source} has something other than tile numbers in the data of its tile layer.")
    return np.array(flat, np.int64).reshape(size.height, size.width)


def _tile(gid: int, sets: dict[int, Any], tileset: Tileset) -> int | None:
    """The tile that Tiled's number `gid` stands for, where it stands for one."""
    first = max((first for first in sets if first <= gid), default=0)
    local = gid - first
    if first == 0 or local >= sets[first].tile_count:
        return None
    char = (getattr((sets[first].tiles or {}).get(local), "properties", None) or {}).get("char")
    if char is None:
        return local if local < tileset.size else None
    return tileset.chars.index(char) if char and char in list(tileset.chars) else None


def _trouble(gid: int, tileset: Tileset) -> str:
    if gid == 0:
        return "this cell is empty. Put a tile there."
    if gid >= _FLAGS:
        return "this tile is flipped or rotated. Put it there as it is."
    return f"tile {gid} of the map is no tile of {tileset.name}. The tiles are {tileset.legend()}."
