"""Pictures of the tiles, drawn here by code: 16x16 pixels, RGB."""

import functools
from collections.abc import Callable

import numpy as np

from jaxgen.errors import UserError
from jaxgen.levels import sprites
from jaxgen.levels.tiles import Tileset

SIDE = 16
"""Pixels along each side of a tile."""

Colour = tuple[int, int, int]

_INK = (38, 28, 36)
_WHITE = (255, 255, 255)
_SKY = (148, 206, 248)
_GRASS = (106, 174, 72)
_STONE = (136, 139, 148)
_FLOOR = (226, 212, 182)


def _plain(colour: Colour) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), colour, np.uint8)


def _grain(image: np.ndarray, amount: int, seed: int) -> np.ndarray:
    """Each pixel a little lighter or darker, always in the same way."""
    noise = np.random.default_rng(seed).integers(-amount, amount + 1, (SIDE, SIDE, 1))
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _rect(image: np.ndarray, top: int, left: int, bottom: int, right: int, colour: Colour) -> None:
    image[top:bottom, left:right] = colour


def _bevel(image: np.ndarray, light: Colour, dark: Colour) -> None:
    image[0], image[:, 0], image[-1], image[:, -1] = light, light, dark, dark


def _disc(image: np.ndarray, centre: tuple[float, float], radius: tuple[float, float], colour: Colour) -> None:
    y, x = np.mgrid[:SIDE, :SIDE]
    inside = ((y - centre[0]) / radius[0]) ** 2 + ((x - centre[1]) / radius[1]) ** 2 <= 1
    image[inside] = colour


def _sprite(image: np.ndarray, rows: str, **palette: Colour) -> np.ndarray:
    """`rows` over `image`: each letter in the colour of that name, a dot leaves what is there."""
    chars = np.array([list(row) for row in rows.split()])
    for letter, colour in palette.items():
        image[chars == letter] = colour
    return image


def _shaded(width: int, left: Colour, bright: Colour, right: Colour) -> np.ndarray:
    """uint8 [width, 3]: the light on an upright cylinder, brightest at a quarter of its width."""
    at = [0, width // 4, width - 1]
    return np.stack([np.interp(np.arange(width), at, c) for c in np.array([left, bright, right]).T], -1).astype(
        np.uint8
    )


def _bricks(colour: Colour, light: Colour, mortar: Colour) -> np.ndarray:
    image = _grain(_plain(colour), 8, seed=1)
    for row in range(4):
        top = 4 * row
        image[top] = light
        image[top + 3] = mortar
        for joint in (7, 15) if row % 2 == 0 else (3, 11):
            image[top : top + 3, joint] = mortar
    return image


def _pipe(top: bool) -> np.ndarray:
    """[16, 32, 3]: a row of an upright pipe, two tiles wide; the topmost row has a rim."""
    image = np.concatenate([_plain(_SKY)] * 2, axis=1)
    greens = ((40, 138, 62), (178, 240, 132), (18, 92, 52))
    image[:, 2:30] = (14, 54, 36)
    image[:, 3:29] = _shaded(26, *greens)
    if top:
        image[:9] = (14, 54, 36)
        image[1:8, 1:31] = _shaded(30, *greens)
        image[9, 3:29] = image[9, 3:29] // 2
    return image


def _cannon(top: bool) -> np.ndarray:
    steel = _shaded(SIDE, (72, 76, 92), (168, 174, 192), (40, 42, 56))
    image = np.broadcast_to(steel, (SIDE, SIDE, 3)).copy()
    if top:
        _bevel(image, _INK, _INK)
        _rect(image, 1, 1, 3, 15, (196, 202, 216))
        _disc(image, (9, 7.5), (5.5, 5.5), _INK)
        _disc(image, (9, 7.5), (4, 4), (92, 20, 20))
        _disc(image, (9, 7.5), (2.4, 2.4), (252, 136, 40))
        return image
    image[:, [0, 15]] = _INK
    for row in (2, 10):
        _rect(image, row, 1, row + 4, 15, (58, 52, 60))
        for column in (2, 7, 12):
            _rect(image, row + 1, column, row + 3, column + 2, (206, 182, 96))
    return image


def _mario() -> list[np.ndarray]:
    ground = _grain(_plain((180, 116, 66)), 12, seed=2)
    for y, x in ((4, 4), (10, 3), (7, 10), (12, 11), (3, 12)):
        _rect(ground, y, x, y + 2, x + 2, (140, 84, 44))
        _rect(ground, y, x, y + 1, x + 1, (214, 156, 100))
    _bevel(ground, (226, 170, 112), (104, 60, 32))

    full = _plain((246, 182, 42))
    _rect(full, 1, 1, 2, 15, (255, 226, 130))
    used = _grain(_plain((150, 110, 78)), 5, seed=3)
    for block, edge, rivet in ((full, (128, 70, 14), (128, 70, 14)), (used, (78, 50, 32), (206, 176, 140))):
        _bevel(block, edge, edge)
        for y in (2, 13):
            for x in (2, 13):
                block[y, x] = rivet
    _sprite(full, sprites.QUESTION, w=_WHITE, k=(150, 84, 10))

    coin = _plain(_SKY)
    _disc(coin, (7.5, 7.5), (7, 5.4), (134, 82, 8))
    _disc(coin, (7.5, 7.5), (6, 4.4), (252, 200, 40))
    _disc(coin, (7, 6.8), (4.6, 2.6), (255, 238, 150))
    _rect(coin, 4, 7, 12, 9, (206, 142, 16))

    enemy = _sprite(_plain(_SKY), sprites.ENEMY, k=_INK, p=(178, 62, 118), l=(240, 146, 180), d=(118, 34, 84), w=_WHITE)
    rim, body = _pipe(top=True), _pipe(top=False)
    return [
        _plain(_SKY),
        ground,
        _bricks((202, 94, 58), (232, 136, 92), (98, 40, 28)),
        full,
        used,
        enemy,
        rim[:, :SIDE],
        rim[:, SIDE:],
        body[:, :SIDE],
        body[:, SIDE:],
        coin,
        _cannon(top=True),
        _cannon(top=False),
    ]


def _crate(wood: Colour, light: Colour, dark: Colour) -> np.ndarray:
    """A box from above: a frame of boards, and one board across."""
    image = _floor()
    _rect(image, 1, 1, 15, 15, dark)
    _rect(image, 2, 2, 14, 14, light)
    _rect(image, 4, 4, 12, 12, dark)
    y, x = np.mgrid[5:11, 5:11]
    inner = image[5:11, 5:11]
    inner[:] = wood
    inner[abs(x + y - 15) == 2] = dark
    inner[abs(x + y - 15) < 2] = light
    for corner in ((2, 2), (2, 13), (13, 2), (13, 13)):
        image[corner] = dark
    return image


def _floor() -> np.ndarray:
    image = _grain(_plain(_FLOOR), 4, seed=4)
    image[-1] = image[:, -1] = (206, 190, 158)
    return image


def _goal() -> np.ndarray:
    image = _floor()
    for radius, colour in ((6.6, (196, 48, 52)), (4.6, _FLOOR), (2.6, (196, 48, 52))):
        _disc(image, (7, 7), (radius, radius), colour)
    return image


def _player(image: np.ndarray) -> np.ndarray:
    colours = {"h": (96, 58, 34), "s": (246, 200, 160), "r": (200, 84, 76), "b": (46, 92, 190), "y": (252, 214, 70)}
    return _sprite(image, sprites.PLAYER, k=_INK, **colours)


def _sokoban() -> list[np.ndarray]:
    return [
        _bricks((96, 106, 130), (134, 146, 172), (52, 58, 78)),
        _floor(),
        _goal(),
        _crate((196, 134, 70), (228, 176, 108), (108, 66, 28)),
        _player(_floor()),
        _crate((92, 168, 84), (158, 220, 132), (28, 88, 48)),
        _player(_goal()),
    ]


def _lumps(colour: Colour, light: Colour) -> np.ndarray:
    """Stone with lumps of ore in it."""
    image = _stone()
    for y, x, radius in ((4, 4, 2.6), (5, 11.5, 2.0), (11, 8, 2.8), (12.5, 2.5, 1.5), (11, 13.5, 1.5)):
        _disc(image, (y, x), (radius + 0.9, radius + 0.9), (66, 66, 76))
        _disc(image, (y, x), (radius, radius), colour)
        _disc(image, (y - radius / 3, x - radius / 3), (radius / 2.2, radius / 2.2), light)
    return image


def _stone() -> np.ndarray:
    return _sprite(_grain(_plain(_STONE), 6, seed=5), sprites.CRACKS, l=(174, 177, 186), d=(94, 96, 106))


def _grass() -> np.ndarray:
    return _sprite(_grain(_plain(_GRASS), 6, seed=6), sprites.BLADES, l=(150, 208, 96), d=(70, 134, 54))


def _lava() -> np.ndarray:
    image = _grain(_plain((222, 70, 18)), 10, seed=7)
    for y, x, ry, rx in ((3, 4, 2.2, 3.4), (9, 11, 2.6, 3.4), (13, 3, 1.6, 2.4)):
        _disc(image, (y, x), (ry + 1, rx + 1), (248, 138, 28))
        _disc(image, (y, x), (ry, rx), (255, 210, 64))
    for y, x in ((2, 12), (7, 3), (14, 9)):
        _rect(image, y, x, y + 1, x + 3, (122, 26, 16))
        _rect(image, y + 1, x + 1, y + 2, x + 4, (122, 26, 16))
    return image


def _crafter() -> list[np.ndarray]:
    path = _grain(_plain((188, 158, 118)), 8, seed=8)
    for y, x in ((3, 3), (6, 11), (11, 6), (13, 13), (1, 9)):
        _rect(path, y, x, y + 2, x + 2, (150, 120, 84))
        path[y, x] = (220, 196, 158)
    sand = _grain(_plain((240, 222, 158)), 5, seed=9)
    for y, x in ((2, 4), (4, 12), (7, 7), (10, 2), (12, 10), (14, 14), (9, 13), (14, 5)):
        sand[y, x : x + 2] = (212, 186, 116)
    tree = {"k": (24, 52, 30), "g": (46, 122, 58), "l": (108, 184, 84), "d": (30, 88, 48)}
    return [
        _sprite(_plain((54, 124, 214)), sprites.WAVES, w=(160, 210, 252), d=(38, 98, 186)),
        _grass(),
        _stone(),
        path,
        sand,
        _sprite(_grass(), sprites.TREE, t=(150, 98, 56), b=(106, 66, 38), **tree),
        _lava(),
        _lumps((34, 34, 42), (84, 84, 98)),
        _lumps((214, 142, 96), (250, 206, 168)),
        _sprite(_stone(), sprites.GEM, k=(40, 74, 104), w=_WHITE, c=(118, 226, 240), d=(62, 164, 206)),
    ]


_DRAW: dict[str, Callable[[], list[np.ndarray]]] = {"mario": _mario, "sokoban": _sokoban, "crafter": _crafter}


@functools.cache
def tile_images(tileset: Tileset) -> np.ndarray:
    """uint8 [T, 16, 16, 3], read-only: the picture of each tile. Raises `UserError` for a tileset without pictures."""
    if tileset.name not in _DRAW:
        raise UserError(f"There are no pictures of the tiles of {tileset.name}; there are for {', '.join(_DRAW)}.")
    images = np.stack(_DRAW[tileset.name]())
    images.setflags(write=False)  # shared by all who ask
    return images
