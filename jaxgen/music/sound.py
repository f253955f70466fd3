"""Piano rolls to sound: an organ-like tone from a few harmonics, by additive synthesis."""

import numpy as np

from jaxgen.errors import UserError
from jaxgen.music.roll import LOWEST, PITCHES, check, check_bpm, check_grid, notes

PEAK = 0.9

_RATES = (4000, 192000)
_HARMONICS = (1.0, 0.5, 0.33, 0.18, 0.1, 0.05)
_ATTACK = 0.012  # s, in which a note comes
_RELEASE = 0.06  # s, in which it dies away behind its last slice
_DECAY = 1.2  # s, in which a held note falls from 1 towards `_SUSTAIN` by a factor of e
_SUSTAIN = 0.35


def synthesise(roll: np.ndarray, grid: int, bpm: float = 90, rate: int = 22050) -> np.ndarray:
    """uint8 [T, 88] -> float32 [samples] in [-1, 1], `rate` of them a second.

    Slice t begins at 60 t / (bpm grid) seconds; behind the last one, the release of its notes is heard. A' (MIDI pitch
    69) is 440 Hz, in equal temperament; harmonics above half the rate are left out. The loudest sample is `PEAK` or
    -`PEAK`; silence stays silence. Notes come and go in some hundredths of a second, so that nothing clicks. Raises
    `UserError` on what is no roll, a grid or tempo out of range, and a rate outside
    4,000 to 192,000.
    """
    if not _RATES[0] <= rate <= _RATES[1]:
        raise UserError(f"A rate of {rate} is not {_RATES[0]:,} to {_RATES[1]:,} samples a second.")
    per_slice = 60 * rate / (check_bpm(bpm) * check_grid(grid))  # samples
    total = round(len(check(roll)) * per_slice) + round(_RELEASE * rate)
    tones, sound = {}, np.zeros(total, np.float32)
    for pitch, first, slices in notes(roll):
        start, held = round(first * per_slice), round((first + slices) * per_slice) - round(first * per_slice)
        envelope = _envelope(held, rate)
        if pitch not in tones or len(tones[pitch]) < len(envelope):
            tones[pitch] = _tone(pitch, len(envelope), rate)
        sound[start : start + len(envelope)] += tones[pitch][: len(envelope)] * envelope
    loudest = np.abs(sound).max(initial=0)
    return sound * np.float32(PEAK / loudest) if loudest else sound


def _tone(pitch: int, samples: int, rate: int) -> np.ndarray:
    """float32 [samples]: the harmonics of a pitch, all starting at 0."""
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    phase = 2 * np.pi * frequency / rate * np.arange(samples)
    kept = [(k, a) for k, a in enumerate(_HARMONICS, 1) if k * frequency < rate / 2]
    # Low pitches sound weaker than high ones of the same strength.
    gain = 2 ** ((LOWEST + PITCHES / 2 - pitch) / 36)
    return (gain * sum((a * np.sin(k * phase) for k, a in kept), np.zeros(samples))).astype(np.float32)


def _envelope(held: int, rate: int) -> np.ndarray:
    """float32 [held + release]: from 0 up, slowly down while it is held, and to 0 again."""
    release = round(_RELEASE * rate)
    n = np.arange(held + release)
    body = _SUSTAIN + (1 - _SUSTAIN) * np.exp(-n / (_DECAY * rate))
    up = np.clip(n / max(1, _ATTACK * rate), 0, 1)
    down = np.clip((held + release - n) / max(1, release), 0, 1)
    smooth = [0.5 - 0.5 * np.cos(np.pi * x) for x in (up, down)]
    return (body * smooth[0] * smooth[1]).astype(np.float32)
