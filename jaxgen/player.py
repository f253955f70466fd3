"""One network in training: its parameters, the statistics it keeps, its optimiser's state."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from jaxgen.axes import device_key, mean_over
from jaxgen.types import Array, PyTree

S = TypeVar("S", bound=Any)  # a game's state: step, key, skipped and more


class Player(struct.PyTreeNode):
    params: PyTree
    stats: PyTree  # every other collection of variables: running means, singular vectors
    opt: PyTree


def player(module: nn.Module, tx: optax.GradientTransformation, key: Array, *inputs: Any) -> Player:
    """A new player. `inputs` give shapes only; the module takes `train` as a keyword."""
    variables = module.init({"params": key, "dropout": key, "example": key}, *inputs, train=False)
    stats = {name: value for name, value in variables.items() if name != "params"}
    return Player(variables["params"], stats, tx.init(variables["params"]))


def apply(
    module: nn.Module,
    params: PyTree,
    stats: PyTree,
    *inputs: Any,
    key: Array,
    axis_name: str | None,
) -> tuple[Any, PyTree]:
    """A training pass: (output, new statistics).

    Two rng streams: `example` has the same key on every device, for layers that key their noise by the example's place
    in the global batch (`models.layers.Dropout`); `dropout` differs by device, for `nn.Dropout` and its like.
    """
    rngs = {"example": key, "dropout": device_key(key, axis_name)}
    return module.apply({"params": params, **stats}, *inputs, train=True, rngs=rngs, mutable=list(stats))


def evaluate(module: nn.Module, averaged: tuple[PyTree, PyTree], *inputs: Any) -> Any:
    """A pass without noise, with (params, stats) as they are averaged in a state's `ema`."""
    params, stats = averaged
    return module.apply({"params": params, **stats}, *inputs, train=False)


def update(
    old: Player, tx: optax.GradientTransformation, grads: PyTree, stats: PyTree, axis_name: str | None
) -> Player:
    """One optimiser step with the gradient of the whole batch."""
    deltas, opt = tx.update(mean_over(grads, axis_name), old.opt, old.params)
    return Player(optax.apply_updates(old.params, deltas), stats, opt)


def average(ema: PyTree, new: PyTree, step: Array, decay: float) -> PyTree:
    """Exponential moving average whose memory grows with the run: decay min(decay, (1 + t) / (10 + t))."""
    t = step.astype(jnp.float32)
    return optax.incremental_update(new, ema, 1 - jnp.minimum(decay, (1 + t) / (10 + t)))


def copy(tree: PyTree) -> PyTree:
    """Arrays of its own: a donated state that holds one array twice can't be donated."""
    return jax.tree.map(jnp.copy, tree)


def new_if_finite(new: S, old: S, numbers: PyTree) -> S:
    """The state `new` if all `numbers` are finite; else `old`, one step on, with the step counted in `skipped`."""
    fine = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(numbers)]))
    kept = old.replace(step=old.step + 1, skipped=old.skipped + 1)
    # Keys are the same in both, and can't be selected from.
    chosen = jax.tree.map(lambda a, b: jnp.where(fine, a, b), new.replace(key=()), kept.replace(key=()))
    return chosen.replace(key=old.key)
