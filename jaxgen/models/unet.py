"""Networks from image to image: a U-Net (Ronneberger et al. 2015) and a critic of patches, as in pix2pix (Isola et al.
2017), of the bottlenecks of `residual`.

Departures: no normalisation, so that what stands at a place depends on its surroundings alone, up to `reach` pixels
away, and pictures of any size can be made of tiles without seams; and what the network makes is added to its input.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.models.convolution import Conv
from jaxgen.models.layers import Dense, leaky_relu
from jaxgen.models.resample import bilinear_up, blur
from jaxgen.models.residual import Block, depth_to_space, space_to_depth
from jaxgen.types import Array


class UNet(nn.Module):
    """x [B, H, W, I] -> [B, scale H, scale W, channels], about in [-1, 1]; height and width multiples of `stride`,
    two times or more.

    `widths` are the channels of each resolution, the coarsest first, each twice the one before; `blocks` says how many
    there are at each on the way down, and on the way up; its last number holds for all finer ones. The finest
    resolution has one place for `patch` x `patch` pixels of the output. With a `scale` above 1 the input is enlarged
    first (cubic). With `residual` the output is the input and what the network adds to it, at first nothing. With
    `masked` the last channel of x is 1 where a pixel is missing: the other pixels are left as they are.
    """

    channels: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...] = (1,)
    patch: int = 1
    scale: int = 1
    residual: bool = True
    masked: bool = False
    dtype: Any = None

    @property
    def stride(self) -> int:
        """Heights and widths of inputs are multiples of it."""
        whole = self.patch << (len(self.widths) - 1)
        return whole // math.gcd(whole, self.scale)

    @property
    def reach(self) -> int:
        """How many pixels of the input away, at most, something still matters to a pixel of the output."""
        reach, last = 2 * self.scale if self.scale > 1 else 0, len(self.widths) - 1
        for i in range(last + 1):
            step = self.patch << i
            reach += 2 * step * self._blocks(last - i)  # a 3x3 convolution in each block, on both ways
            # The first and the last convolution; two places each to the coarser resolution and back.
            reach += 2 * step * (i == 0) + 4 * step * (i < last)
        return -(-(reach + self.patch) // self.scale)

    def _blocks(self, i: int) -> int:
        return self.blocks[min(i, len(self.blocks) - 1)]

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        if x.shape[1] % self.stride or x.shape[2] % self.stride:
            raise ValueError(f"height and width must be multiples of {self.stride}, not {x.shape[1]} x {x.shape[2]}")
        if self.scale > 1:
            x = jax.image.resize(x, (len(x), *(self.scale * n for n in x.shape[1:3]), x.shape[3]), "cubic")
        h = Conv(self.widths[-1], (3, 3), dtype=self.dtype)(space_to_depth(x, self.patch))
        ways, finest = [], len(self.widths) - 1
        for i in range(finest, -1, -1):
            if i < finest:
                h = Dense(self.widths[i], use_bias=False, dtype=self.dtype)(blur(h, 4, stride=2))
            for _ in range(self._blocks(i)):
                h = Block(dtype=self.dtype)(h, train=train)
            ways.append(h)
        for i in range(finest + 1):
            if i:
                h = bilinear_up(Dense(self.widths[i], use_bias=False, dtype=self.dtype)(h))
                h = h + Dense(self.widths[i], dtype=self.dtype)(ways[finest - i])
            for _ in range(self._blocks(i)):
                h = Block(dtype=self.dtype)(h, train=train)
        last = nn.initializers.zeros if self.residual else nn.initializers.lecun_normal()
        out = Conv(self.channels * self.patch**2, (3, 3), dtype=self.dtype, kernel_init=last)(leaky_relu(h))
        out = depth_to_space(out.astype(jnp.float32), self.patch)
        base = x[..., : self.channels]
        out = base + out if self.residual else nn.tanh(out)
        if not self.masked:
            return out
        hole = x[..., -1:]
        return base * (1 - hole) + out * hole


class PatchCritic(nn.Module):
    """y [B, H, W, C] (and what it was made of, x [B, H', W', I]) -> logits [B, h, w], each of what it sees around.

    x is brought to the size of y by repetition. `widths`, `blocks` and `patch` as those of `UNet`, the coarsest first.
    """

    widths: tuple[int, ...]
    blocks: tuple[int, ...] = (1,)
    patch: int = 1
    dtype: Any = None

    @nn.compact
    def __call__(self, y: Array, x: Array | None = None, *, train: bool) -> Array:
        if x is not None:
            given = jax.image.resize(x, (*y.shape[:3], x.shape[3]), "nearest")
            y = jnp.concatenate([y, given.astype(y.dtype)], axis=-1)
        h = Conv(self.widths[-1], (3, 3), dtype=self.dtype)(space_to_depth(y, self.patch))
        for i, width in reversed(list(enumerate(self.widths))):
            if i < len(self.widths) - 1:
                h = Dense(width, use_bias=False, dtype=self.dtype)(blur(h, 4, stride=2))
            for _ in range(self.blocks[min(i, len(self.blocks) - 1)]):
                h = Block(dtype=self.dtype)(h, train=train)
        return Dense(1, dtype=self.dtype)(leaky_relu(h))[..., 0].astype(jnp.float32)
