"""What the GANs of images share: their networks, uint8 to [-1, 1] and back, and their pictures. Not a domain."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from jaxgen import preview
from jaxgen.config import MLP, Config, Conv, Residual
from jaxgen.data import images
from jaxgen.domains import Pictures, Raw, check_halvings
from jaxgen.errors import UserError
from jaxgen.models import conv, mlp, residual
from jaxgen.types import Array, Batch, Split


def networks(cfg: Config, axis_name: str | None, models: tuple[type, ...]):
    """Generator and critic of the config's model, which is one of `models`."""
    model, shape, classes = cfg.model, images.check_shape(cfg.shape), getattr(cfg.game, "classes", 0)
    dtype = "bfloat16" if cfg.precision == "bf16" else None
    if not isinstance(model, models):
        known = " or ".join(m.__name__ for m in models)
        raise UserError(f"The domain {cfg.domain!r} has no model {type(model).__name__}; choose {known}.")
    if isinstance(model, MLP):
        gen = mlp.Generator(shape, model.gen, classes, dtype)
        return gen, mlp.Critic(model.disc, model.dropout, model.spectral_norm, classes, axis_name, dtype)
    if isinstance(model, Conv):
        check_halvings(shape, model.layers)
        gen = conv.Generator(shape, model.width, model.layers, classes, axis_name, dtype)
        critic = conv.Critic(model.width, model.layers, model.dropout, model.spectral_norm, classes, axis_name, dtype)
        return gen, critic
    assert isinstance(model, Residual)
    halvings = max(len(model.gen), len(model.disc)) - 1
    if model.placed:
        raise UserError("Only levels have tiles to place; leave out --model.placed.")
    if shape[0] % model.patch or shape[1] % model.patch:
        raise UserError(f"--model.patch {model.patch} does not divide {shape[0]} x {shape[1]} pixels.")
    check_halvings((shape[0] // model.patch, shape[1] // model.patch, shape[2]), halvings, least=2)
    gen = residual.Generator(
        shape,
        model.gen,
        model.blocks,
        model.norm,
        patch=model.patch,
        classes=classes,
        axis_name=axis_name,
        dtype=dtype,
    )
    return gen, residual.Critic(model.disc, model.blocks, model.patch, classes=classes, dtype=dtype)


def load(cfg: Config, split: Split) -> Raw:
    return images.load(cfg.data, cfg.shape, split, cfg.data_dir, cfg.download)


def check_conditional(cfg: Config, what: str) -> None:
    """Raises `UserError` where the game does not know of classes, by which `what` is made."""
    if getattr(cfg.game, "classes", 0) < 2:
        raise UserError(f"{what} are made by class; use --game.classes with the number of classes, 2 or more.")


def load_labelled(cfg: Config, split: Split, what: str) -> Raw:
    """`load`, of which all have labels below the game's classes. Raises `UserError` where they have not."""
    raw, classes = load(cfg, split), getattr(cfg.game, "classes", 0)
    if "label" not in raw:
        raise UserError(f"{cfg.data} has no labels, and {what} are made by class; give each image one.")
    if (most := int(raw["label"].max())) >= classes:
        raise UserError(f"{cfg.data} has labels up to {most}, the game has {classes} classes (from 0).")
    return raw


def to_batch(raw: Mapping[str, Any]) -> Batch:
    """`image`, and `source` where there is one, uint8 to float32 in [-1, 1]."""
    return {n: a.astype("float32") / 127.5 - 1 if n in ("image", "source") else a for n, a in raw.items()}


def to_raw(x: Array | np.ndarray) -> np.ndarray:
    """[-1, 1] to uint8; what lies outside is cut off."""
    return np.round((np.clip(np.asarray(x), -1, 1) + 1) * 127.5).astype(np.uint8)


def write(pictures: Pictures, stem: epath.Path) -> list[epath.Path]:
    """A grid of `samples`, rows of eight `interpolations`, and a GIF of a `walk`: whichever there are."""
    paths, still = [], [name for name in ("samples", "interpolations") if name in pictures]
    if still:
        columns = 8 if still != ["samples"] else 0
        picture = preview.rows([to_raw(pictures[name]) for name in still], columns)
        paths.append(preview.write_png(preview.named(stem, ".png"), picture, scale=2))
    if "walk" in pictures:
        paths.append(
            preview.write_gif(preview.named(stem, ".gif"), [preview.grid(to_raw(f)) for f in pictures["walk"]])
        )
    return paths
