"""A run read back from its directory, without its data set: what can be drawn from it."""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath

from jaxgen import assemble, run_directory
from jaxgen.checkpoint import Checkpoints
from jaxgen.config import Config
from jaxgen.errors import UserError
from jaxgen.latent import circle, numbered_keys
from jaxgen.types import PyTree

CHUNK = 250  # samples in one pass: few compiles, little memory


class Trained(NamedTuple):
    """A run's config, its game for one device, and a state."""

    config: Config
    game: Any
    state: PyTree
    step: int
    notes: list[str]  # damaged checkpoints that were passed over


def load(workdir: epath.PathLike, step: int | None = None) -> Trained:
    """The newest good checkpoint of a run, or that of a step. Raises `UserError` where there is none."""
    config, _ = run_directory.read_config(workdir)
    game, _, _ = assemble.build(assemble.on_one_device(config))
    with Checkpoints(run_directory.checkpoints(workdir)) as checkpoints:
        found = checkpoints.restore(assemble.abstract_state(config, game), step)
    if found is None:
        raise UserError(f"The run at {workdir} has no checkpoint yet. Train it for at least --loop.save-every steps.")
    return Trained(config, game, *found)


def draw(run: Trained, n: int, seed: int) -> np.ndarray:
    """n model outputs [n, ...]; the first m are the same for every n >= m."""
    sample = jax.jit(partial(assemble.steps(run.config).sample, game=run.game))
    keys = numbered_keys(jax.random.key(seed), -(-n // CHUNK) * CHUNK).reshape(-1, CHUNK)
    return np.concatenate([np.asarray(sample(run.state, chunk)) for chunk in keys])[:n]


def walk(run: Trained, n: int, seed: int, frames: int = 48) -> np.ndarray:
    """Model outputs [frames, n, ...] along n closed walks through latent space."""
    decode = jax.jit(partial(assemble.steps(run.config).decode, game=run.game))
    latents = circle(numbered_keys(jax.random.key(seed), n), run.game.z_dim, frames)
    return np.stack([np.asarray(decode(run.state, z)) for z in latents])
