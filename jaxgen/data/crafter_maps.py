"""Worlds of the game Crafter, made from seeds on this machine: an embedded set of levels."""

import importlib.metadata
import zipfile
import zlib
from pathlib import Path
from types import ModuleType

import numpy as np

from jaxgen.data.cache import cache_dir, lock
from jaxgen.errors import UserError
from jaxgen.levels.tiles import TILESETS

SIDE = 64
"""Tiles along each side of a world, as the game has it."""

SEEDS = {"train": tuple(range(40)), "test": tuple(range(1000, 1010))}
"""Of the worlds of each split."""


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
    made = _load(path)
    if made is None:
        with lock(path.with_suffix(".lock")):
            made = _load(path)  # another process was quicker
            if made is None:
                made = {name: np.stack([world(seed) for seed in seeds]) for name, seeds in SEEDS.items()}
                _save(path, made)
    return made[split]


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
    try:
        import crafter
    except ImportError as error:
        raise UserError('Worlds of Crafter need the package crafter: pip install "jaxgen[games]".') from error
    return crafter


def version() -> str:
    """Of the package Crafter."""
    try:
        return importlib.metadata.version("crafter")
    except importlib.metadata.PackageNotFoundError as error:
        raise UserError('Worlds of Crafter need the package crafter: pip install "jaxgen[games]".') from error


def _load(path: Path) -> dict[str, np.ndarray] | None:
    """The worlds of each split; nothing where the file is missing, damaged, or of other seeds."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as opened:
            found = {name: opened[name] for name in SEEDS}
            seeds = {name: tuple(opened[f"{name}_seeds"].tolist()) for name in SEEDS}
    except (OSError, ValueError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error):
        return None
    for name, tiles in found.items():
        if tiles.dtype != np.uint8 or tiles.shape != (len(SEEDS[name]), SIDE, SIDE) or tiles.max() >= 10:
            return None
    return found if seeds == SEEDS else None


def _save(path: Path, made: dict[str, np.ndarray]) -> None:
    """In one piece, so that no reader sees half a file. Only under the lock."""
    partial = path.with_suffix(".partial")
    seeds = {f"{name}_seeds": np.array(SEEDS[name]) for name in SEEDS}
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **made, **seeds)
        partial.replace(path)
    except OSError as error:
        raise UserError(f"Cannot write {path} ({error}). Make room there, or pass --data-dir.") from error
