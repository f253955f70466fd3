"""Variational bounds in nats: likelihoods, KL divergence, ELBO and the importance-weighted bound.

New likelihood: write the function, add it to the tuple at the end.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.types import Array

Likelihood = Callable[[Array, Array], Array]
"""(decoder output [B, ...], x [B, ...]) -> log p(x | z) [B], summed over all but the first axis."""

GAUSSIAN_SCALE = 0.1
"""Fixed: one free scale per pixel has no bound on pixels that never vary (Rybkin et al. 2021, section 3)."""


def bernoulli(logits: Array, x: Array) -> Array:
    """log p(x) [B] of x in [0, 1] under independent Bernoullis. VAE (Kingma & Welling 2014), appendix C.1."""
    chex.assert_equal_shape([logits, x])
    return jnp.sum(x * logits - nn.softplus(logits), axis=range(1, x.ndim))


def gaussian(mean: Array, x: Array, scale: float = GAUSSIAN_SCALE) -> Array:
    """log density [B] of x under independent normals of one scale. VAE (Kingma & Welling 2014), appendix C.2."""
    chex.assert_equal_shape([mean, x])
    return jnp.sum(jax.scipy.stats.norm.logpdf(x, mean, scale), axis=range(1, x.ndim))


LIKELIHOODS: dict[str, Likelihood] = {f.__name__: f for f in (bernoulli, gaussian)}


def kl_normal(mu: Array, logvar: Array) -> Array:
    """KL(N(mu, exp(logvar)) || N(0, 1)) [B] of mu, logvar [B, Z]. VAE (Kingma & Welling 2014), appendix B."""
    chex.assert_equal_shape([mu, logvar])
    return 0.5 * jnp.sum(jnp.exp(logvar) + mu**2 - 1 - logvar, axis=-1)


def log_normal(z: Array, mu: Array | float = 0.0, logvar: Array | float = 0.0) -> Array:
    """log N(z; mu, exp(logvar)) summed over the last axis."""
    terms = jnp.log(2 * jnp.pi) + logvar + (z - mu) ** 2 * jnp.exp(-jnp.asarray(logvar))
    return -0.5 * jnp.sum(terms, axis=-1)


def elbo(log_likelihood: Array, kl: Array, beta: Array | float = 1.0) -> Array:
    """log p(x | z) - beta KL [B]. beta-VAE (Higgins et al. 2017), equation 4; the ELBO where beta is 1."""
    chex.assert_equal_shape([log_likelihood, kl])
    return log_likelihood - beta * kl


def importance_bound(log_weights: Array) -> Array:
    """log of the mean of K importance weights: [K, B] -> [B]. IWAE (Burda et al. 2016), equation 8."""
    return jax.nn.logsumexp(log_weights, axis=0) - jnp.log(log_weights.shape[0])


@jax.custom_vjp
def doubly_reparameterised(z: Array) -> tuple[Array, Array]:
    """z [..., K, Z] -> (z, zeros [..., K] to add to its log weights), for a better gradient of `importance_bound`.

    Whoever uses it takes the density q(z | x) in the weights at fixed parameters, so that they are reached through z
    alone. The gradient of log weight k then arrives here times its normalised weight, and is passed on times the square
    of it: the same expectation, less noise, all the less the more samples. Doubly reparameterised gradients (Tucker et
    al. 2019), equation 8. The decoder's gradient is left alone.
    """
    return z, jnp.zeros(z.shape[:-1], z.dtype)


def _reparameterise_fwd(z: Array) -> tuple[tuple[Array, Array], None]:
    return doubly_reparameterised(z), None


def _reparameterise_bwd(_: None, gradients: tuple[Array, Array]) -> tuple[Array]:
    of_z, of_log_weights = gradients  # the second is the normalised weights, times whatever scales the bound
    scale = of_log_weights.sum(-1, keepdims=True)
    weights = of_log_weights / jnp.where(scale == 0, 1, scale)  # 0 where a caller leaves an example out
    return (of_z * weights[..., None],)


doubly_reparameterised.defvjp(_reparameterise_fwd, _reparameterise_bwd)
