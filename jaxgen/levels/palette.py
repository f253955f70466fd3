"""Maps of the game Crafter as pictures to paint: one pixel a cell, one flat colour a kind of tile."""

import numpy as np

from jaxgen.errors import UserError
from jaxgen.levels.tiles import TILESETS

_COLOURS = {
    "water": 0x3B7DD8,
    "grass": 0x5DB13C,
    "stone": 0x8A8D91,
    "path": 0xC9A06A,
    "sand": 0xF2E19C,
    "tree": 0x1F5C2E,
    "lava": 0xF05A1A,
    "coal": 0x1E1E24,
    "iron": 0xE3B7A0,
    "diamond": 0x6FEFEA,
}
_HEX = np.array([_COLOURS[name] for name in TILESETS["crafter"].names])

PALETTE = np.stack([_HEX >> 16, _HEX >> 8 & 255, _HEX & 255], axis=1).astype(np.uint8)
"""uint8 [10, 3]: the colour of each tile of the tileset `crafter`, by its number."""


def map_from_picture(picture: np.ndarray, path: str) -> np.ndarray:
    """uint8 [H, W, 3] in exactly the colours of `PALETTE`, one pixel a cell -> uint8 [H, W] of tile numbers.

    `path` names the picture in messages. Raises `UserError` for a picture of another shape or type, and for any other
    colour: the first of them in reading order and its place, how many pixels are wrong, and which colours there are.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise UserError(
            f"{path} must be an RGB picture of 8 bits a channel, one pixel a cell; it is {picture.dtype} of shape "
            f"{picture.shape}. Save it as RGB, without transparency."
        )
    same = (picture[:, :, None] == PALETTE).all(axis=-1)  # [H, W, 10], at most one of the ten
    unknown = np.argwhere(~same.any(axis=-1))
    if len(unknown):
        row, column = unknown[0]
        count = "1 pixel has" if len(unknown) == 1 else f"{len(unknown)} pixels have"
        raise UserError(
            f"{path}: the colour {_hex(picture[row, column])} at column {column}, row {row} (from 0, at the top left) "
            f"means no tile; {count} such a colour. Paint with {legend()}, one pixel a cell and without smooth edges."
        )
    return same.argmax(axis=-1).astype(np.uint8)


def picture_from_map(tiles: np.ndarray) -> np.ndarray:
    """uint8 [H, W] of tile numbers -> uint8 [H, W, 3] in the colours of `PALETTE`: what `map_from_picture` undoes.

    Raises `UserError` where a number is no tile of the tileset.
    """
    if tiles.size and not (tiles.min() >= 0 and tiles.max() < len(PALETTE)):
        raise UserError(
            f"A Crafter map has tile numbers from 0 to {len(PALETTE) - 1}; this one has {tiles.min()} to {tiles.max()}."
        )
    return PALETTE[tiles]


def legend() -> str:
    """One line for messages: each colour as #rrggbb, with its tile's name."""
    return ", ".join(f"{_hex(colour)} {name}" for colour, name in zip(PALETTE, TILESETS["crafter"].names, strict=True))


def _hex(colour: np.ndarray) -> str:
    return "#" + bytes(colour).hex()
