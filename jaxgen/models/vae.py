"""Encoders and decoders of variational autoencoders for images."""

import math
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxgen.models.convolution import Conv, ConvTranspose
from jaxgen.types import Array


class MLPEncoder(nn.Module):
    """x [B, ...] in [0, 1] -> (mu, logvar) [B, Z] of q(z | x)."""

    z_dim: int
    widths: tuple[int, ...]
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> tuple[Array, Array]:
        h = x.reshape(len(x), -1)
        for width in self.widths:
            h = nn.gelu(nn.Dense(width, dtype=self.dtype)(h))
        return _posterior(h, self.z_dim)


class MLPDecoder(nn.Module):
    """z [B, Z] -> [B, *shape], what the likelihood takes (Bernoulli: logits)."""

    shape: tuple[int, ...]
    widths: tuple[int, ...]
    dtype: Any = None

    @nn.compact
    def __call__(self, z: Array, *, train: bool) -> Array:
        h = z
        for width in self.widths:
            h = nn.gelu(nn.Dense(width, dtype=self.dtype)(h))
        x = nn.Dense(math.prod(self.shape), dtype=self.dtype)(h)
        return x.astype(jnp.float32).reshape(len(z), *self.shape)


class ConvEncoder(nn.Module):
    """x [B, H, W, C] in [0, 1] -> (mu, logvar) [B, Z] of q(z | x); each width halves height and width.

    Hard swish (Howard et al. 2019): as good as swish here, and on CPU without its exponentials, a seventh of a step.
    """

    z_dim: int
    widths: tuple[int, ...]
    hidden: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> tuple[Array, Array]:
        h = x
        for width in self.widths:
            h = nn.hard_swish(Conv(width, (4, 4), (2, 2), dtype=self.dtype)(h))
        h = _hidden(self.hidden, self.dtype, h.reshape(len(h), -1))
        return _posterior(h, self.z_dim)


class ConvDecoder(nn.Module):
    """z [B, Z] -> [B, H, W, C], what the likelihood takes (Bernoulli: logits); `widths` are the encoder's."""

    shape: tuple[int, int, int]
    widths: tuple[int, ...]
    hidden: int
    dtype: Any = None

    @nn.compact
    def __call__(self, z: Array, *, train: bool) -> Array:
        height, width = (n >> len(self.widths) for n in self.shape[:2])
        h = _hidden(self.hidden, self.dtype, z)
        h = nn.hard_swish(nn.Dense(height * width * self.widths[-1], dtype=self.dtype)(h))
        h = h.reshape(len(z), height, width, self.widths[-1])
        for channels in self.widths[-2::-1]:
            h = nn.hard_swish(ConvTranspose(channels, (4, 4), (2, 2), dtype=self.dtype)(h))
        x = ConvTranspose(self.shape[-1], (4, 4), (2, 2), dtype=self.dtype)(h)
        return x.astype(jnp.float32)


def _hidden(width: int, dtype: Any, h: Array) -> Array:
    """[B, F] -> [B, width]: a layer, and a residual one on top of it (0.6 nats for 7% of a step on MNIST)."""
    h = nn.hard_swish(nn.Dense(width, dtype=dtype)(h))
    return h + nn.hard_swish(nn.Dense(width, dtype=dtype)(h))


def _posterior(h: Array, z_dim: int) -> tuple[Array, Array]:
    """Mean and log variance in fp32: their KL is a difference of large terms."""
    mu, logvar = jnp.split(nn.Dense(2 * z_dim)(h.astype(jnp.float32)), 2, axis=-1)
    return mu, logvar
