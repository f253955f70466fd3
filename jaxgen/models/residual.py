"""Residual generator and critic of the R3GAN kind (Huang et al. 2024): bottlenecks without normalisation, fixed
bilinear resampling between resolutions, critic features by one weighted sum over space.

Departures: the 3x3 convolution of a bottleneck is narrow (half the width) in place of wide and grouped, since grouped
convolutions have no fast form on CPU; and batch normalisation conditioned on z and the class is there for who wants it.
"""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxgen.models.convolution import Conv
from jaxgen.models.layers import ConditionalBatchNorm, Dense, leaky_relu, projection, with_label
from jaxgen.models.resample import bilinear_up, blur
from jaxgen.types import Array

Norm = Literal["none", "batch"]
Output = Literal["tanh", "one_hot"]

FAR = 1e4  # beyond any logit

_he = nn.initializers.variance_scaling(2.0, "fan_in", "normal")  # for rectifiers: He et al. 2015


class Block(nn.Module):
    """x [B, H, W, C] -> the same: x + 1x1(3x3(1x1(x))), the identity at first. `condition` [B, F] is what batch
    normalisation depends on."""

    norm: Norm = "none"
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, condition: Array | None = None, *, train: bool) -> Array:
        width = x.shape[-1]

        def activated(h: Array) -> Array:
            if self.norm == "batch":
                if condition is None:
                    raise ValueError("batch normalisation depends on a condition [B, F] here; pass one")
                h = ConditionalBatchNorm(self.axis_name, self.dtype)(h, condition, train=train)
            return leaky_relu(h)

        bias = self.norm == "none"  # batch normalisation has its own
        h = activated(Dense(width // 2, use_bias=bias, dtype=self.dtype, kernel_init=_he)(x))
        h = activated(Conv(width // 2, (3, 3), use_bias=bias, dtype=self.dtype, kernel_init=_he)(h))
        # Zeros at the end: depth costs no stability at the start (Zhang et al. 2019, Fixup).
        return x + Dense(width, dtype=self.dtype, kernel_init=nn.initializers.zeros)(h)


class Generator(nn.Module):
    """z [B, Z] (and label [B]) -> [B, *shape] in [-1, 1]; or with `one_hot` a 1 in one channel and 0 in the others.

    Of one-hot outputs the gradient is the softmax's (straight-through: Bengio et al. 2013): soft ones a critic tells
    from real ones at a glance. A kind that occurs seldom is soon so unlikely that this gradient is 0, and never comes
    back; a `temperature` above 1 keeps it within reach.

    `widths` are the channels of each resolution, the coarsest first; each is twice the one before. `blocks` says how
    many there are at each; its last number holds for all finer ones. The finest makes `patch` x `patch` pixels at once
    (sub-pixel convolution: Shi et al. 2016): large maps of few channels are slow. The class enters beside z at the
    start, and with `batch` normalisation both enter each block; or a `style` [B, F] in their place, which then decides
    alone what holds for the whole picture, colours above all (as in AdaIN: Huang & Belongie 2017).
    """

    shape: tuple[int, int, int]
    widths: tuple[int, ...]
    blocks: tuple[int, ...] = (1,)
    norm: Norm = "none"
    output: Output = "tanh"
    patch: int = 1  # not with one_hot
    placed: tuple[int, ...] = ()  # with one_hot: channels that are put into one cell each
    ground: int = 0  # the channel on which they are
    temperature: float = 1.0  # of the softmax that gives one-hot outputs their gradient
    classes: int = 0
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, z: Array, label: Array | None = None, style: Array | None = None, *, train: bool) -> Array:
        if self.patch > 1 and self.output == "one_hot":
            raise ValueError(f"one-hot outputs are made place by place; patch must be 1, not {self.patch}")
        halvings = len(self.widths) - 1
        height, width = (n // self.patch for n in self.shape[:2])
        size = (height >> halvings, width >> halvings, self.widths[0])
        start = with_label(z, label, self.classes)
        condition = start if style is None else style
        h = Dense(size[0] * size[1] * size[2], dtype=self.dtype)(start)
        h = h.reshape(len(z), *size)
        for i, width in enumerate(self.widths):
            if i:
                h = bilinear_up(Dense(width, use_bias=False, dtype=self.dtype)(h))
            for _ in range(self.blocks[min(i, len(self.blocks) - 1)]):
                h = Block(self.norm, self.axis_name, self.dtype)(h, condition, train=train)
        if self.output == "tanh":
            return nn.tanh(depth_to_space(self._last(h, self.shape[-1] * self.patch**2), self.patch))
        kinds = self._last(h, self.shape[-1]) + self._straight(z, self.shape[-1])
        if not self.placed:
            return straight_through(kinds, self.temperature)
        rest = others(kinds, self.placed, self.temperature)
        # Pieces are placed knowing the ground, but don't draw it: their gradient would drown that of the rest.
        h, ground = jax.lax.stop_gradient((h, rest))
        h = h + Dense(h.shape[-1], dtype=self.dtype)(ground)
        h = Block(self.norm, self.axis_name, self.dtype)(h, condition, train=train)
        cells = self._last(h, len(self.placed)) + self._straight(z, len(self.placed))
        maps = place(cells, ground[..., self.ground], self.temperature)
        pieces = maps @ jnp.eye(self.shape[-1])[jnp.array(self.placed)]
        return rest * (1 - maps.sum(-1, keepdims=True)) + pieces

    def _straight(self, z: Array, channels: int) -> Array:
        """z [B, Z] -> logits [B, H, W, channels] of a standard deviation of 2, before training.

        So that one-hot samples differ from one another before anything is learnt. Else they are all the same at first,
        the critic knows them at a glance, and the generator moves them all at once: a collapse that lasts.
        """
        spread = nn.initializers.variance_scaling(4.0, "fan_in", "normal")
        size = (*self.shape[:2], channels)
        return Dense(math.prod(size), kernel_init=spread)(z).reshape(len(z), *size)

    def _last(self, h: Array, channels: int) -> Array:
        """h [B, H, W, C] -> [B, H, W, channels] float32."""
        return Conv(channels, (3, 3), dtype=self.dtype)(leaky_relu(h)).astype(jnp.float32)


def depth_to_space(x: Array, patch: int) -> Array:
    """[B, H, W, C patch^2] -> [B, H patch, W patch, C]: of each C in turn, the pixels of a patch row by row."""
    b, h, w, c = x.shape
    x = x.reshape(b, h, w, c // patch**2, patch, patch)
    return x.transpose(0, 1, 4, 2, 5, 3).reshape(b, h * patch, w * patch, c // patch**2)


def space_to_depth(x: Array, patch: int) -> Array:
    """The inverse of `depth_to_space`."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // patch, patch, w // patch, patch, c)
    return x.transpose(0, 1, 3, 5, 2, 4).reshape(b, h // patch, w // patch, c * patch**2)


def straight_through(logits: Array, temperature: float = 1.0) -> Array:
    """One-hot along the last axis, with the gradient of the softmax at a temperature (Bengio et al. 2013).

    Soft outputs a critic would tell from real ones at a glance.
    """
    shares = jax.nn.softmax(logits / temperature)
    hard = jax.nn.one_hot(jnp.argmax(logits, axis=-1), logits.shape[-1])
    return jax.lax.stop_gradient(hard - shares) + shares


def others(logits: Array, placed: tuple[int, ...], temperature: float = 1.0) -> Array:
    """Logits [B, H, W, T] -> one-hot, the channels in `placed` left out."""
    never = np.zeros(logits.shape[-1], np.float32)
    never[list(placed)] = -np.inf
    return straight_through(logits + never.reshape(1, 1, 1, -1), temperature)


def place(logits: Array, ground: Array, temperature: float = 1.0) -> Array:
    """[B, H, W, P], ground [B, H, W] of 0 and 1 -> [B, H, W, P]: in each of P maps a 1 in one cell, the likeliest on
    the ground that no map before it has taken; off the ground where that has no room left."""
    flat = logits.reshape(len(logits), logits.shape[1] * logits.shape[2], logits.shape[3])
    off, maps = FAR * (1 - ground.reshape(flat.shape[:2])), []
    for p in range(flat.shape[2]):
        maps.append(straight_through(flat[..., p] - off, temperature))
        off += 2 * FAR * jax.lax.stop_gradient(maps[-1])
    return jnp.stack(maps, axis=-1).reshape(logits.shape)


class Critic(nn.Module):
    """x [B, H, W, C] (and label [B]) -> logits [B]; the label enters by projection (Miyato & Koyama 2018).

    `widths`, `blocks` and `patch` as the generator's: the coarsest resolution first. With `totals` it also sees the sum
    of each input channel over space, before two dense layers: for one-hot inputs how often each kind occurs, which
    levels have rules about.
    """

    widths: tuple[int, ...]
    blocks: tuple[int, ...] = (1,)
    patch: int = 1
    totals: bool = False
    classes: int = 0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None, *, train: bool) -> Array:
        h = Conv(self.widths[-1], (3, 3), dtype=self.dtype)(space_to_depth(x, self.patch))
        for i, width in reversed(list(enumerate(self.widths))):
            if i < len(self.widths) - 1:
                h = Dense(width, use_bias=False, dtype=self.dtype)(blur(h, 4, stride=2))
            for _ in range(self.blocks[min(i, len(self.blocks) - 1)]):
                h = Block(dtype=self.dtype)(h, train=train)
        where = self.param("where", nn.initializers.normal((h.shape[1] * h.shape[2]) ** -0.5), h.shape[1:])
        features = jnp.sum(leaky_relu(h) * where[None].astype(h.dtype), axis=(1, 2))
        if self.totals:
            features = jnp.concatenate([features, jnp.sum(x, axis=(1, 2)).astype(features.dtype)], axis=-1)
            for _ in range(2):
                features = leaky_relu(Dense(self.widths[0], dtype=self.dtype, kernel_init=_he)(features))
        logit = Dense(1, dtype=self.dtype)(features)[:, 0]
        if label is not None:
            logit += projection(features, label, self.classes, self.dtype)
        return logit.astype(jnp.float32)
