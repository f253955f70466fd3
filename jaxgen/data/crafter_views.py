"""Maps of the game Crafter beside the game's own pictures of them, made from seeds on this machine: an embedded set."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from jaxgen.data import crafter_maps
from jaxgen.data.cache import cache_dir, made_once
from jaxgen.errors import UserError
from jaxgen.levels.tiles import TILESETS

CELLS = 8
"""Along each side of a view."""

PIXELS = 8
"""Along each side of a cell in the picture."""

COUNTS = {"train": 60, "test": 40}
"""Views of each world of the splits of `crafter_maps.SEEDS`."""

_TURNS = 4  # that creatures take between two views: a cell seen twice seldom has the same creature twice
_AWAY = -1000  # where the player waits: no creature goes for it, no skeleton shoots at it


def views(split: str, data_dir: str = "") -> dict[str, np.ndarray]:
    """{"map": uint8 [N, 8, 8], "image": uint8 [N, 64, 64, 3]}: windows of worlds, and how the game draws them.

    Cell [r, c] of a map, a tile number of the tileset `crafter`, is what lies in the pixels [8r:8r+8, 8c:8c+8] of its
    picture. The views of each world of `crafter_maps.SEEDS[split]` follow one another: `COUNTS[split]` each, as `draw`
    makes them. They are made at first use (some thirty seconds) and kept in `cache_dir(data_dir)`, in a file of the
    package's version; a damaged file is made anew. Processes that need it at the same time wait for the one that makes
    it. Raises `UserError` where there is no such split, Crafter is missing or the cache cannot be written.
    """
    if split not in COUNTS:
        raise UserError(f"There is no split {split!r}; choose from {', '.join(COUNTS)}.")
    path = cache_dir(data_dir) / "levels" / f"crafter-views-{crafter_maps.version()}.npz"
    made = made_once(path, _all, _fit)
    return {key: made[f"{split}_{key}"] for key in ("map", "image")}


def draw(seed: int, count: int, daylight: float | None = None) -> dict[str, np.ndarray]:
    """{"map": uint8 [count, 8, 8], "image": uint8 [count, 64, 64, 3]}: views of the world of one seed.

    A map has what lies on the ground and nothing else. A picture also shows creatures, about one cell in 85: the cows,
    zombies and skeletons of the new world, which move on between two views. It shows the light too: `daylight` in
    [0, 1], night to day, drawn for each view where it is None. By night a picture loses colour and has noise towards
    its edges, as in the game. The player is not in the world. Every second view is anywhere in it; for the others a
    kind of tile is drawn first, of those that the world has, and then a cell of it to be seen: else lava and diamonds
    would be met too seldom to learn from. Raises `UserError` where Crafter is missing.
    """
    tiles = crafter_maps.world(seed)
    from crafter import Env, engine  # `world` has said what to do where it is missing

    env = Env(area=tiles.shape, seed=seed)
    env.reset()
    world: Any = env._world  # there is no public way to it, nor to the player
    player: Any = env._player
    world.remove(player)
    player.pos = np.array((_AWAY, _AWAY))
    view = engine.LocalView(world, env._textures, (CELLS, CELLS))
    rng = np.random.default_rng((seed, CELLS))
    maps, images = [], []
    for i in range(count):
        for creature in world.objects * _TURNS:
            creature.update()
        row, column = _corner(rng, tiles, anywhere=i % 2 == 0)
        light = rng.uniform()  # drawn even if not used: the places stay the same
        world.daylight = light if daylight is None else daylight
        eye = SimpleNamespace(pos=(column + CELLS // 2, row + CELLS // 2), sleeping=False)  # x comes first in the game
        maps.append(tiles[row : row + CELLS, column : column + CELLS])
        images.append(view(eye, (PIXELS, PIXELS)).astype(np.uint8).swapaxes(0, 1))
    return {"map": np.stack(maps), "image": np.stack(images)}


def _corner(rng: np.random.Generator, tiles: np.ndarray, anywhere: bool) -> tuple[int, int]:
    """Row and column of the top left cell of a window that lies wholly in the world."""
    last = np.array(tiles.shape) - CELLS
    if anywhere:
        row, column = rng.integers(0, last, endpoint=True)
        return int(row), int(column)
    cells = np.argwhere(tiles == rng.choice(np.unique(tiles)))
    row, column = np.clip(rng.choice(cells) - rng.integers(0, CELLS, 2), 0, last)
    return int(row), int(column)


def _all() -> dict[str, np.ndarray]:
    out = {}
    for split, seeds in crafter_maps.SEEDS.items():
        worlds = [draw(seed, COUNTS[split]) for seed in seeds]
        out |= {f"{split}_{key}": np.concatenate([views[key] for views in worlds]) for key in ("map", "image")}
        out[f"{split}_seeds"] = np.array(seeds)
    return out


def _fit(found: Mapping[str, np.ndarray]) -> bool:
    """Whether they are views, of the worlds of these seeds."""
    side = CELLS * PIXELS
    for split, seeds in crafter_maps.SEEDS.items():
        maps, images, total = found[f"{split}_map"], found[f"{split}_image"], len(seeds) * COUNTS[split]
        if tuple(found[f"{split}_seeds"].tolist()) != seeds:
            return False
        if maps.dtype != np.uint8 or images.dtype != np.uint8:
            return False
        if maps.shape != (total, CELLS, CELLS) or images.shape != (total, side, side, 3):
            return False
        if maps.max() >= TILESETS["crafter"].size:
            return False
    return True
