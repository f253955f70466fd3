"""One update of a critic, whatever game it plays: the loss of its logits, and lazy penalties on its gradients."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import jax
import jax.numpy as jnp
import optax

from jaxgen.losses.adversarial import Loss
from jaxgen.losses.penalties import Critic, Penalty
from jaxgen.player import Player, update
from jaxgen.types import Array, PyTree


class Rules(Protocol):
    """What a game says of its critic."""

    @property
    def loss(self) -> Loss: ...
    @property
    def disc_tx(self) -> optax.GradientTransformation: ...
    @property
    def penalties(self) -> tuple[Penalty, ...]: ...
    @property
    def penalty_weight(self) -> float: ...
    @property
    def penalty_every(self) -> int: ...
    @property
    def penalty_decay(self) -> int: ...


def two_sides(loss: Loss, real: PyTree, fake: PyTree) -> tuple[Array, Array]:
    """(disc, gen) losses of logits, an array or, of several critics in one network, a tuple of arrays, each [N] or of
    more axes. Each critic counts the same, however many logits it has."""
    parts = [loss(a.ravel(), b.ravel()) for a, b in zip(jax.tree.leaves(real), jax.tree.leaves(fake), strict=True)]
    return mean_of_means([disc for disc, _ in parts]), mean_of_means([gen for _, gen in parts])


def mean_of_means(tree: PyTree) -> Array:
    """The mean over a tree's arrays of the mean of each."""
    means = [leaf.mean() for leaf in jax.tree.leaves(tree)]
    return means[0] if len(means) == 1 else jnp.mean(jnp.stack(means))


def total(logits: PyTree) -> Array:
    """The sum [B] of each example's logits, of all critics: what a penalty is the gradient of."""
    leaves = jax.tree.leaves(logits)
    return jnp.sum(jnp.stack([leaf.reshape(len(leaf), -1).sum(1) for leaf in leaves]), axis=0)


def update_critic(
    disc: Player,
    logits: Callable[[PyTree], tuple[tuple[PyTree, PyTree], PyTree]],
    critic: Callable[[PyTree], Critic],
    points: tuple[Array, Array, Array],
    step: Array,
    rules: Rules,
    axis_name: str | None,
) -> tuple[Player, dict[str, Array]]:
    """(the critic after one update, metrics of this device).

    `logits(params)` gives ((real, fake), new statistics), real and fake as `two_sides` takes them; `critic(params)` the
    function whose gradient is penalised, at `points`: real and fake examples and a key for each, in the steps in which
    one is due.
    """

    def loss(params: PyTree) -> tuple[Array, tuple[PyTree, dict[str, Array]]]:
        (real, fake), stats = logits(params)
        metrics = {"logit/real": mean_of_means(real), "logit/fake": mean_of_means(fake)}
        # ADA's r_t, with the fake logit in the place of 0, of which a relativistic critic knows nothing.
        metrics["overfitting"] = mean_of_means(jax.tree.map(lambda a, b: jnp.sign(a - b), real, fake))
        return two_sides(rules.loss, real, fake)[0], (stats, metrics)

    def penalty(params: PyTree) -> Array:
        terms = [p(critic(params), *points).mean() for p in rules.penalties]
        return _weight(step, rules) * rules.penalty_every * sum(terms, jnp.zeros(()))

    (value, (stats, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(disc.params)
    metrics["loss/disc"] = value
    if rules.penalties:
        due = step % rules.penalty_every == 0
        extra = jax.lax.cond(due, jax.grad(penalty), partial(jax.tree.map, jnp.zeros_like), disc.params)
        grads = jax.tree.map(jnp.add, grads, extra)
    return update(disc, rules.disc_tx, grads, stats, axis_name), metrics


def _weight(step: Array, rules: Rules) -> Array | float:
    """The penalties' weight at a step: with `penalty_decay`, it falls to a tenth along half a cosine, and stays."""
    if not rules.penalty_decay:
        return rules.penalty_weight
    return jnp.asarray(optax.cosine_decay_schedule(rules.penalty_weight, rules.penalty_decay, alpha=0.1)(step))
