"""How far an image is from the one that it should be: one value per example."""

import chex
import jax.numpy as jnp

from jaxgen.types import Array


def l1(x: Array, y: Array) -> Array:
    """Mean absolute difference [B] of x and y [B, ...]. pix2pix (Isola et al. 2017), equation 3."""
    chex.assert_equal_shape([x, y])
    return jnp.abs(x - y).mean(range(1, x.ndim))
