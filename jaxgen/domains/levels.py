"""Levels of games as grids of tiles, one-hot: `levels/mario`, `levels/sokoban`, `levels/crafter`.

Generated levels are not repaired. Those that can't be played are left out, or searched for in latent space.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from etils import epath

from jaxgen import preview, search
from jaxgen.config import Config, Residual, nearest
from jaxgen.data import crafter_maps, level_files
from jaxgen.domains import Domain, Found, LatentOptions, Pictures, Raw, Source, check_halvings
from jaxgen.errors import UserError
from jaxgen.latent import line
from jaxgen.levels import Play, text, tiled
from jaxgen.levels.games import NAMES, game
from jaxgen.levels.render import draw_path, render
from jaxgen.levels.tiles import TILESETS, Tileset
from jaxgen.metrics import level_quality
from jaxgen.models import residual
from jaxgen.types import Array, Batch, Split

EMBEDDED = "crafter_maps"
STRIDE = 4  # between windows of a crafter world


@dataclass(frozen=True)
class LevelOptions(LatentOptions):
    """What `jaxgen sample` can be asked for of a level GAN."""

    num: int = 20  # how many levels
    out: str = ""  # a folder, for a .tmj (Tiled), .txt, .png of each; or .npz, .png, .gif of all
    playable: bool = False  # only levels that the solver finishes, each with its solution
    goal: tuple[str, ...] = ()  # facts to come close to, as gaps=3 length=60; of playable levels
    evaluations: int = 2000  # levels a search may look at for each that is asked for


def networks(tiles: Tileset, cfg: Config, axis_name: str | None):
    """Generator of one-hot tiles and critic."""
    model, shape = cfg.model, cfg.shape
    if not isinstance(model, Residual):
        raise UserError(f"The domain 'levels' has no model {type(model).__name__}; choose Residual.")
    if getattr(cfg.game, "classes", 0):
        raise UserError("Levels have no classes; use --game.classes 0.")
    if model.patch != 1:
        raise UserError("Levels are made tile by tile; leave out --model.patch.")
    _check_shape(shape, tiles)
    check_halvings(shape, max(len(model.gen), len(model.disc)) - 1, least=2)
    dtype = "bfloat16" if cfg.precision == "bf16" else None
    height, width, channels = shape
    if unknown := set(model.placed) - set(tiles.chars):
        raise UserError(
            f"--model.placed names {''.join(sorted(unknown))!r}; the tiles of {tiles.name} are {tiles.chars}"
        )
    gen = residual.Generator(
        (height, width, channels),
        model.gen,
        model.blocks,
        model.norm,
        output="one_hot",
        placed=tuple(tiles.chars.index(char) for char in model.placed),
        ground=tiles.chars.index(tiles.ground),
        temperature=model.temperature,
        axis_name=axis_name,
        dtype=dtype,
    )
    return gen, residual.Critic(model.disc, model.blocks, totals=True, dtype=dtype)


def load(tiles: Tileset, cfg: Config, split: Split) -> Raw:
    """One-hot tiles, uint8 [N, H, W, T] of 0 and 1."""
    _check_shape(cfg.shape, tiles)
    size = cfg.shape[0], cfg.shape[1]
    if cfg.data == EMBEDDED:
        if tiles.name != "crafter":
            raise UserError(f"{EMBEDDED} are levels of crafter, not of {tiles.name}; give a folder with --data.")
        worlds = crafter_maps.worlds(split, cfg.data_dir)
        levels = np.concatenate([level_files.windows(world, size, STRIDE) for world in worlds])
        play = game(tiles.name).play  # a window cut out at random may have no water, or no tree
        levels = np.stack([level for level in levels if play(level).solved])
    else:
        stride = STRIDE if tiles.name == "crafter" else 1
        levels = level_files.read(Path(cfg.data).expanduser(), tiles, size, split, stride)
    return {"image": one_hot(levels, tiles.size)}


def one_hot(levels: np.ndarray, size: int) -> np.ndarray:
    """Tile numbers [N, H, W] -> uint8 [N, H, W, size] of 0 and 1."""
    return np.eye(size, dtype=np.uint8)[levels]


def tile_numbers(x: Array | np.ndarray) -> np.ndarray:
    """The likeliest tiles: [..., T] -> uint8 [...]."""
    return np.asarray(x).argmax(-1).astype(np.uint8)


def to_batch(raw: dict[str, Array]) -> Batch:
    """Tiles in {0, 1}."""
    return raw | {"image": raw["image"].astype("float32")}


def to_raw(x: Array | np.ndarray) -> np.ndarray:
    return one_hot(tile_numbers(x), np.shape(x)[-1])


def write(tiles: Tileset, pictures: Pictures, stem: epath.Path) -> list[epath.Path]:
    """A grid of the first 16 samples, rows of eight interpolations, and a GIF of the first four levels of a walk."""
    paths = []

    def half(x: np.ndarray) -> np.ndarray:
        return np.stack([render(one, tiles)[::2, ::2] for one in tile_numbers(x)])

    if "samples" in pictures:
        paths.append(
            preview.write_png(preview.named(stem, ".png"), preview.grid(half(pictures["samples"][:16]), border=3))
        )
    if "interpolations" in pictures:
        grid = preview.grid(half(pictures["interpolations"]), columns=8, border=3)
        paths.append(preview.write_png(preview.named(stem, ".png"), grid))
    if "walk" in pictures:
        frames = [preview.grid(half(frame[:4])[:, ::2, ::2], border=2) for frame in pictures["walk"]]
        paths.append(preview.write_gif(preview.named(stem, ".gif"), frames))
    return paths


def measure(name: str, run: Source, train: Raw, heldout: Raw) -> Found:
    """Of 1,000 levels against as many held-out ones, or all there are."""
    levels = tile_numbers(run.draw(level_quality.MOST, seed=0))
    real = level_quality.reference(tile_numbers(train["image"]), tile_numbers(heldout["image"]), game(name))
    return level_quality.compare(levels, real)


def sample(tiles: Tileset, run: Source, options: LevelOptions, folder: epath.Path) -> list[epath.Path]:
    """Levels in files that games and editors read. Raises `UserError`."""
    if options.balance:
        raise UserError("Levels have no classes to balance; leave out --balance.")
    path = epath.Path(options.out or folder / f"seed-{options.seed}")
    if path.suffix not in ("", ".npz", ".png", ".gif"):
        raise UserError(f"--out {path} must be a folder, or end in .npz (arrays), .png (a grid) or .gif (a walk).")
    goal = parse_goal(options.goal, tiles.name)
    if options.interpolate or path.suffix == ".gif":
        return write(tiles, _between(run, options, path), path.with_suffix(""))
    if options.playable or goal:
        found = playable(run, tiles.name, goal, options)
    else:
        found = [(level, None) for level in tile_numbers(run.draw(options.num, options.seed, bound=options.truncation))]
    levels = np.stack([level for level, _ in found])
    if path.suffix == ".png":
        return write(tiles, {"samples": one_hot(levels, tiles.size)}, path.with_suffix(""))
    if path.suffix == ".npz":
        return [preview.write_npz(path, level=levels)]
    return _files(tiles, found, path)


def parse_goal(goal: tuple[str, ...], name: str) -> dict[str, float]:
    """`fact=number`s. Raises `UserError` for a fact that the game does not have, or no number."""
    out = {}
    for one in goal:
        fact, _, number = one.partition("=")
        if fact not in game(name).facts:
            raise UserError(f"There is no fact {fact!r} of {name} levels{nearest(fact, game(name).facts)}.")
        try:
            out[fact] = float(number)
        except ValueError:
            raise UserError(f"--goal {one!r} must be a fact and a number, as {game(name).facts[0]}=30.") from None
    return out


def playable(run: Source, name: str, goal: Mapping[str, float], options: LevelOptions) -> list[tuple[np.ndarray, Play]]:
    """`num` levels that the solver finishes, as close to `goal` as the search comes, each with what the solver found.

    Each begins at a latent of its own, and is searched for from there unless it is good already. Raises `UserError`
    where, of the first levels, none can be found.
    """
    play, found, tries = game(name).play, [], 0
    cost = partial(_cost, play, goal)
    while len(found) < options.num:
        z = run.latents(tries + 1, options.seed, options.truncation)[tries]
        best = search.minimise(
            lambda z: tile_numbers(run.decode(z)), cost, z, options.evaluations, options.seed + tries
        )
        tries += 1
        if (last := play(best.sample)).solved:
            found.append((best.sample, last))
        elif not found and tries >= 20:
            raise UserError(
                f"None of {tries} searches of {options.evaluations} levels found one that can be played. Train the run "
                "for longer, or raise --evaluations."
            )
    return found


def _cost(play: Callable[[np.ndarray], Play], goal: Mapping[str, float], level: np.ndarray) -> float:
    """0 where a level can be played and has the facts asked for; what can't be played costs more than any fact."""
    played = play(level)
    if not played.solved:
        return 10 * len(goal) + 10 * (1 - played.progress)
    return sum(min(abs(played.facts[fact] - number) / max(number, 1), 10) for fact, number in goal.items())


def _between(run: Source, options: LevelOptions, path: epath.Path) -> Pictures:
    """Rows from one level to another, or closed walks."""
    if path.suffix == ".gif":
        return {"walk": run.walk(options.num, options.seed)}
    if path.suffix != ".png":
        raise UserError("--interpolate makes a picture; choose --out with the ending .png.")
    ends = run.latents(2 * options.num, options.seed, options.truncation)
    return {"interpolations": run.decode(np.concatenate(np.asarray(line(ends[::2], ends[1::2], 8))))}


def _files(tiles: Tileset, found: Sequence[tuple[np.ndarray, Play | None]], folder: epath.Path) -> list[epath.Path]:
    """Of each level `level-000.tmj` for Tiled, `.txt` in the letters of the VGLC, `.png`; of one that was played
    `.solution.txt` and `.solution.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, (level, play) in enumerate(found):
        stem = folder / f"level-{i:03}"
        paths.append(tiled.write(stem.with_suffix(".tmj"), level, tiles))
        stem.with_suffix(".txt").write_text(text.dump(level, tiles))
        preview.write_png(stem.with_suffix(".png"), render(level, tiles))
        if play:
            facts = "".join(f"{name}: {value:g}\n" for name, value in play.facts.items())
            (folder / f"{stem.name}.solution.txt").write_text(f"{play.moves}\n{facts}")
            preview.write_png(folder / f"{stem.name}.solution.png", draw_path(render(level, tiles), play.path))
    return paths


def _check_shape(shape: tuple[int, ...], tiles: Tileset) -> None:
    if len(shape) != 3 or shape[2] != tiles.size or min(shape) < 1:
        raise UserError(f"Levels of {tiles.name} have {tiles.size} tiles: --shape H W {tiles.size}, not {shape}.")


def _domain(tiles: Tileset) -> Domain:
    return Domain(
        partial(networks, tiles),
        partial(load, tiles),
        to_batch,
        to_raw,
        partial(write, tiles),
        partial(measure, tiles.name),
        LevelOptions,
        partial(sample, tiles),
    )


DOMAINS = {name: _domain(TILESETS[name]) for name in NAMES}
