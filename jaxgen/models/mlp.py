"""Fully connected generator and critic of images."""

import math
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxgen.models.layers import Dropout, leaky_relu, normalised, with_label
from jaxgen.types import Array


class Generator(nn.Module):
    """z [B, Z] (and label [B]) -> [B, *shape] in [-1, 1]."""

    shape: tuple[int, ...]
    widths: tuple[int, ...]
    classes: int = 0
    dtype: Any = None

    @nn.compact
    def __call__(self, z: Array, label: Array | None = None, *, train: bool) -> Array:
        h = with_label(z, label, self.classes)
        for width in self.widths:
            h = leaky_relu(nn.Dense(width, dtype=self.dtype)(h))
        x = nn.tanh(nn.Dense(math.prod(self.shape), dtype=self.dtype)(h))
        return x.astype(jnp.float32).reshape(len(z), *self.shape)


class Critic(nn.Module):
    """x [B, ...] (and label [B]) -> logits [B]."""

    widths: tuple[int, ...]
    dropout: float = 0.0
    spectral_norm: bool = False
    classes: int = 0
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None, *, train: bool) -> Array:
        h = with_label(x.reshape(len(x), -1), label, self.classes)
        for width in self.widths:
            dense = partial(nn.Dense, width, dtype=self.dtype)
            h = leaky_relu(normalised(dense, self.spectral_norm, h, train=train))
            h = Dropout(self.dropout, self.axis_name)(h, train=train)
        logit = normalised(partial(nn.Dense, 1, dtype=self.dtype), self.spectral_norm, h, train=train)
        return logit[:, 0].astype(jnp.float32)
