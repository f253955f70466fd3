"""Levels to pictures."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from jaxgen.levels import Cell
from jaxgen.levels.art import SIDE, Colour, tile_images
from jaxgen.levels.tiles import Tileset

_EDGE = (30, 20, 40)
_START = (70, 220, 90)
_END = (235, 50, 50)
_WHITE = (255, 255, 255)


def render(level: np.ndarray, tileset: Tileset) -> np.ndarray:
    """uint8 [H, W] of tile numbers -> uint8 [16H, 16W, 3]."""
    height, width = level.shape
    tiles = tile_images(tileset)[level]  # [H, W, 16, 16, 3]
    return tiles.transpose(0, 2, 1, 3, 4).reshape(height * SIDE, width * SIDE, 3)


def draw_path(
    picture: np.ndarray, path: Sequence[Cell], colour: Colour = (255, 70, 200), alpha: float = 0.85
) -> np.ndarray:
    """A copy of `picture` uint8 [16H, 16W, 3], as `render` gives it, with a line through the cells of `path`.

    A green ring marks its first cell, a red disc in a white ring its last. Cells need not be neighbours (a jump is
    one straight line) and may lie outside the picture, which cuts the line off. A `path` of one cell gives the marks
    only, an empty one nothing. `alpha` in [0, 1] is how far the line covers what is below it.
    """
    if not path:
        return picture.copy()
    below = Image.fromarray(picture)
    above = below.copy()
    draw = ImageDraw.Draw(above)
    points = [(column * SIDE + SIDE // 2, row * SIDE + SIDE // 2) for row, column in path]
    for ink, width in ((_EDGE, 7), (colour, 3)):
        if len(points) > 1:
            draw.line(points, fill=ink, width=width, joint="curve")
    (x, y), (end_x, end_y) = points[0], points[-1]
    for radius, ink in ((6, _EDGE), (5, _WHITE), (3, _END)):
        draw.ellipse((end_x - radius, end_y - radius, end_x + radius, end_y + radius), fill=ink)
    for radius, ink, width in ((7, _EDGE, 4), (6, _START, 2)):  # open, since the player stands there
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=ink, width=width)
    return np.asarray(Image.blend(below, above, alpha)).copy()
