"""From a map of kinds to a picture, by spatially-adaptive normalisation: SPADE (Park et al. 2019).

Departures: bottlenecks and a patch of pixels for each place, as in `residual`; the map stays at its own resolution,
where one place is a cell of the picture, and what it is made into is repeated for finer ones; and places are divided
into four by sub-pixel convolution in the place of repetition, so that a cell's pixels know where in the cell they are.
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from jaxgen.models.convolution import Conv
from jaxgen.models.layers import Dense, leaky_relu
from jaxgen.models.normalisation import BatchNorm
from jaxgen.models.residual import depth_to_space
from jaxgen.types import Array

_he = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class SpatialNorm(nn.Module):
    """Batch normalisation whose scale and shift are read from a map: x [B, H, W, C], condition [B, h, w, F] -> as x.

    1 + a scale and a shift at each place. Park et al. 2019, equations 1 and 2. Each place of the map holds for H / h by
    W / w places of x.
    """

    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, condition: Array, *, train: bool) -> Array:
        h = BatchNorm(not train, momentum=0.9, axis_name=self.axis_name, dtype=self.dtype)(x)
        small = nn.initializers.variance_scaling(0.1, "fan_in", "normal")
        read = Dense(2 * x.shape[-1], dtype=self.dtype, kernel_init=small)(condition)
        scale, shift = jnp.split(repeated(read, x.shape[1] // condition.shape[1]), 2, axis=-1)
        return h * (1 + scale) + shift


class SpadeBlock(nn.Module):
    """x [B, H, W, C], condition [B, h, w, F] -> as x: x + 1x1(3x3(1x1(x))), the first two of what was normalised."""

    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, condition: Array, *, train: bool) -> Array:
        def activated(h: Array) -> Array:
            return leaky_relu(SpatialNorm(self.axis_name, self.dtype)(h, condition, train=train))

        width = x.shape[-1]
        h = Dense(width // 2, use_bias=False, dtype=self.dtype, kernel_init=_he)(activated(x))
        h = Conv(width // 2, (3, 3), use_bias=False, dtype=self.dtype, kernel_init=_he)(activated(h))
        return x + Dense(width, dtype=self.dtype, kernel_init=nn.initializers.zeros)(leaky_relu(h))


class Generator(nn.Module):
    """x [B, h, w, T], one-hot, and noise z [B, h, w, Z] -> [B, cell h, cell w, channels] in [-1, 1].

    `widths` are the channels of each resolution, the map's own first, each twice the one before. The finest has one
    place for `patch` x `patch` pixels, so that `cell` is patch 2^(resolutions - 1). Maps may be of any size.
    """

    channels: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...] = (1,)
    hidden: int = 64
    patch: int = 2
    axis_name: str | None = None
    dtype: Any = None

    @property
    def cell(self) -> int:
        """Pixels of the picture along the side of a place of the map."""
        return self.patch << (len(self.widths) - 1)

    @nn.compact
    def __call__(self, x: Array, z: Array, *, train: bool) -> Array:
        given = jnp.concatenate([x, z], axis=-1)
        condition = given
        for _ in range(2):
            condition = leaky_relu(Conv(self.hidden, (3, 3), dtype=self.dtype, kernel_init=_he)(condition))
        h = Conv(self.widths[0], (3, 3), dtype=self.dtype)(given)
        for i, width in enumerate(self.widths):
            if i:
                h = depth_to_space(Dense(4 * width, use_bias=False, dtype=self.dtype)(h), 2)
            for _ in range(self.blocks[min(i, len(self.blocks) - 1)]):
                h = SpadeBlock(self.axis_name, self.dtype)(h, condition, train=train)
        out = Conv(self.channels * self.patch**2, (3, 3), dtype=self.dtype)(leaky_relu(h))
        return nn.tanh(depth_to_space(out.astype(jnp.float32), self.patch))


def repeated(x: Array, times: int) -> Array:
    """[B, H, W, C] -> [B, times H, times W, C]: each place `times` x `times` times."""
    b, h, w, c = x.shape
    wide = jnp.broadcast_to(x[:, :, None, :, None], (b, h, times, w, times, c))
    return wide.reshape(b, h * times, w * times, c)
