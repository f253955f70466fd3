"""What keeps a critic smooth: one value per example from its gradient at the inputs.

New penalty: write the function, add it to the tuple at the end.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgen.types import Array

Critic = Callable[[Array], Array]
"""Inputs [B, ...] -> logits [B]."""
Penalty = Callable[[Critic, Array, Array, Array], Array]
"""(critic, real [B, ...], fake [B, ...], keys [B]) -> [B], to be added to the critic's loss times a weight."""


def r1(critic: Critic, real: Array, fake: Array, keys: Array) -> Array:
    """Half the squared gradient norm at real examples [B]. Mescheder et al. 2018, equation 9."""
    return 0.5 * _squared_norm(critic, real)


def r2(critic: Critic, real: Array, fake: Array, keys: Array) -> Array:
    """Half the squared gradient norm at fakes [B]. Mescheder et al. 2018, equation 10."""
    return 0.5 * _squared_norm(critic, fake)


def wgan_gp(critic: Critic, real: Array, fake: Array, keys: Array) -> Array:
    """(gradient norm - 1)^2 [B] at a random point between each pair. WGAN-GP (Gulrajani et al. 2017), equation 3."""
    t = jax.vmap(jax.random.uniform)(keys).reshape(-1, *(1,) * (real.ndim - 1)).astype(real.dtype)
    squared = _squared_norm(critic, t * real + (1 - t) * fake)
    return (jnp.sqrt(squared + 1e-12) - 1) ** 2  # the root has no gradient at 0


PENALTIES: dict[str, Penalty] = {f.__name__: f for f in (r1, r2, wgan_gp)}


def _squared_norm(critic: Critic, x: Array) -> Array:
    """[B]. The sum over the batch gives each example its own gradient, as long as the critic does not mix examples."""
    grads = jax.grad(lambda inputs: critic(inputs).astype(jnp.float32).sum())(x)
    return jnp.sum(jnp.square(grads), axis=range(1, x.ndim))
