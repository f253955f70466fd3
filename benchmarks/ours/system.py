"""What the kinds of job share: the system that a job's config names, its examples, and the facts of a row."""

import platform
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any

import jax
import numpy as np

import jaxgen
from benchmarks.protocol import Job
from jaxgen.assemble import domain, example_batch, example_raw
from jaxgen.config import MLP, MLPVAE, Config, PassageVAE, Recurrent, SliceVAE, Variational, from_dict


def config_of(job: Job) -> Config:
    """The job's config on one device."""
    return replace(from_dict(job["config"]), parallel="single")


def images(config: Config, n: int, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """[n, *shape] float32, the config's shape where none is given, in the range of the game: [0, 1] for a VAE, else
    [-1, 1]. Mostly dark, as digits are; of levels random tiles, one-hot."""
    rng, shape = np.random.default_rng(0), shape or config.shape
    if config.domain.startswith("levels/"):
        return np.eye(shape[-1], dtype=np.float32)[rng.integers(shape[-1], size=(n, *shape[:-1]))]
    x = rng.random((n, *shape), np.float32) ** 4
    return x if isinstance(config.game, Variational) else 2 * x - 1


def examples(config: Config, n: int) -> dict[str, np.ndarray]:
    """`image`; of a conditional game `label` [n] int32: the classes in turn; of a domain that has sources `source`,
    mostly bright. Of sequences what the domain makes of random ones."""
    of = domain(config)
    if of.raw:
        rng = np.random.default_rng(0)
        raw = {name: _filled(name, a, config, rng) for name, a in example_raw(config, n).items()}
        return {name: np.asarray(a) for name, a in of.to_batch(raw).items()}
    one = jax.eval_shape(partial(example_batch, config))
    batch = {"image": images(config, n, one["image"].shape[1:])}
    if classes := getattr(config.game, "classes", 0):
        batch["label"] = np.arange(n, dtype=np.int32) % classes
    if source := one.get("source"):
        batch["source"] = 1 - 2 * np.random.default_rng(1).random((n, *source.shape[1:]), np.float32) ** 4
    return batch


def _filled(name: str, zeros: np.ndarray, config: Config, rng: np.random.Generator) -> np.ndarray:
    """As `zeros`: of piano rolls 4 notes of 88 at a time; of tokens any, up to an end where texts have one; of waves
    noise a tenth as loud as it could be; labels in turn; lengths as they are."""
    if name == "roll":
        return (rng.random(zeros.shape) < 4 / zeros.shape[-1]).astype(zeros.dtype)
    if name == "label":
        return (np.arange(len(zeros)) % max(1, getattr(config.game, "classes", 0))).astype(zeros.dtype)
    if name == "image":
        return (np.iinfo(zeros.dtype).max * 0.1 * rng.uniform(-1, 1, zeros.shape)).astype(zeros.dtype)
    if isinstance(config.model, Recurrent):
        tokens = rng.integers(config.model.vocabulary, size=zeros.shape, dtype=zeros.dtype)
        if config.domain != "text/tokens":
            n, length = zeros.shape
            tokens *= np.arange(length)[None] < rng.integers(1, length + 1, size=(n, 1))
        return tokens
    return zeros


def facts() -> dict[str, Any]:
    """Device and versions."""
    versions = {name: version(name) for name in ("jax", "jaxlib", "flax", "optax", "numpy")}
    return {"device": jax.devices()[0].device_kind, "versions": versions | {"python": platform.python_version()}}


def jit_step(step: Callable[..., Any], config: Config) -> Any:
    """A train step as a user of it writes: state donated, game static, jaxgen's compiler options."""
    products = MLP | MLPVAE | SliceVAE | PassageVAE | Recurrent
    options = jaxgen.compiler_options(convolutions=not isinstance(config.model, products)) or None
    return jax.jit(step, static_argnames=("game", "axis_name"), donate_argnums=0, compiler_options=options)


def interval(config: Config) -> int:
    """Steps after which the work repeats: a lazy penalty's."""
    game: Any = config.game
    return game.penalty_every if getattr(game, "penalty", "") else 1
