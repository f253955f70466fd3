"""Waveforms to short-time spectra and back, and to log-mel spectrograms. In JAX: to be jitted and differentiated."""

import dataclasses
import functools
import operator

import jax.numpy as jnp
import numpy as np

from jaxgen.errors import UserError
from jaxgen.types import Array

FLOOR, CEILING = -4.0, 0.5
"""The log10 of a mel amplitude that are -1 and 1 in a log-mel spectrogram.

Measured with `Mel()` on the training part of the Free Spoken Digit Dataset, each recording's peak at 0.95: one value in
ninety is below -4, half are above -2.2, and the largest is 0.07; of a pure tone as loud it is 0.16. Longer windows at a
higher rate give larger amplitudes.
"""

_RATES = (1000, 192000)
_QUIET = 1e-5  # added to magnitudes: at silence, a magnitude has no derivative
_LEAST = 1e-3  # of the windows' sum of squares, by which the inverse divides
_LINEAR = 200 / 3  # Hz a mel, up to `_KNEE`; above, each mel is a factor
_KNEE = 1000.0  # Hz
_STEP = np.log(6.4) / 27  # log of that factor


@dataclasses.dataclass(frozen=True)
class Mel:
    """How a waveform of `rate` samples a second becomes frames, one every `hop` samples, of `bands` mel bands.

    A frame sees `window` samples under a Hann window, the middle of which is the middle of the frame's own `hop`
    samples: the waveform is continued by its reflection, (window - hop) / 2 samples on either side, so T samples have
    T // hop frames (as in HiFi-GAN: Kong et al. 2020). Raises `UserError` where `hop` does not divide `window`, one of
    them is odd or out of range, or a band is so narrow that no frequency falls into it.
    """

    rate: int = 8000
    window: int = 256
    hop: int = 64
    bands: int = 40

    def __post_init__(self):
        if not _RATES[0] <= self.rate <= _RATES[1]:
            raise UserError(f"A rate of {self.rate} is not {_RATES[0]:,} to {_RATES[1]:,} samples a second.")
        if self.hop < 2 or self.hop % 2 or not 2 * self.hop <= self.window <= 2**14 or self.window % self.hop:
            raise UserError(
                f"Windows of {self.window} samples, {self.hop} apart, do not fit: the second must be even, and the "
                "first two, three or more times that, to 16,384."
            )
        if self.bands < 1 or not _filters(self.rate, self.window, max(1, self.bands)).any(0).all():
            raise UserError(
                f"{self.bands} mel bands cannot be told apart in windows of {self.window} samples at {self.rate} a "
                "second. Take fewer bands or a longer window."
            )

    @property
    def pad(self) -> int:
        """Samples of reflection on either side."""
        return (self.window - self.hop) // 2

    @property
    def bins(self) -> int:
        """Frequencies of a frame, from 0 to rate / 2."""
        return self.window // 2 + 1

    def filters(self) -> np.ndarray:
        """float32 [window / 2 + 1, bands]: triangles on Slaney's mel scale, from 0 to rate / 2, each of area 2."""
        return _filters(self.rate, self.window, self.bands)

    def stft(self, wave: Array) -> Array:
        """[B, T] -> complex64 [B, T // hop, window / 2 + 1]. Raises `UserError` for fewer than window / 2 samples."""
        if wave.ndim != 2 or wave.shape[1] < self.window // 2:
            raise UserError(f"Waveforms must be [B, T] with T {self.window // 2} or more; these are {wave.shape}.")
        frames = wave.shape[1] // self.hop
        several = self.window // self.hop
        padded = jnp.pad(wave, ((0, 0), (self.pad, self.pad)), mode="reflect")
        # Side by side the pieces that a frame is made of: quicker than gathering each frame, forwards and backwards.
        pieces = padded[:, : (frames + several - 1) * self.hop].reshape(len(wave), -1, self.hop)
        framed = jnp.concatenate([pieces[:, i : i + frames] for i in range(several)], axis=2)
        # A product with the matrix of the transform takes three times as long, with its gradient.
        return jnp.fft.rfft(framed * _hann(self.window)[None, None])

    def istft(self, spectrum: Array, samples: int) -> Array:
        """complex [B, F, window / 2 + 1] -> [B, samples], the waveform of which `spectrum` is nearest to the STFT.

        The inverse of `stft`, for up to F hop + hop - 1 samples, by overlapping windows (Griffin & Lim 1984, eq. 6).
        Raises `UserError` for more.
        """
        several, frames = self.window // self.hop, spectrum.shape[1]
        if not 0 <= samples < (frames + 1) * self.hop:
            raise UserError(f"{frames} frames make up to {(frames + 1) * self.hop - 1} samples, not {samples}.")
        window = _hann(self.window)[None, None]
        framed = (jnp.fft.irfft(spectrum, self.window) * window).reshape(len(spectrum), frames, several, self.hop)
        weight = _overlapped(np.broadcast_to(window**2, (1, frames, self.window)).reshape(1, frames, several, -1), np)
        wave = _overlapped(framed, jnp) / np.maximum(weight, _LEAST)
        return wave[:, self.pad : self.pad + samples]

    def log_mel(self, wave: Array) -> Array:
        """[B, T] in [-1, 1] -> float32 [B, T // hop, bands]: log10 of the mel amplitude, `FLOOR` as -1, `CEILING` as 1.

        What is below `FLOOR` is -1. What is above `CEILING`, which speech is not, is above 1.
        """
        spectrum = self.stft(wave)
        magnitude = jnp.sqrt(spectrum.real**2 + spectrum.imag**2 + _QUIET**2)
        return to_log(magnitude @ self.filters())


def to_log(amplitude: Array) -> Array:
    """Mel amplitudes to the scale of `Mel.log_mel`."""
    log = jnp.log10(jnp.maximum(amplitude, 10**FLOOR))
    return jnp.maximum((log - FLOOR) * (2 / (CEILING - FLOOR)) - 1, -1)


def from_log(x: Array) -> Array:
    """A log-mel spectrogram to mel amplitudes: the inverse of `to_log`; what `FLOOR` cut off stays there."""
    return 10 ** (FLOOR + (x + 1) * ((CEILING - FLOOR) / 2))


def _overlapped(framed, library):
    """[B, F, pieces, hop] -> [B, (F + pieces - 1) hop]: piece i of a frame is added i pieces further on."""
    batch, frames, several, hop = framed.shape
    after = [((0, 0), (i, several - 1 - i), (0, 0)) for i in range(several)]
    total = functools.reduce(operator.add, (library.pad(framed[:, :, i], after[i]) for i in range(several)))
    return total.reshape(batch, (frames + several - 1) * hop)


@functools.cache
def _hann(window: int) -> np.ndarray:
    """float32 [window]: one period of it."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(np.float32)


@functools.cache
def _filters(rate: int, window: int, bands: int) -> np.ndarray:
    frequency = np.linspace(0, rate / 2, window // 2 + 1)[:, None]
    top = rate / 2 / _LINEAR if rate / 2 < _KNEE else _KNEE / _LINEAR + np.log(rate / 2 / _KNEE) / _STEP
    mels = np.linspace(0, top, bands + 2)
    bent = _KNEE * np.exp(_STEP * (mels - _KNEE / _LINEAR))
    hertz = np.where(mels < _KNEE / _LINEAR, _LINEAR * mels, bent)
    low, middle, high = hertz[:-2], hertz[1:-1], hertz[2:]
    triangles = np.minimum((frequency - low) / (middle - low), (high - frequency) / (high - middle))
    return (np.maximum(triangles, 0) * 2 / (high - low)).astype(np.float32)
