"""Game scenes from maps of what lies where: Crafter's views, of 8x8 cells.

What the map does not say, creatures and the light, is what differs from scene to scene.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from jaxgen import preview
from jaxgen.config import Config, Paired, Spade
from jaxgen.data import crafter_views
from jaxgen.data.cache import cache_dir
from jaxgen.data.images import check_shape
from jaxgen.domains import Domain, Found, Pictures, Raw, SampleOptions, Source, _pixels, _translation, check_halvings
from jaxgen.errors import UserError
from jaxgen.levels.palette import PALETTE, map_from_picture, picture_from_map
from jaxgen.metrics import segmentation
from jaxgen.metrics.sample_quality import sample_metrics
from jaxgen.models import spade, unet
from jaxgen.types import Array, Batch, Split

EMBEDDED = "crafter_views"
CELL = crafter_views.PIXELS
KINDS = len(PALETTE)
PER_MAP = 8
"""Scenes of one map that its diversity is measured on."""


@dataclass(frozen=True)
class SceneOptions(SampleOptions):
    """What `jaxgen sample` can be asked for of maps and scenes."""

    num: int = 4  # how many scenes of each map
    out: str = ""  # .png each map beside its scenes, .npz arrays (`map`, `image`), else a folder of PNG files
    map: str = ""  # a picture with one pixel for a cell, in the colours of the legend; else maps that the run keeps
    legend: str = ""  # write the legend, one colour a kind, to this .png, and do nothing else


def networks(cfg: Config, axis_name: str | None):
    """Generator from one-hot maps and noise, critic of patches that sees the map too."""
    model, shape = cfg.model, check_shape(cfg.shape)
    if not isinstance(model, Spade):
        raise UserError(f"The domain 'scenes' has no model {type(model).__name__}; choose Spade.")
    if not isinstance(cfg.game, Paired) or cfg.game.degrade or cfg.game.augment:
        raise UserError("Scenes are played by Paired, without --game.degrade and --game.augment.")
    if shape[0] % CELL or shape[1] % CELL:
        raise UserError(f"A cell has {CELL}x{CELL} pixels; choose --shape with multiples of {CELL}, not {shape}.")
    dtype = "bfloat16" if cfg.precision == "bf16" else None
    gen = spade.Generator(shape[2], model.gen, model.blocks, model.hidden, model.patch, axis_name, dtype)
    if gen.cell != CELL:
        raise UserError(
            f"--model.patch {model.patch} and {len(model.gen)} resolutions make cells of {gen.cell} pixels, not {CELL}."
        )
    check_halvings((shape[0] // model.patch, shape[1] // model.patch, shape[2]), len(model.disc) - 1, least=2)
    return gen, unet.PatchCritic(model.disc, model.blocks, model.patch, dtype)


def load(cfg: Config, split: Split) -> Raw:
    """`image` uint8 [N, H, W, 3] and `source` uint8 [N, H / 8, W / 8] of tile numbers."""
    if cfg.data != EMBEDDED:
        raise UserError(f"There are no scenes {cfg.data!r}; use --data {EMBEDDED}.")
    side = crafter_views.CELLS * CELL
    if cfg.shape != (side, side, 3):
        raise UserError(f"{EMBEDDED} have the shape {side} {side} 3; use that, not {cfg.shape}.")
    found = crafter_views.views(split, cfg.data_dir)
    return {"image": found["image"], "source": found["map"]}


def to_batch(raw: Mapping[str, Any]) -> Batch:
    """`image` in [-1, 1], `source` one-hot."""
    out = {n: a for n, a in raw.items() if n not in ("image", "source")}
    return out | {"image": raw["image"].astype("float32") / 127.5 - 1, "source": one_hot(raw["source"])}


def one_hot(maps: Array | np.ndarray) -> Array:
    """Tile numbers [..., H, W] -> [..., H, W, KINDS]."""
    return jax.nn.one_hot(jnp.asarray(maps), KINDS, dtype=jnp.float32)


def source(cfg: Config) -> tuple[int, ...]:
    return cfg.shape[0] // CELL, cfg.shape[1] // CELL


def write(pictures: Pictures, stem: epath.Path) -> list[epath.Path]:
    """Maps, scenes made of them and, where there are any, real ones."""
    if "sources" not in pictures:
        return []
    made = _pixels.to_raw(pictures["samples"])
    columns = [drawn(np.asarray(pictures["sources"]).argmax(-1)), made]
    if "targets" in pictures:
        columns.append(_pixels.to_raw(pictures["targets"]))
    grid = preview.grid(_translation.strips(columns), columns=4)
    return [preview.write_png(preview.named(stem, ".png"), grid, scale=2)]


def drawn(maps: np.ndarray) -> np.ndarray:
    """Tile numbers [N, H, W] -> uint8 [N, 8 H, 8 W, 3] in the palette's colours."""
    return np.stack([picture_from_map(one) for one in maps.astype(np.uint8)]).repeat(CELL, 1).repeat(CELL, 2)


def measure(run: Source, train: Raw, heldout: Raw) -> Found:
    """Of one scene for each held-out map what `segmentation` and `sample_metrics` say; `diversity`, of several."""
    reader = segmenter(train, heldout)
    made = _pixels.to_raw(run.translate(np.asarray(one_hot(heldout["source"])), seed=0))
    found = judged(made, heldout, reader)
    found["diversity"] = diversity(run, heldout)
    pictures = [{"image": raw["image"]} for raw in (train, heldout)]
    return found | sample_metrics(made, pictures[0], pictures[1], cache_dir(run.config.data_dir) / "classifiers")


def segmenter(train: Raw, heldout: Raw) -> segmentation.Segmenter:
    """A network that reads maps from real scenes."""
    return segmentation.segmenter(train["image"], train["source"], heldout["image"], heldout["source"], KINDS)


def judged(made: np.ndarray, heldout: Raw, reader: segmentation.Segmenter) -> Found:
    """How much of the maps the reader finds again in scenes made of them, uint8 [N, H, W, 3]."""
    read = reader.read(made)
    found: Found = {"segmenter_hash": reader.hash, "segmenter_miou": reader.heldout_miou}
    found["miou"] = segmentation.mean_iou(read, heldout["source"], KINDS)
    found["cells_right"] = float((read == heldout["source"]).mean())
    return found


def diversity(run: Source, heldout: Raw, maps: int = 32) -> float:
    """Mean absolute difference, of 255 grey levels, between two scenes of one held-out map."""
    some = heldout["source"][:maps]
    x = np.repeat(np.asarray(one_hot(some)), PER_MAP, axis=0)
    made = _pixels.to_raw(run.translate(x, seed=1))
    return segmentation.diversity(made, np.repeat(np.arange(len(some)), PER_MAP))


def sample(run: Source, options: SceneOptions, folder: epath.Path) -> list[epath.Path]:
    """Scenes of maps: the user's own, or those that the run keeps. Raises `UserError`."""
    if options.legend:
        return [write_legend(epath.Path(options.legend))]
    stem = f"{Path(options.map).stem}-scenes" if options.map else f"seed-{options.seed}"
    path = epath.Path(options.out or folder / f"{stem}.png")
    if path.suffix not in (".png", ".npz", ""):
        raise UserError(f"--out {path} must end in .png or .npz (arrays), or be a folder.")
    if not path.suffix:
        preview.new_folder(path)  # refused before anything is computed
    maps = read_map(Path(options.map).expanduser())[None] if options.map else run.examples()["source"][:8]
    x = np.repeat(np.asarray(one_hot(maps)), options.num, axis=0)
    made = _pixels.to_raw(run.translate(x, options.seed, chunk=options.num))
    made = made.reshape(len(maps), options.num, *made.shape[1:])
    if path.suffix == ".npz":
        return [preview.write_npz(path, map=maps, image=made)]
    if path.suffix == ".png":
        rows = np.concatenate([drawn(maps)[:, None], made], axis=1)
        return [preview.write_png(path, preview.grid(rows.reshape(-1, *rows.shape[2:]), columns=options.num + 1))]
    for i, (one, scenes) in enumerate(zip(maps, made, strict=True)):
        preview.write_png(path / f"{i:03}-map.png", picture_from_map(one))
        for j, scene in enumerate(scenes):
            preview.write_png(path / f"{i:03}-scene-{j}.png", scene)
    return [path]


def read_map(path: Path) -> np.ndarray:
    """uint8 [H, W] of tile numbers. Raises `UserError` for what is no picture, or has colours of no kind."""
    pixels, hole = _translation.read(path, channels=3)
    if hole is not None and hole.any():
        raise UserError(f"{path} has transparent cells; paint each in a colour of the legend (--legend legend.png).")
    return map_from_picture(pixels, str(path))


def write_legend(path: epath.Path) -> epath.Path:
    """A strip with one square of each kind's colour, in the order of the tileset."""
    if path.suffix != ".png":
        raise UserError(f"--legend {path} must end in .png.")
    return preview.write_png(path, picture_from_map(np.arange(KINDS, dtype=np.uint8)[None]), scale=CELL)


DOMAIN = Domain(
    networks,
    load,
    to_batch,
    _pixels.to_raw,
    write,
    measure,
    SceneOptions,
    sample,
    source,
)
