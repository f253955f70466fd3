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


def update_critic(
    disc: Player,
    logits: Callable[[PyTree], tuple[tuple[Array, Array], PyTree]],
    critic: Callable[[PyTree], Critic],
    points: tuple[Array, Array, Array],
    due: Array,
    rules: Rules,
    axis_name: str | None,
) -> tuple[Player, dict[str, Array]]:
    """(the critic after one update, metrics of this device).

    `logits(params)` gives ((real, fake), new statistics), `critic(params)` the function whose gradient is penalised, at
    `points`: real and fake examples and a key for each, in the steps that are `due`.
    """

    def loss(params: PyTree) -> tuple[Array, tuple[PyTree, dict[str, Array]]]:
        (real, fake), stats = logits(params)
        metrics = {"logit/real": real.mean(), "logit/fake": fake.mean()}
        # ADA's r_t, with the fake logit in the place of 0, of which a relativistic critic knows nothing.
        metrics["overfitting"] = jnp.sign(real - fake).mean()
        return rules.loss(real, fake)[0].mean(), (stats, metrics)

    def penalty(params: PyTree) -> Array:
        terms = [p(critic(params), *points).mean() for p in rules.penalties]
        return rules.penalty_weight * rules.penalty_every * sum(terms, jnp.zeros(()))

    (value, (stats, metrics)), grads = jax.value_and_grad(loss, has_aux=True)(disc.params)
    metrics["loss/disc"] = value
    if rules.penalties:
        extra = jax.lax.cond(due, jax.grad(penalty), partial(jax.tree.map, jnp.zeros_like), disc.params)
        grads = jax.tree.map(jnp.add, grads, extra)
    return update(disc, rules.disc_tx, grads, stats, axis_name), metrics
