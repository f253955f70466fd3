"""What the domains of speech share: mel settings, names of words and voices, sounds and pictures. Not a domain."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from etils import epath

from jaxgen import files, pcm, preview
from jaxgen.config import Config, Spectrogram, Vocoder, Wave, nearest
from jaxgen.data import speech
from jaxgen.domains import Source
from jaxgen.errors import UserError
from jaxgen.speech import picture
from jaxgen.speech.griffin_lim import griffin_lim
from jaxgen.speech.mel import Mel
from jaxgen.types import Array

KEPT = "speech.json"
FULL = 32767
"""The int16 that stands for 1."""
PAUSE = 0.25
"""Seconds between sounds that stand in one file."""
SHOWN = 8
"""Sounds, and spectrograms in a row, of a preview."""

_WINDOW = 0.032  # s, of the spectrograms that raw waveforms are shown and judged by
_BANDS = 40
_AT_ONCE = 8  # spectrograms by Griffin-Lim: always as many, so that a sample's bits don't depend on how many there are
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def mel_of(cfg: Config) -> Mel:
    """The spectrograms of a config. Raises `UserError` where its numbers do not fit."""
    model = cfg.model
    if isinstance(model, Vocoder):
        return Mel(model.rate, model.window, model.hop, model.mels)
    if isinstance(model, Spectrogram):
        return Mel(model.rate, model.window, model.hop, cfg.shape[1])
    assert isinstance(model, Wave)
    window = 1 << round(math.log2(model.rate * _WINDOW))
    return Mel(model.rate, window, window // 4, _BANDS)


def check_model(cfg: Config, model: type, game: type) -> None:
    """Raises `UserError` where the config has another model or game."""
    if not isinstance(cfg.model, model):
        raise UserError(f"The domain {cfg.domain!r} has no model {type(cfg.model).__name__}; choose {model.__name__}.")
    if not isinstance(cfg.game, game):
        raise UserError(f"The domain {cfg.domain!r} is played by {game.__name__}, not {type(cfg.game).__name__}.")


def names(cfg: Config) -> dict[str, list[str]]:
    """{"words": ..., "voices": ...} of the config's data. Raises `UserError` where its classes are not all of both."""
    found = speech.recordings(cfg.data, "test", mel_of(cfg).rate, cfg.data_dir, cfg.download)
    words, voices, classes = len(found.names), len(found.voices), getattr(cfg.game, "classes", 0)
    if classes and classes != words * voices:
        raise UserError(
            f"{cfg.data} has {words} different words and {voices} different voices; use --game.classes "
            f"{words * voices}, one for each word of each voice."
        )
    return {"words": list(found.names), "voices": list(found.voices)}


def kept(cfg: Config) -> dict[str, str]:
    return {KEPT: json.dumps(names(cfg) | {"mel": dataclasses.asdict(mel_of(cfg))})}


def read_kept(run: Source) -> dict[str, Any]:
    """What a run keeps. Raises `UserError` where that is missing or damaged."""
    try:
        return json.loads(run.kept(KEPT))
    except ValueError as error:
        raise UserError(f"The run's {KEPT} is damaged ({error}). Go on with the run, which writes it anew.") from None


def kept_mel(kept: Mapping[str, str]) -> Mel:
    return Mel(**json.loads(kept[KEPT])["mel"])


def numbered(text: str, known: Sequence[str], what: str) -> int:
    """The number of what goes by a name, or by its number. Raises `UserError` with the nearest name."""
    name = str(_DIGITS.index(text.lower())) if text.lower() in _DIGITS else text
    alike = [i for i, other in enumerate(known) if other.lower() == name.lower()]
    if alike:
        return alike[0]
    if text.isdecimal() and int(text) < len(known):
        return int(text)
    raise UserError(f"The run knows no {what} {text!r}{nearest(text, known)}.")


def to_int16(x: Array | np.ndarray) -> np.ndarray:
    """Waveforms in [-1, 1] to int16; what lies outside is cut off."""
    return np.rint(np.clip(np.asarray(x), -1, 1) * FULL).astype(np.int16)


def log_mels(waves: np.ndarray, mel: Mel, chunk: int = 64) -> np.ndarray:
    """float [N, T] -> float32 [N, T // hop, bands]."""
    parts = [_log_mel(waves[i : i + chunk], mel=mel) for i in range(0, len(waves), chunk)]
    return np.concatenate([np.asarray(part) for part in parts])


@partial(jax.jit, static_argnames="mel")
def _log_mel(waves: Array, mel: Mel) -> Array:
    return mel.log_mel(waves)


def by_griffin_lim(x: np.ndarray, mel: Mel, seed: int) -> np.ndarray:
    """Log-mel spectrograms [N, F, bands] -> float32 [N, F hop]; the first m are the same for every N >= m."""
    x, parts = np.clip(np.asarray(x, np.float32), -1, 1), []
    for i, start in enumerate(range(0, len(x), _AT_ONCE)):
        some = x[start : start + _AT_ONCE]
        filled = np.concatenate([some, np.repeat(some[:1], _AT_ONCE - len(some), axis=0)])
        parts.append(np.asarray(griffin_lim(filled, mel, jax.random.fold_in(jax.random.key(seed), i)))[: len(some)])
    return np.concatenate(parts)


def limited(waves: np.ndarray) -> np.ndarray:
    """float [N, T], each one that goes beyond 1 made quieter so that it does not."""
    return waves / np.maximum(1, np.abs(waves).max(axis=1, keepdims=True))


def write_wav(path: epath.Path, waves: Sequence[np.ndarray], rate: int) -> epath.Path:
    """Waveforms in [-1, 1], one after another with pauses."""
    pause = np.zeros(round(PAUSE * rate), np.float32)
    parts = [part for wave in waves for part in (wave, pause)]
    return files.write(path, pcm.to_wav(np.concatenate(parts[:-1]), rate))


def write_sheet(path: epath.Path, rows: Sequence[Sequence[np.ndarray] | np.ndarray]) -> epath.Path:
    """Rows of log-mel spectrograms [F, bands] as one picture."""
    return preview.write_png(path, picture.rows([[picture.spectrogram(x) for x in row] for row in rows]))


def in_rows(x: np.ndarray) -> list[np.ndarray]:
    return [x[i : i + SHOWN] for i in range(0, len(x), SHOWN)]
