"""From log-mel spectrograms to waveforms: a network at the frames' rate whose last layer is an inverse STFT (Vocos:
Siuzdak 2024; iSTFTNet: Kaneko et al. 2022), against critics of periods and of scales (HiFi-GAN: Kong et al. 2020).

Departures: blocks are the bottlenecks of `residual` along time, without normalisation, as layer normalisation and
depthwise convolutions are slow on CPU; critics have fewer channels, no groups, and no weight normalisation.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.models.convolution import Conv
from jaxgen.models.layers import Dense, leaky_relu
from jaxgen.speech.mel import Mel
from jaxgen.types import Array

LOUDEST = 5.0
"""Largest logarithm of a magnitude: exp(5) is the magnitude of a full-scale sine in a window of 256 and more."""

_he = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class Block(nn.Module):
    """x [B, T, C] -> the same: x + 1(7(1(x))), the identity at first."""

    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        width = x.shape[-1]
        h = leaky_relu(Dense(width, dtype=self.dtype, kernel_init=_he)(leaky_relu(x)))
        h = leaky_relu(Conv(width, (7,), dtype=self.dtype, kernel_init=_he)(h))
        return x + Dense(width, dtype=self.dtype, kernel_init=nn.initializers.zeros)(h)


class Generator(nn.Module):
    """Log-mel x [B, F, bands] in [-1, 1] -> waveform [B, F hop], about in [-1, 1]. For any number of frames F."""

    mel: Mel
    width: int
    blocks: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        h = Conv(self.width, (7,), dtype=self.dtype)(x)
        for _ in range(self.blocks):
            h = Block(self.dtype)(h)
        bins = self.mel.window // 2 + 1
        out = Dense(2 * bins, dtype=self.dtype)(leaky_relu(h)).astype(jnp.float32)
        size, phase = jnp.exp(jnp.minimum(out[..., :bins], LOUDEST)), out[..., bins:]
        spectrum = jax.lax.complex(size * jnp.cos(phase), size * jnp.sin(phase))
        return self.mel.istft(spectrum, x.shape[1] * self.mel.hop)


class PeriodCritic(nn.Module):
    """y [B, T] -> (logits [B, n], features, each [B, ...]): what is `period` samples apart side by side."""

    period: int
    widths: tuple[int, ...]
    dtype: Any = None

    @nn.compact
    def __call__(self, y: Array) -> tuple[Array, tuple[Array, ...]]:
        n, p = y.shape[1], self.period
        y = jnp.pad(y, ((0, 0), (0, -n % p)), mode="reflect")
        # Samples p apart in one row of their own, and all rows alike: convolutions along time alone.
        h = y.reshape(len(y), -1, p).swapaxes(1, 2).reshape(len(y) * p, -1, 1)
        return _along_time(h, len(y), self.widths, 5, 3, self.dtype)


class ScaleCritic(nn.Module):
    """y [B, T] -> (logits [B, n], features, each [B, ...]), of means over `scale` samples."""

    scale: int
    widths: tuple[int, ...]
    dtype: Any = None

    @nn.compact
    def __call__(self, y: Array) -> tuple[Array, tuple[Array, ...]]:
        y = y[:, : y.shape[1] // self.scale * self.scale].reshape(len(y), -1, self.scale).mean(-1)
        return _along_time(y[..., None], len(y), self.widths, 8, 4, self.dtype)


def _along_time(
    h: Array, n: int, widths: tuple[int, ...], taps: int, stride: int, dtype: Any
) -> tuple[Array, tuple[Array, ...]]:
    """Strided convolutions of h [R n, T, 1], one of stride 1, and a logit at each place."""
    features = []
    for width in widths:
        h = leaky_relu(Conv(width, (taps,), (stride,), dtype=dtype, kernel_init=_he)(h))
        features.append(h.reshape(n, -1))
    h = leaky_relu(Conv(widths[-1], (3,), dtype=dtype, kernel_init=_he)(h))
    features.append(h.reshape(n, -1))
    return Dense(1, dtype=dtype)(h).reshape(n, -1).astype(jnp.float32), tuple(features)


class Critics(nn.Module):
    """y [B, T] (and what it was made of, which is not looked at) -> (logits, features) of each critic in turn: those of
    `periods`, then of means over 1, 2, 4, ... samples."""

    periods: tuple[int, ...]
    scales: int
    widths: tuple[int, ...]
    dtype: Any = None

    @nn.compact
    def __call__(self, y: Array, x: Array | None = None, *, train: bool) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
        critics = [PeriodCritic(p, self.widths, self.dtype) for p in self.periods]
        critics += [ScaleCritic(1 << i, self.widths, self.dtype) for i in range(self.scales)]
        seen = [critic(y) for critic in critics]
        return tuple(logits for logits, _ in seen), tuple(features for _, features in seen)
