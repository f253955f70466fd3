"""Paths and points in a latent space whose prior is a standard normal."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.types import Array


def prior(keys: Array, z_dim: int, bound: float = 0.0) -> Array:
    """One latent for each key: [N] -> [N, Z].

    With a `bound` its entries lie within that many standard deviations: the truncation trick, which trades variety for
    typical samples. BigGAN (Brock et al. 2019), section 3.1.
    """
    if bound:
        return jax.vmap(lambda key: jax.random.truncated_normal(key, -bound, bound, (z_dim,)))(keys)
    return jax.vmap(lambda key: jax.random.normal(key, (z_dim,)))(keys)


def prior_map(keys: Array, size: tuple[int, ...], z_dim: int) -> Array:
    """For each key a latent at every place: [N] -> [N, *size, Z]. The first half of its entries is the same everywhere,
    for what holds for the whole, the rest each place's own."""
    whole = prior(keys, z_dim // 2)[:, None, None]
    own = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, 1), (*size, z_dim - z_dim // 2)))(keys)
    return jnp.concatenate([jnp.broadcast_to(whole, (*own.shape[:3], z_dim // 2)), own], axis=-1)


def numbered_keys(key: Array, n: int) -> Array:
    """[n] keys; the first m of them are the same for every n >= m."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(n))


def circle(keys: Array, z_dim: int, frames: int) -> Array:
    """[frames, N, Z]: from each key a closed walk through two independent latents, distributed as the prior."""
    pairs = jax.vmap(lambda key: jax.random.normal(key, (2, z_dim)))(keys)
    angle = 2 * jnp.pi * jnp.arange(frames).reshape(-1, 1, 1) / frames
    return jnp.cos(angle) * pairs[None, :, 0] + jnp.sin(angle) * pairs[None, :, 1]


def line(start: Array | np.ndarray, end: Array | np.ndarray, n: int) -> Array:
    """[N, n, Z]: n latents on the line from each start [N, Z] to its end [N, Z], both included."""
    t = jnp.linspace(0.0, 1.0, n).reshape(1, -1, 1)
    return jnp.asarray(start)[:, None] * (1 - t) + jnp.asarray(end)[:, None] * t
