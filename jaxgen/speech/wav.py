"""WAV files to waveforms; `jaxgen.pcm` writes them."""

import io
import math
import warnings

import numpy as np
from etils import epath

from jaxgen.errors import UserError

SILENT = 1e-4
"""A sound whose every sample is nearer to 0 than this is silent."""

_RATES = (1000, 768_000)


def read(path: epath.PathLike, rate: int) -> np.ndarray:
    """The WAV file `path` as `from_bytes` has it. Raises `UserError` where it cannot be read, too."""
    path = epath.Path(path).expanduser()
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a WAV file in it.")
    if not path.exists():
        raise UserError(f"There is no file {path}. Give the path of a WAV file.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"Cannot read {path} ({error.strerror or error}). Give a WAV file that can be read.") from error
    return from_bytes(content, rate, str(path))


def from_bytes(content: bytes, rate: int, name: str = "The sound") -> np.ndarray:
    """The content of a WAV file -> float32 [T] in [-1, 1], `rate` samples a second; T is 1 or more.

    Any rate from 1,000 to 768,000, whole numbers of 8 to 64 bits or floats, any number of channels, of which the mean
    is taken. Resampled by a polyphase filter; where that, or a file of floats, goes beyond 1, all is made quieter so
    that the peak is 1. Raises `UserError`, with `name`, for what is no such file, has no samples, has some that are
    not finite, or is silent (`SILENT`).
    """
    from scipy.io import wavfile  # slow to import

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parts of the file that are not sound, or cut off
            own, samples = wavfile.read(io.BytesIO(content))
    except Exception as error:  # ValueError, struct.error, EOFError, UnboundLocalError...: whatever bytes may lead to
        raise UserError(f"Cannot read {name} as a WAV file ({error}). Convert it to 16-bit PCM.") from error
    if not samples.size:
        raise UserError(f"{name} is a WAV file without sound: it has no samples. Record it again.")
    return from_samples(samples, own, rate, name)


def from_samples(samples: np.ndarray, own: int, rate: int, name: str = "The sound") -> np.ndarray:
    """Samples [T] or [T, channels], T 1 or more, `own` a second, of a type that `from_bytes` reads -> as it returns
    them; and it raises as this does.
    """
    if not _RATES[0] <= own <= _RATES[1]:
        raise UserError(f"{name} has {own} samples a second; speech needs {_RATES[0]:,} to {_RATES[1]:,}.")
    wave = _scaled(samples)
    if wave.ndim == 2:
        wave = wave.mean(1)
    if not np.isfinite(wave).all():
        raise UserError(f"{name} has samples that are infinite or not numbers. Convert it to 16-bit PCM.")
    if np.abs(wave).max() < SILENT:
        raise UserError(f"{name} is silent. Record it again, louder.")
    wave = resampled(wave, own, rate)
    return (wave / max(1.0, np.abs(wave).max())).astype(np.float32)


def resampled(wave: np.ndarray, own: int, rate: int) -> np.ndarray:
    """float [T] of `own` samples a second -> float32 [ceil(T rate / own)] of `rate`."""
    from scipy.signal import resample_poly  # slow to import

    common = math.gcd(own, rate)
    wave = np.asarray(wave, np.float64)
    if own != rate:
        wave = resample_poly(wave, rate // common, own // common)
    return wave.astype(np.float32)


def _scaled(samples: np.ndarray) -> np.ndarray:
    """Samples of any type -> float64, full scale as 1."""
    if samples.dtype == np.uint8:  # 8 bits are stored from 0 to 255, silence 128
        return (samples.astype(np.float64) - 128) / 128
    if np.issubdtype(samples.dtype, np.integer):
        return samples / -float(np.iinfo(samples.dtype).min)
    return samples.astype(np.float64)
