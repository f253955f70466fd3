"""Alone in knowing that a device axis may exist."""

from typing import TypeVar

import jax
import jax.numpy as jnp

from jaxgen.types import Array

T = TypeVar("T")


def mean_over(tree: T, axis_name: str | None) -> T:
    """The mean of each leaf over the devices of a mapped axis; the tree itself where there is none."""
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def example_keys(key: Array, n: int, axis_name: str | None) -> Array:
    """[n] keys, one per example, by its index in the global batch: the same noise on one device or eight."""
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * n
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(first + jnp.arange(n))


def device_key(key: Array, axis_name: str | None) -> Array:
    """A key that differs on every device: for modules that draw one array of noise for their whole local batch."""
    return key if axis_name is None else jax.random.fold_in(key, jax.lax.axis_index(axis_name))


def axis_size(axis_name: str | None) -> int:
    """The number of devices of a mapped axis; 1 where there is none."""
    return 1 if axis_name is None else jax.lax.axis_size(axis_name)
