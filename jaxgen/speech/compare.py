"""What a vocoder is given and what it is compared by: functions of waveforms that are hashable by value."""

import dataclasses

import jax.numpy as jnp

from jaxgen.speech.mel import Mel
from jaxgen.types import Array

QUIET = 1e-3
"""Magnitudes below this, which nobody hears, count as this in a logarithm."""

_SCALE = 0.25  # of a log10 of a magnitude: near the scale of `Mel.log_mel`, whose 2 are 4.5 of these


@dataclasses.dataclass(frozen=True)
class ToMel:
    """Waveforms [B, T] (and keys, which are not used) -> log-mel spectrograms [B, T // hop, bands]."""

    mel: Mel

    def __call__(self, wave: Array, keys: Array | None = None) -> Array:
        return self.mel.log_mel(wave)


@dataclasses.dataclass(frozen=True)
class Spectra:
    """Waveforms [B, T] -> (log-mel, log magnitudes by windows twice as long, and half as long), each [B, F, bands].

    Three resolutions: a difference in one of them alone is easily hidden in the others (Yamamoto et al. 2020). Raises
    `UserError` where the hop is no multiple of 4.
    """

    mel: Mel

    @property
    def others(self) -> tuple[Mel, Mel]:
        """The two other resolutions; of their own bands nothing is used."""
        rate, window, hop = self.mel.rate, self.mel.window, self.mel.hop
        return Mel(rate, 2 * window, 2 * hop, 1), Mel(rate, window // 2, hop // 2, 1)

    def __call__(self, wave: Array) -> tuple[Array, ...]:
        return self.mel.log_mel(wave), *(log_magnitude(other.stft(wave)) for other in self.others)


def log_magnitude(spectrum: Array) -> Array:
    """complex -> float32 of the same shape: a quarter of log10 of the magnitude, or of `QUIET` where that is more."""
    power = spectrum.real**2 + spectrum.imag**2  # whose root has no derivative at 0
    return _SCALE / 2 * jnp.log10(jnp.maximum(power, QUIET**2))
