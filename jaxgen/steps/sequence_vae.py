"""Variational autoencoders of sequences of slices of 0 and 1, as piano rolls: a latent a slice, or one a passage."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from jaxgen.axes import example_keys, mean_over
from jaxgen.latent import line, numbered_keys
from jaxgen.player import Player, apply, average, copy, new_if_finite, player, update
from jaxgen.types import Array, Batch, Metrics, PyTree

SHOWN = 8
"""Samples that `show` makes."""


@dataclasses.dataclass(frozen=True)
class SequenceVAE:
    """The game: a model, an optimiser. Frozen and hashable, so it is a static argument; build it once.

    `model(x, length, given, train=...)` gives a `models.slices.Bound`; its method `sample(keys, length, ...)` makes
    sequences. `models.slices` and `models.passages` have two such models.
    """

    model: nn.Module
    tx: optax.GradientTransformation
    length: int  # slices of a sample
    beta: float = 1.0  # times the KL
    beta_warmup: int = 0  # steps over which it rises from 0 (Bowman et al. 2016)
    free_nats: float = 0.0  # of each latent's KL, on average over the batch, that cost nothing (Kingma et al. 2016)
    free_until: int = 0  # the step at which they have fallen to 0; 0: they stay
    transpose: int = 0  # most entries by which an example is shifted, either way, at each visit
    ema_decay: float = 0.999
    skip_nonfinite: bool = False  # leave the state as it was where a loss or an update isn't finite


class State(struct.PyTreeNode):
    """All that decides the future. Of one shape under every runner."""

    step: Array
    key: Array
    model: Player
    ema: PyTree  # (params, stats), averaged
    skipped: Array  # steps left out as not finite


def init(key: Array, batch: Batch, game: SequenceVAE) -> State:
    """A new state. `batch` gives shapes only: see `train_step`."""
    model_key, key = jax.random.split(key)
    one = {name: a[:1] for name, a in batch.items()}
    model = player(game.model, game.tx, model_key, *_inputs(one))
    zero = jnp.zeros((), jnp.int32)
    return State(zero, key, model, copy((model.params, model.stats)), jnp.copy(zero))


def train_step(state: State, batch: Batch, game: SequenceVAE, axis_name: str | None = None) -> tuple[State, Metrics]:
    """One update on the negative bound.

    `batch["sequence"]` is [B, T, P] of 0 and 1, `length` [B] the slices that count, `given` [B, T, Q] what is known of
    each slice, if anything; B is the local batch under `pmap`. Metrics are over the global batch, in nats a slice:
    `bound`, with the KL as it is; `kl`; `loss` is what is made small.
    """
    shift_key, noise_key = jax.random.split(jax.random.fold_in(state.key, state.step))
    if game.transpose:
        keys = example_keys(shift_key, len(batch["sequence"]), axis_name)
        names = [name for name in ("sequence", "given") if name in batch]
        moved = transposed(keys, [batch[name] for name in names], game.transpose)
        batch = {**batch, **dict(zip(names, moved, strict=True))}
    beta, free = _schedule(state.step, game)
    slices = mean_over(batch["length"].mean(dtype=jnp.float32), axis_name)

    def loss(params: PyTree) -> tuple[Array, tuple[PyTree, dict[str, Array]]]:
        bound, stats = apply(game.model, params, state.model.stats, *_inputs(batch), key=noise_key, axis_name=axis_name)
        likelihood = bound.log_likelihood.sum(1).mean() / slices
        kl = bound.kl.sum(1).mean() / slices
        # On average over the batch, not example by example: its gradient is whole or nothing for all, and the same on
        # one device and on eight.
        latents = jnp.float32(1.0) if bound.kl.shape[1] == 1 else slices
        paid = _beyond(kl, free * latents / slices, axis_name)
        metrics = {"loss": beta * paid - likelihood, "bound": kl - likelihood, "kl": kl}
        return metrics["loss"], (stats, metrics)

    (_, (stats, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(state.model.params)
    model = update(state.model, game.tx, grads, stats, axis_name)
    ema = average(state.ema, (model.params, model.stats), state.step, game.ema_decay)
    metrics = mean_over({**metrics, "beta": beta}, axis_name)
    new = state.replace(step=state.step + 1, model=model, ema=ema)
    if game.skip_nonfinite:
        new = new_if_finite(new, state, (metrics, model))
        metrics["skipped"] = new.skipped.astype(jnp.float32)
    return new, metrics


def transposed(keys: Array, sequences: Sequence[Array], most: int) -> list[Array]:
    """Sequences [B, T, P] of 0 and 1, all of an example shifted along P by one whole number of entries, evenly drawn
    from -most to most by its key [B]: music in another key. Entries that leave at one end come in at the other; leave
    as much room at the ends."""
    by = jax.vmap(lambda key: jax.random.randint(key, (), -most, most + 1))(keys)
    return [jax.vmap(lambda x, n: jnp.roll(x, n, axis=-1))(x, by) for x in sequences]


def sample(
    state: State,
    keys: Array,
    game: SequenceVAE,
    given: Batch | None = None,
    temperature: Array | float = 1.0,
) -> Array:
    """Sequences [N, length, P] of 0 and 1 of the averaged model, one for each key [N].

    `given` holds what they go with: `z` [N, Z] of a model of passages, `given` [N, length, Q] of one that was trained
    with it. Below a temperature of 1 they are more typical and less varied.
    """
    known = dict(given or {})
    return _evaluate(state, game, keys, game.length, method="sample", temperature=temperature, **known)


def encode(state: State, batch: Batch, game: SequenceVAE) -> Array:
    """The posterior's means [B, Z] of passages. Raises `TypeError` where the model has no latent of a whole passage."""
    if not hasattr(game.model, "encode"):
        raise TypeError(f"a {type(game.model).__name__} has a latent a slice, none of a passage")
    return _evaluate(state, game, batch["sequence"], method="encode")[0]


def bounds(state: State, batch: Batch, key: Array, game: SequenceVAE) -> dict[str, Array]:
    """Of each sequence in nats, all slices together, with the averaged model, without dropout and free nats:
    `bound` [B], one draw of the posterior, with the KL; `kl` [B]."""
    found = _evaluate(state, game, *_inputs(batch), train=False, rngs={"example": key})
    kl = found.kl.sum(1)
    return {"bound": found.log_likelihood.sum(1) - kl, "kl": kl}


def shuffled(state: State, batch: Batch, key: Array, game: SequenceVAE) -> dict[str, Array]:
    """log p(x | z) of each sequence with its `own` latents, with its neighbour's, `other`, and with some of the
    `prior`, over the `slices` that it and its neighbour have: [B] each, in nats. Of a model with a latent a slice."""
    return _evaluate(state, game, *_inputs(batch), method="shuffled", rngs={"example": key})


def show(state: State, key: Array, game: SequenceVAE, batch: Batch | None = None) -> dict[str, Array]:
    """What a person wants to see of a run: 8 samples, the same noise for the same key. Of a batch, where the model has
    a latent a passage, 4 passages with their reconstructions, and 6 steps from the first to the second; where something
    is given, samples to go with it, and what it belongs to."""
    keys = numbered_keys(key, SHOWN)
    if batch is not None and "given" in batch:
        some = {name: batch[name][:SHOWN, : game.length] for name in ("given", "sequence")}
        made = sample(state, keys[: len(some["given"])], game, {"given": some["given"]})
        return {"samples": made, "given": some["given"], "originals": some["sequence"]}
    shown = {"samples": sample(state, keys, game)}
    if batch is not None and hasattr(game.model, "encode"):
        x = batch["sequence"][:4]
        mu = encode(state, {"sequence": x}, game)
        between = line(mu[:1], mu[:2][-1:], 6)[0]
        calm = partial(sample, state, temperature=0.5, game=game)
        shown |= {"originals": x, "reconstructions": calm(keys[: len(x)], given={"z": mu})}
        shown["interpolations"] = calm(jnp.repeat(keys[:1], 6), given={"z": between})
    return shown


def _inputs(batch: Batch) -> tuple[Array | None, ...]:
    return batch["sequence"], batch["length"], batch.get("given")


def _evaluate(state: State, game: SequenceVAE, *inputs: Any, **options: Any) -> Any:
    params, stats = state.ema
    return game.model.apply({"params": params, **stats}, *inputs, **options)


def _schedule(step: Array, game: SequenceVAE) -> tuple[Array, Array]:
    """(beta, free nats a latent) at a step."""
    beta = game.beta * (jnp.minimum(1.0, step / game.beta_warmup) if game.beta_warmup else jnp.ones(()))
    left = jnp.maximum(0.0, 1 - step / game.free_until) if game.free_until else jnp.ones(())
    return beta, game.free_nats * left


def _beyond(kl: Array, free: Array, axis_name: str | None) -> Array:
    """max(KL, free) by the mean over all devices, with the gradient of each one's own."""
    over = mean_over(jax.lax.stop_gradient(kl), axis_name) > free
    return jnp.where(over, kl, jax.lax.stop_gradient(free))
