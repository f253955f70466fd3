"""How near one waveform is to another that it should be: a vocoder's to the recording."""

import warnings
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from jaxgen.errors import UserError, needed
from jaxgen.speech import wav
from jaxgen.speech.mel import Mel, from_log

COEFFICIENTS = 13
"""Mel-cepstral coefficients that are compared, from the first: the zeroth is the loudness."""

SECONDS = 3.0
"""PESQ and STOI are not asked about less: the one was made for sentences, the other averages over 0.4 s."""

_WINDOWS = (0.01, 0.025, 0.05)  # s, of the three resolutions (Yamamoto et al. 2020: 240, 600 and 1,200 at 24 kHz)
_HOPS = 5  # in a window
_LEAST = 1e-7  # of a power, before its logarithm
_RATES = {8000: "nb", 16000: "wb"}  # of telephones: ITU-T P.862; of wide bands: P.862.2


def mel_cepstral_distortion(a: np.ndarray, b: np.ndarray, mel: Mel) -> float:
    """The mean distance of the frames of two waveforms [T] in dB (Kubichek 1993): 10 / ln 10 sqrt(2 sum (c - c')^2).

    c are the `COEFFICIENTS` first cosine coefficients of a frame's log mel amplitudes, ln A_k = sum_m c_m
    cos(pi m (k + 1/2) / bands), without c_0, so a gain changes nothing. Frames are compared as they come, without
    warping. Raises `UserError` for other shapes, and where `mel` has too few bands.
    """
    from scipy.fft import dct

    a, b = _pair(a, b)
    if mel.bands <= COEFFICIENTS:
        raise UserError(f"{mel.bands} mel bands have no {COEFFICIENTS} cepstral coefficients; take more bands.")
    log = np.log(np.asarray(from_log(mel.log_mel(jnp.stack([a, b]))), np.float64))
    first, second = np.asarray(dct(log, axis=2))[:, :, 1 : COEFFICIENTS + 1] / mel.bands
    return float(10 / np.log(10) * np.sqrt(2 * np.square(first - second).sum(1)).mean())


def multi_resolution_stft(a: np.ndarray, b: np.ndarray, rate: int) -> float:
    """How far the spectra of `b` [T] are from those of the true `a`: 0 where they are the same.

    Spectral convergence, |A - B| / |A| in the Frobenius norm, plus the mean of |ln A - ln B|, of magnitudes A and B;
    the mean of these sums over windows of 10, 25 and 50 ms, a fifth of one apart (Yamamoto et al. 2020, eq. 4 to 6).
    Raises `UserError` for other shapes, and less than 50 ms.
    """
    a, b = _pair(a, b)
    if len(a) < _WINDOWS[-1] * rate:
        raise UserError(f"{len(a)} samples at {rate} a second are too short to compare; take 50 ms or more.")
    total = 0.0
    for seconds in _WINDOWS:
        true, made = (_magnitudes(wave, max(4, round(seconds * rate))) for wave in (a, b))
        total += np.linalg.norm(true - made) / np.linalg.norm(true) + np.abs(np.log(true) - np.log(made)).mean()
    return float(total / len(_WINDOWS))


def pesq_of(a: np.ndarray, b: np.ndarray, rate: int) -> float:
    """PESQ of `b` [T] against the true `a`, about 1 (bad) to 4.5: ITU-T P.862 at 8,000 samples a second, and P.862.2,
    for wide bands, at 16,000; other rates are brought to the next lower of the two, or to 8,000.

    Raises `UserError` where the package pesq is missing, for other shapes, less than `SECONDS`, and where it finds no
    speech.
    """
    with needed("pesq", "PESQ", "speech"):
        import pesq  # pyright: ignore[reportMissingImports] (an extra that tests do without)
    a, b = _long_pair(a, b, rate)
    own = 16000 if rate >= 16000 else 8000
    if not a.any():
        raise UserError("PESQ cannot compare with silence; give recordings of speech.")
    try:
        return float(pesq.pesq(own, wav.resampled(a, rate, own), wav.resampled(b, rate, own), _RATES[own]))
    except pesq.PesqError as error:
        raise UserError(f"PESQ cannot compare these waveforms ({error}); are they speech?") from error


def stoi_of(a: np.ndarray, b: np.ndarray, rate: int) -> float:
    """STOI of `b` [T] against the true `a`: how intelligible it is, up to 1 (Taal et al. 2011).

    Raises `UserError` where the package pystoi is missing, for other shapes, and less than `SECONDS` of which enough is
    no silence.
    """
    with needed("pystoi", "STOI", "speech"):
        import pystoi
    a, b = _long_pair(a, b, rate)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return float(pystoi.stoi(a, b, rate))
        except RuntimeWarning as error:  # it has removed too much as silence
            raise UserError(f"STOI cannot compare these waveforms ({error}); are they speech?") from error


def joined(waves: Sequence[np.ndarray], rate: int, seconds: float = SECONDS) -> list[np.ndarray]:
    """Waveforms [T] one after the other, as pieces that last for `seconds` or more, each of whole waveforms.

    Waveforms of equal lengths are joined alike, so two lists stay comparable. Raises `UserError` where all together are
    shorter.
    """
    pieces, current, length = [], [], 0
    for wave in waves:
        current.append(wave)
        length += len(wave)
        if length >= seconds * rate:
            pieces.append(current)
            current, length = [], 0
    if not pieces:
        raise UserError(f"The waveforms last for less than {seconds:g} s together; take more of them.")
    pieces[-1] += current
    return [np.concatenate(piece) for piece in pieces]


def _magnitudes(wave: np.ndarray, window: int) -> np.ndarray:
    """[frames, frequencies], none 0."""
    framed = np.lib.stride_tricks.sliding_window_view(wave, window)[:: max(1, window // _HOPS)]
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    spectrum = np.fft.rfft(framed * shape, 2 ** (window - 1).bit_length())
    return np.sqrt(np.maximum(np.square(np.abs(spectrum)), _LEAST))


def _pair(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    if a.ndim != 1 or a.shape != b.shape or not a.size:
        raise UserError(f"Waveforms must be [T], the same T for both; these are {a.shape} and {b.shape}.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise UserError("A waveform has samples that are infinite or not numbers; check what it was made by.")
    return a, b


def _long_pair(a: np.ndarray, b: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = _pair(a, b)
    if len(a) < SECONDS * rate:
        raise UserError(
            f"{len(a) / rate:.2f} s are too short for PESQ and STOI; join recordings to {SECONDS:g} s or more."
        )
    return a, b
