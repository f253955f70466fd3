"""The embedded set `spoken_characters`: the digits 0 to 9 and the letters A to Z, each said once by one voice.

They come with the package captcha, as WAV files of 8,000 samples a second and 8 bits.
"""

import importlib.util
from pathlib import Path

import numpy as np

from jaxgen.errors import UserError
from jaxgen.speech import wav

NAMES = tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
"""The characters, in the order of their labels."""

EACH = {"train": 40, "test": 10}
"""Variations of each character."""

_RATE = 8000
_SPEED = 12  # per cent, up or down, with the pitch
_TILT = 0.3  # of the sample before, added or taken away: darker or brighter
_NOISE = (-60.0, -48.0)  # dB below the peak: what is cut off as silence at the ends stays silent enough


def read(split: str, rate: int) -> tuple[list[np.ndarray], np.ndarray]:
    """The waveforms of `split` ("train" or "test"), each float32 [T] of `rate` samples a second; labels int32 [N].

    There is one recording of each character, so both splits are variations of it, `EACH` of the two for each, no two
    the same: played up to 12% faster or slower, the pitch with it; brighter or darker; and with a little noise. So what
    is held out tests whether characters are told apart and said rightly, not whether other voices are. The same numbers
    on every call. Raises `UserError` where the package is missing or damaged.
    """
    folder, first = _folder(), 0 if split == "train" else EACH["train"]
    waves, labels = [], []
    for label, name in enumerate(NAMES):
        wave = wav.read(folder / name / "default.wav", _RATE)
        for i in range(EACH[split]):
            waves.append(_varied(wave, np.random.default_rng((label, first + i)), rate))
            labels.append(label)
    return waves, np.array(labels, np.int32)


def _varied(wave: np.ndarray, rng: np.random.Generator, rate: int) -> np.ndarray:
    speed = 100 + rng.integers(-_SPEED, _SPEED + 1)  # per cent
    wave = wav.resampled(wave - wave.mean(), _RATE * int(speed), rate * 100)
    wave = wave + rng.uniform(-_TILT, _TILT) * np.concatenate([[0], wave[:-1]])
    loudness = np.abs(wave).max() * 10 ** (rng.uniform(*_NOISE) / 20)
    return (wave + loudness / 3 * rng.standard_normal(len(wave))).astype(np.float32)


def _folder() -> Path:
    """Where captcha has its recordings, without importing it."""
    spec = importlib.util.find_spec("captcha")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            'The data set spoken_characters comes with the package captcha. Install it: pip install "jaxgen[data]".'
        )
    folder = Path(spec.submodule_search_locations[0], "data")
    if not all((folder / name / "default.wav").is_file() for name in NAMES):
        raise UserError(
            f"{folder} lacks recordings of characters. Install captcha anew: pip install --force-reinstall captcha."
        )
    return folder
