"""Worlds of the game Crafter, made from seeds on this machine: an embedded set of levels."""

import importlib.metadata
from collections.abc import Mapping
from functools import partial
from types import ModuleType

import numpy as np

from jaxgen.data.cache import cache_dir, made_once
from jaxgen.errors import UserError, needed
from jaxgen.levels.tiles import TILESETS

SIDE = 64
"""Tiles along each side of a world, as the game has it."""

SEEDS = {"train": tuple(range(40)), "test": tuple(range(1000, 1010))}
"""Of the worlds of each split."""

_with_crafter = partial(needed, "crafter", "worlds of Crafter", "games")


def worlds(split: str, data_dir: str = "") -> np.ndarray:
    """uint8 [N, 64, 64] of tile numbers of the tileset `crafter`: the worlds of `SEEDS[split]`, in that order.

    Worlds are what Crafter (Hafner 2021) makes at its first reset: row 0 is the top row of its picture, and the player
    starts in the middle, at [32, 32]. They are made at first use (some ten seconds) and kept in `cache_dir(data_dir)`,
    in a file of the package's version; a damaged file is made anew. Processes that need it at the same time wait for
    the one that makes it. Raises `UserError` where Crafter is missing or the cache cannot be written.
    """
    if split not in SEEDS:
        raise UserError(f"There is no split {split!r}; choose from {', '.join(SEEDS)}.")
    path = cache_dir(data_dir) / "levels" / f"crafter-{version()}.npz"
    return made_once(path, _all, _fit)[split]


def world(seed: int) -> np.ndarray:
    """uint8 [64, 64] of tile numbers: the world of one seed, of a tenth of a second's work."""
    env = _library().Env(area=(SIDE, SIDE), seed=seed)
    env.reset()
    materials = env._world._mat_map.T  # the game has columns first; there is no public way to its map
    tiles = materials - np.uint8(1)  # material 0 is none at all
    if tiles.max() >= TILESETS["crafter"].size:
        names = sorted({str(env._world._mat_names[int(m)]) for m in np.unique(materials[tiles >= 10])})
        raise UserError(f"The Crafter world of seed {seed} has {', '.join(names)}, which no new world should have.")
    return tiles


def _library() -> ModuleType:
    with _with_crafter():
        import crafter
    return crafter


def version() -> str:
    """Of the package Crafter."""
    with _with_crafter():
        return importlib.metadata.version("crafter")


def _all() -> dict[str, np.ndarray]:
    made = {name: np.stack([world(seed) for seed in seeds]) for name, seeds in SEEDS.items()}
    return made | {f"{name}_seeds": np.array(seeds) for name, seeds in SEEDS.items()}


def _fit(found: Mapping[str, np.ndarray]) -> bool:
    """Whether they are worlds, of these seeds."""
    for name, seeds in SEEDS.items():
        tiles = found[name]
        if tuple(found[f"{name}_seeds"].tolist()) != seeds:
            return False
        if tiles.dtype != np.uint8 or tiles.shape != (len(seeds), SIDE, SIDE):
            return False
        if tiles.max() >= TILESETS["crafter"].size:
            return False
    return True
