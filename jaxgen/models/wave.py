"""Waveforms by convolutions along time: WaveGAN (Donahue et al. 2019), DCGAN in one dimension with 25 taps and strides
of four, and a critic whose features are shifted at random, so that it can't tell real from made by the phase of what
strided layers leave behind."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.axes import example_keys
from jaxgen.models.convolution import Conv, ConvTranspose
from jaxgen.models.layers import Dense, leaky_relu, projection, with_label
from jaxgen.types import Array

TAPS, STRIDE = 25, 4

_he = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class Generator(nn.Module):
    """z [B, Z] (and label [B]) -> waveforms [B, length, 1] in [-1, 1]; `layers` times four times as long.

    `width` channels before the last layer, doubled at each layer before. `length` is a multiple of 4^layers.
    """

    length: int
    width: int
    layers: int
    classes: int = 0
    dtype: Any = None

    @nn.compact
    def __call__(self, z: Array, label: Array | None = None, *, train: bool) -> Array:
        start, channels = self.length // STRIDE**self.layers, self.width << (self.layers - 1)
        h = Dense(start * channels, dtype=self.dtype, kernel_init=_he)(with_label(z, label, self.classes))
        h = nn.relu(h.reshape(len(z), start, channels))
        for _ in range(self.layers - 1):
            channels //= 2
            h = nn.relu(ConvTranspose(channels, (TAPS,), (STRIDE,), dtype=self.dtype, kernel_init=_he)(h))
        return nn.tanh(ConvTranspose(1, (TAPS,), (STRIDE,), dtype=self.dtype)(h)).astype(jnp.float32)


class Critic(nn.Module):
    """x [B, T, 1] (and label [B]) -> logits [B]; the label enters by projection (Miyato & Koyama 2018).

    In training, between layers each example's features are shifted by up to `shuffle` places, drawn anew each time by
    its place in the global batch (rng stream `example`).
    """

    width: int
    layers: int
    shuffle: int = 2
    classes: int = 0
    axis_name: str | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, label: Array | None = None, *, train: bool) -> Array:
        h = x
        for i in range(self.layers):
            conv = Conv(self.width << i, (TAPS,), (STRIDE,), dtype=self.dtype, kernel_init=_he)
            h = leaky_relu(conv(h))
            if train and self.shuffle and i < self.layers - 1:
                keys = example_keys(self.make_rng("example"), len(x), self.axis_name)
                h = phase_shuffle(h, keys, self.shuffle)
        h = h.reshape(len(h), -1)
        logit = Dense(1, dtype=self.dtype)(h)[:, 0]
        if label is not None:
            logit += projection(h, label, self.classes, self.dtype)
        return logit.astype(jnp.float32)


def phase_shuffle(h: Array, keys: Array, most: int) -> Array:
    """h [B, T, C], each example shifted along T by its key's draw from -most to most; the gap is filled by reflection.

    WaveGAN, section 3.3.
    """
    shifts = jax.vmap(lambda key: jax.random.randint(key, (), 0, 2 * most + 1))(keys)
    padded = jnp.pad(h, ((0, 0), (most, most), (0, 0)), mode="reflect")
    # A sum over all shifts, all but one of them times 0: quicker than a gather, whose gradient is a scatter.
    chosen = jax.nn.one_hot(shifts, 2 * most + 1, dtype=h.dtype)
    length = h.shape[1]
    return sum(
        (padded[:, k : k + length] * chosen[:, k, None, None] for k in range(2 * most + 1)), jnp.zeros((), h.dtype)
    )
