"""What the solvers accept, checked at the door."""

import numpy as np

from jaxgen.errors import UserError
from jaxgen.levels.tiles import Tileset


def check_level(level: np.ndarray, tileset: Tileset) -> np.ndarray:
    """`level` uint8 [H, W], contiguous. Raises `UserError` for another type or shape, or a number that is no tile."""
    level = np.asarray(level)
    if level.dtype != np.uint8 or level.ndim != 2 or 0 in level.shape:
        raise UserError(f"The level is {level.dtype} {level.shape}; pass tile numbers as uint8 [H, W].")
    if level.max() >= tileset.size:
        raise UserError(f"The level has tile {level.max()}, but {tileset.name} has tiles 0 to {tileset.size - 1} only.")
    return np.ascontiguousarray(level)
