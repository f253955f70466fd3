"""From log-mel spectrograms to waveforms without a network: the baseline of every vocoder."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.errors import UserError
from jaxgen.speech.mel import Mel, from_log
from jaxgen.types import Array

_MOMENTUM = 0.99  # as the authors advise, and best here: PESQ is .13 lower with none, .07 lower with more than 1
_UPDATES = 100  # of the magnitudes; five times as many change nothing
_SILENT = -1 + 1e-5  # of a log-mel spectrogram: its floor, with some rounding
_LEAST = 1e-8  # by which is divided
_GOLDEN = 0.5 * (5**0.5 - 1)


@partial(jax.jit, static_argnames=("mel", "iterations"))
def griffin_lim(log_mel: Array, mel: Mel, key: Array, iterations: int = 60) -> Array:
    """Log-mel spectrograms [B, F, bands] in [-1, 1] -> float32 [B, F hop] that have them, as nearly as may be.

    The magnitudes are the non-negative ones with those mel amplitudes, found from even ones by multiplicative updates
    (Lee & Seung 2001), which sounds better than the pseudoinverse with its negative part cut off. Their phases are the
    fast Griffin-Lim algorithm's (Perraudin et al. 2013), at first random by `key`. Nothing keeps the waveform
    within [-1, 1].
    """
    if log_mel.ndim != 3 or log_mel.shape[2] != mel.bands or log_mel.shape[1] * mel.hop < mel.window // 2:
        raise UserError(
            f"Spectrograms must be [B, F, {mel.bands}] and last for half a window or more; these are {log_mel.shape}."
        )
    magnitude = magnitudes(log_mel, mel)
    start = jnp.exp(1j * jax.random.uniform(key, magnitude.shape, maxval=2 * np.pi))
    return mel.istft(magnitude * phases(magnitude, mel, iterations, start), log_mel.shape[1] * mel.hop)


def phases(magnitude: Array, mel: Mel, iterations: int, start: Array) -> Array:
    """Magnitudes [B, F, bins], complex `start` [B, F, bins] or [F, bins] -> complex [B, F, bins] of size 1: the phases
    with which they are most nearly a waveform's, after as many iterations from those of `start`."""
    samples = magnitude.shape[1] * mel.hop

    def consistent(spectrum: Array) -> Array:
        """The spectrum, of all that a waveform has, nearest to the magnitudes with the phases of `spectrum`."""
        return mel.stft(mel.istft(magnitude * _unit(spectrum), samples))

    def step(_, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        spectrum, last = carry
        found = consistent(spectrum)
        return found + _MOMENTUM * (found - last), found

    first = consistent(jnp.broadcast_to(start, magnitude.shape))
    return _unit(jax.lax.fori_loop(0, iterations, step, (first, first))[0])


def advance(frames: int, mel: Mel) -> Array:
    """complex64 [F, bins]: how the phase goes on, from frame to frame, of a tone in the middle of each bin. At first
    the phases are a square law's, so that they do not add up to pulses (Schroeder 1970)."""
    k = np.arange(mel.bins)
    turns = (k[None] * mel.hop * np.arange(frames)[:, None] % mel.window) / mel.window + k**2 * _GOLDEN % 1
    return jnp.asarray(np.exp(2j * np.pi * turns).astype(np.complex64))


def magnitudes(log_mel: Array, mel: Mel, start: Array | None = None, updates: int = _UPDATES) -> Array:
    """[B, F, bands] -> float32 [B, F, window / 2 + 1], 0 or more, whose mel amplitudes are nearest to those given.

    Many magnitudes have the same: these are what the `updates` come to from `start`, even ones where it is None.
    """
    filters = mel.filters()
    amplitude = jnp.where(log_mel > _SILENT, from_log(log_mel), 0)  # at the floor there may be nothing at all
    wanted, gram = amplitude @ filters.T, filters @ filters.T
    if start is None:
        start = jnp.broadcast_to(amplitude.mean(2, keepdims=True), wanted.shape)
    for_each = jnp.zeros((updates, 0))  # a scan, through which gradients pass
    return jax.lax.scan(lambda m, _: (m * wanted / (m @ gram + _LEAST), None), start, for_each)[0]


def spread(log_mel: Array, mel: Mel) -> Array:
    """[B, F, bands] -> [B, F, bins]: each bin has what the bands around it have, as if these were even within."""
    filters = mel.filters()
    heard = np.flatnonzero(filters.any(1))
    shares = filters[np.clip(np.arange(mel.bins), heard[0], heard[-1])]  # no band has the ends: as those next to them
    shares = shares / shares.sum(1, keepdims=True) / filters.sum(0)
    return from_log(log_mel) @ shares.T.astype(np.float32)


def _unit(spectrum: Array) -> Array:
    return spectrum / jnp.maximum(jnp.abs(spectrum), _LEAST)
