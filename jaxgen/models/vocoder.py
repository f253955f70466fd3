"""From log-mel spectrograms to waveforms: a network at the frames' rate whose last layer is an inverse STFT (Vocos:
Siuzdak 2024; iSTFTNet: Kaneko et al. 2022), against critics of periods and of scales (HiFi-GAN: Kong et al. 2020).

Phases need not be learnt from nothing: Griffin-Lim's algorithm, between the network's magnitudes and what it makes of
the phases, begins with them (as in Masuyama et al. 2019, where a network follows each of its iterations).

Departures: blocks are the bottlenecks of `residual` along time, without normalisation, as layer normalisation and
depthwise convolutions are slow on CPU; critics have fewer channels, no groups, and no weight normalisation.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.models.convolution import Conv
from jaxgen.models.layers import Dense, leaky_relu
from jaxgen.speech.griffin_lim import advance, magnitudes, phases, spread
from jaxgen.speech.mel import Mel
from jaxgen.types import Array

REACH = 8.0
"""How far, as a logarithm, the network moves a magnitude at most from what its bands have evenly."""
UPDATES = 8
"""By which its magnitudes are brought back to those that have the mel amplitudes given. Without the network, and with
16 of Griffin-Lim's iterations, PESQ is 2.30 without an update, 2.92 with 4, 3.03 with 8, 3.12 with 100."""
ROUNDS, UPDATES_AFTER = 2, 2
"""Of `nearer`, after the network, and its updates. Frames overlap, so a waveform has not quite the magnitudes that it
was made of: after 500 steps mel-cepstral distortion is .82 dB without rounds, .66 with two, Griffin-Lim's .77."""
QUIET = 1e-6  # a magnitude beyond hearing

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
    """Log-mel x [B, F, bands] in [-1, 1] -> waveform [B, F hop], about in [-1, 1]. For any number of frames F >= 2.

    Half of the blocks say which magnitudes, of those that have the mel amplitudes. With `iterations` as many of
    Griffin-Lim's find first phases for them, which the other blocks then turn; without, these make the phases alone.
    """

    mel: Mel
    width: int
    blocks: int
    iterations: int = 16
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        bins, samples = self.mel.bins, x.shape[1] * self.mel.hop
        h = Conv(self.width, (7,), dtype=self.dtype)(x)
        for _ in range(self.blocks // 2):
            h = Block(self.dtype)(h)
        found = Dense(bins, dtype=self.dtype, kernel_init=nn.initializers.zeros)(leaky_relu(h)).astype(jnp.float32)
        size = magnitudes(x, self.mel, spread(x, self.mel) * jnp.exp(jnp.clip(found, -REACH, REACH)), UPDATES)
        phase = jnp.ones_like(size, jnp.complex64)
        if self.iterations:
            # Nothing is learnt through it: only where it ended counts.
            onward = advance(x.shape[1], self.mel)
            phase = phases(jax.lax.stop_gradient(size), self.mel, self.iterations, onward)
            # Against a tone in the middle of its bin: what goes on steadily is then the same in all frames.
            steady = phase * jnp.conj(onward)[None]
            seen = jnp.concatenate([steady.real, steady.imag], axis=-1)
            h = h + Dense(self.width, dtype=self.dtype)(seen)
        for _ in range(self.blocks - self.blocks // 2):
            h = Block(self.dtype)(h)
        start = nn.initializers.zeros if self.iterations else nn.initializers.lecun_normal()
        turn = Dense(bins, dtype=self.dtype, kernel_init=start)(leaky_relu(h)).astype(jnp.float32)
        wave = self.mel.istft(size * phase * jax.lax.complex(jnp.cos(turn), jnp.sin(turn)), samples)
        for _ in range(ROUNDS):
            wave = nearer(wave, x, self.mel)
        return wave


def nearer(wave: Array, x: Array, mel: Mel) -> Array:
    """wave [B, F hop] -> the same with mel amplitudes nearer to those of x [B, F, bands].

    A step of Griffin-Lim's towards magnitudes that have them, of all such those nearest to the waveform's own.
    """
    spectrum = mel.stft(wave)
    # The root of a sum that is never 0, whose derivative is finite in silence.
    size = jnp.sqrt(spectrum.real**2 + spectrum.imag**2 + QUIET**2)
    return mel.istft(spectrum * (magnitudes(x, mel, size, UPDATES_AFTER) / size), wave.shape[1])


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
