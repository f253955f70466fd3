import jax
import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.speech.griffin_lim import griffin_lim, magnitudes
from jaxgen.speech.mel import Mel, from_log, to_log

MEL = Mel()
log_mel_of = jax.jit(MEL.log_mel)


def vowel(seconds=0.512, pitch=120):
    """[1, T]: harmonics of a gliding pitch under two formants, swelling and dying away."""
    t = np.arange(round(seconds * 8000)) / 8000
    phase = 2 * np.pi * pitch * (t + 0.2 * t**2)
    gains = [
        np.exp(-(((k * pitch - 600) / 300) ** 2)) + 0.5 * np.exp(-(((k * pitch - 1800) / 400) ** 2)) for k in range(30)
    ]
    wave = sum(gain * np.sin(k * phase) for k, gain in enumerate(gains)) * np.sin(np.pi * t / seconds) ** 2
    return (0.9 * wave / np.abs(wave).max())[None].astype(np.float32)


def test_it_has_the_spectrogram_asked_for():
    log_mel = log_mel_of(vowel())
    wave = griffin_lim(log_mel, MEL, jax.random.key(0))
    assert wave.shape == (1, 4096)
    assert wave.dtype == np.float32
    apart = np.abs(np.asarray(log_mel_of(wave) - log_mel))
    none = np.abs(np.asarray(log_mel_of(griffin_lim(log_mel, MEL, jax.random.key(0), 0)) - log_mel))
    assert apart.mean() < 0.05  # of a range of 2
    assert apart.mean() < 0.5 * none.mean()


def test_the_same_key_the_same_wave():
    log_mel = log_mel_of(vowel(0.128))
    first, again, other = (np.asarray(griffin_lim(log_mel, MEL, jax.random.key(i), 5)) for i in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_silence_stays_silent():
    wave = griffin_lim(np.full((1, 16, 40), -1, np.float32), MEL, jax.random.key(0), 5)
    assert not np.asarray(wave).any()


def test_magnitudes_are_of_the_mel_amplitudes_and_not_negative():
    spectrum = np.abs(np.random.default_rng(0).standard_normal((1, 3, 129))).astype(np.float32)
    amplitude = spectrum @ MEL.filters()
    found = magnitudes(to_log(amplitude), MEL)
    assert found.min() >= 0
    np.testing.assert_allclose(found @ MEL.filters(), amplitude, rtol=0.02)
    np.testing.assert_allclose(from_log(to_log(amplitude)), amplitude, rtol=1e-4)


def test_bad_calls():
    for shape in ((8, 40), (1, 8, 39), (1, 1, 40)):
        with pytest.raises(UserError, match=r"\[B, F, 40\]"):
            griffin_lim(np.zeros(shape, np.float32), MEL, jax.random.key(0))
