"""Generative adversarial networks (Goodfellow et al. 2014): two networks, one loss with two sides."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from jaxgen.augment import Augment
from jaxgen.axes import axis_size, example_keys, mean_over
from jaxgen.critic import total, two_sides, update_critic
from jaxgen.latent import numbered_keys, prior
from jaxgen.losses.adversarial import Loss
from jaxgen.losses.penalties import Critic, Penalty
from jaxgen.player import Player, apply, average, copy, evaluate, new_if_finite, player, update
from jaxgen.types import Array, Batch, Metrics, PyTree


@dataclasses.dataclass(frozen=True)
class GAN:
    """The game: who plays, by which rules. Frozen and hashable, so it is a static argument; build it once.

    The networks are Flax modules called as `gen(z, train=...)` and `disc(x, train=...)`; with `classes`,
    `gen(z, label, train=...)` and `disc(x, label, train=...)`. A critic gives logits [B], or where it is several at
    once a tuple of arrays [B, ...], each of which counts the same. Under `jax.pmap`, modules with batch normalisation
    need its `axis_name`.
    """

    gen: nn.Module
    disc: nn.Module
    loss: Loss
    gen_tx: optax.GradientTransformation
    disc_tx: optax.GradientTransformation
    z_dim: int
    penalties: tuple[Penalty, ...] = ()
    penalty_weight: float = 1.0
    penalty_every: int = 1  # n: at every n-th step, n times as strong (Karras et al. 2020, section 3.1)
    penalty_decay: int = 0  # > 0: steps over which the weight falls to a tenth, by a cosine (Huang et al. 2024)
    critic_steps: int = 1  # k: critic update j of a step trains on every k-th example, from the j-th
    ema_decay: float = 0.999
    classes: int = 0  # > 0: conditional on a `label` below this number
    augment: Augment | None = None  # what the critic's images go through, real and fake, in both updates
    augment_p: float = 1.0  # its probability at the start
    ada_target: float = 0.0  # > 0: the probability adapts, so that the critic's overfitting stays here
    ada_images: int = 500_000  # the least number of images over which it goes from 0 to 1
    skip_nonfinite: bool = False  # leave the state as it was where a loss or an update isn't finite


class State(struct.PyTreeNode):
    """All that decides the future. Of one shape under every runner."""

    step: Array
    key: Array
    gen: Player
    disc: Player
    ema: PyTree  # (params, stats) of the averaged generator
    skipped: Array  # steps left out as not finite
    augment_p: Array


def init(key: Array, batch: Batch, game: GAN) -> State:
    """A new state. `batch` gives shapes only: `image` [B, ...] and, for a conditional game, `label` [B]."""
    gen_key, disc_key, key = jax.random.split(key, 3)
    label = _label(batch, game, 1)
    gen = player(game.gen, game.gen_tx, gen_key, jnp.zeros((1, game.z_dim)), *label)
    disc = player(game.disc, game.disc_tx, disc_key, batch["image"][:1], *label)
    zero = jnp.zeros((), jnp.int32)
    p = jnp.asarray(game.augment_p, jnp.float32)
    return State(zero, key, gen, disc, copy((gen.params, gen.stats)), jnp.copy(zero), p)


def train_step(state: State, batch: Batch, game: GAN, axis_name: str | None = None) -> tuple[State, Metrics]:
    """One update of the generator and `critic_steps` of the critic.

    `batch["image"]` is [B, ...] in [-1, 1], B the local batch under `pmap`; `label` [B] int32 if the game is
    conditional. Metrics are means over the global batch. Raises ValueError where the batch does not fit the game.
    """
    parts = game.critic_steps
    if len(batch["image"]) % parts:
        raise ValueError(f"a batch of {len(batch['image'])} can't be shared among {parts} critic steps")
    # Every parts-th example: which examples share an update does not depend on the number of devices.
    shares = jax.tree.map(lambda a: jnp.stack([a[j::parts] for j in range(parts)]), dict(batch))
    key = jax.random.fold_in(state.key, state.step)

    def early(disc: Player, share: tuple[Batch, Array]) -> tuple[Player, None]:
        x, key = share
        keys = jax.random.split(key, 3)
        fake, _ = _generate(state.gen.params, x, keys[0], state, game, axis_name)
        fake = jax.lax.stop_gradient(fake)
        return _update_critic(disc, x, fake, state, keys[1], game, axis_name)[0], None

    disc = state.disc
    if parts > 1:
        first = jax.tree.map(lambda a: a[:-1], shares)
        disc, _ = jax.lax.scan(early, disc, (first, jax.random.split(jax.random.fold_in(key, 1), parts - 1)))
    last = jax.tree.map(lambda a: a[-1], shares)
    z_key, disc_key, gen_key = jax.random.split(jax.random.fold_in(key, 0), 3)

    # One forward pass of the generator serves both updates; `pull` carries its gradient.
    fake, pull, gen_stats = jax.vjp(
        lambda params: _generate(params, last, z_key, state, game, axis_name), state.gen.params, has_aux=True
    )
    disc, metrics = _update_critic(disc, last, fake, state, disc_key, game, axis_name)

    def gen_loss(images: Array) -> Array:  # differentiated to the images only: no wasted critic weight gradients
        seen, images = _augmented(last, images, state.augment_p, gen_key, game, axis_name)
        (real, fake), _ = _criticise(disc.params, disc.stats, seen, images, gen_key, game, axis_name)
        return two_sides(game.loss, real, fake)[1]

    loss, to_images = jax.value_and_grad(gen_loss)(fake)
    gen = update(state.gen, game.gen_tx, pull(to_images)[0], gen_stats, axis_name)
    ema = average(state.ema, (gen.params, gen.stats), state.step, game.ema_decay)
    metrics = mean_over({**metrics, "loss/gen": loss}, axis_name)
    overfitting = metrics.pop("overfitting")
    new = state.replace(step=state.step + 1, gen=gen, disc=disc, ema=ema)
    if game.augment and game.ada_target:
        change = (overfitting - game.ada_target) * len(batch["image"]) * axis_size(axis_name)
        new = new.replace(augment_p=jnp.clip(state.augment_p + change / game.ada_images, 0, 1))
        metrics |= {"overfitting": overfitting, "augment_p": new.augment_p}
    if game.skip_nonfinite:
        new = new_if_finite(new, state, (metrics, gen, disc))
        metrics["skipped"] = new.skipped.astype(jnp.float32)
    return new, metrics


def sample(state: State, keys: Array, game: GAN, label: Array | None = None, bound: float = 0.0) -> Array:
    """Images [N, ...] in [-1, 1] of the averaged generator, one for each key [N]; classes (label [N]) in turn.

    `bound` truncates the latents, as in `latent.prior`.
    """
    return decode(state, prior(keys, game.z_dim, bound), game, label)


def decode(state: State, z: Array, game: GAN, label: Array | None = None) -> Array:
    """Images [N, ...] in [-1, 1] of the averaged generator at latents z [N, Z]; classes (label [N]) in turn."""
    if game.classes and label is None:
        label = jnp.arange(len(z)) % game.classes
    return evaluate(game.gen, state.ema, z, *(() if label is None else (label,)))


def criticise(state: State, images: Array, game: GAN, label: Array | None = None) -> Array:
    """The critic's logits [N] of images [N, ...] in [-1, 1], of classes label [N] if the game is conditional.

    Of several critics their sum."""
    given = () if label is None else (label,)
    return total(evaluate(game.disc, (state.disc.params, state.disc.stats), images, *given))


def show(state: State, key: Array, game: GAN, batch: Batch | None = None) -> dict[str, Array]:
    """What a person wants to see of a run: 64 samples, the same latents for the same key."""
    return {"samples": sample(state, numbered_keys(key, 64), game)}


def _label(batch: Batch, game: GAN, n: int | None = None) -> tuple[Array, ...]:
    return (batch["label"][:n],) if game.classes else ()


def _generate(
    params: PyTree, batch: Batch, key: Array, state: State, game: GAN, axis_name: str | None
) -> tuple[Array, PyTree]:
    """(fakes [B, ...], new statistics) for the labels of a batch, if any."""
    z_key, noise_key = jax.random.split(key)
    z = prior(example_keys(z_key, len(batch["image"]), axis_name), game.z_dim)
    inputs = (z, *_label(batch, game))
    fake, stats = apply(game.gen, params, state.gen.stats, *inputs, key=noise_key, axis_name=axis_name)
    if fake.shape != batch["image"].shape:
        raise ValueError(f"the generator makes {fake.shape}, the data are {batch['image'].shape}")
    return fake, stats


def _criticise(
    params: PyTree, stats: PyTree, batch: Batch, fake: Array, key: Array, game: GAN, axis_name: str | None
) -> tuple[tuple[PyTree, PyTree], PyTree]:
    """((real, fake) logits, new statistics)."""
    x, label = batch["image"], _label(batch, game)
    run = partial(apply, game.disc, params, axis_name=axis_name)
    real_key, fake_key = jax.random.split(key)
    real, stats = run(stats, x, *label, key=real_key)
    fake_logits, stats = run(stats, fake, *label, key=fake_key)
    one = not isinstance(real, tuple)
    if any(a.shape[:1] != (len(x),) or (one and a.ndim != 1) for a in jax.tree.leaves(real)):
        shapes = jax.tree.map(jnp.shape, real)
        raise ValueError(f"the critic gives {shapes} for {len(x)} examples; it must give one logit each: [B]")
    return jax.tree.map(lambda a: a.astype(jnp.float32), (real, fake_logits)), stats


def _augmented(
    batch: Batch, fake: Array, p: Array, key: Array, game: GAN, axis_name: str | None
) -> tuple[Batch, Array]:
    """The batch and the fakes as the critic sees them: by the same rule, each example by its own draw."""
    if game.augment is None:
        return batch, fake
    keys = [example_keys(k, len(fake), axis_name) for k in jax.random.split(jax.random.fold_in(key, 1))]
    return {**batch, "image": game.augment(batch["image"], keys[0], p)}, game.augment(fake, keys[1], p)


def _update_critic(
    disc: Player, batch: Batch, fake: Array, state: State, key: Array, game: GAN, axis_name: str | None
) -> tuple[Player, dict[str, Array]]:
    """One update of a critic, not yet that of the state, and the metrics of this device."""
    batch, fake = _augmented(batch, fake, state.augment_p, key, game, axis_name)
    loss_key, penalty_key, t_key = jax.random.split(key, 3)
    x, label = batch["image"], _label(batch, game)

    def logits(params: PyTree) -> tuple[tuple[PyTree, PyTree], PyTree]:
        return _criticise(params, disc.stats, batch, fake, loss_key, game, axis_name)

    def critic(params: PyTree) -> Critic:
        run = partial(apply, game.disc, params, disc.stats, key=penalty_key, axis_name=axis_name)
        return lambda inputs: total(run(inputs, *label)[0])

    points = x, fake, example_keys(t_key, len(x), axis_name)
    return update_critic(disc, logits, critic, points, state.step, game, axis_name)
