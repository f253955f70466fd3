import sys

import librosa
import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.metrics import speech
from jaxgen.speech.mel import FLOOR, Mel, to_log

MEL = Mel()
RNG = np.random.default_rng(0)


def babble(seconds=3.2, rate=8000, seed=0):
    """Something like speech: syllables of harmonics under moving formants, with pauses and a little noise."""
    rng, t = np.random.default_rng(seed), np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * t)) / rate
    formant = 700 + 400 * np.sin(2 * np.pi * 1.3 * t)
    wave = sum(np.exp(-(((k * 120 - formant) / 300) ** 2)) * np.sin(k * phase) for k in range(1, 30))
    wave = wave * np.clip(np.sin(2 * np.pi * 2 * t), 0, 1) + 0.003 * rng.standard_normal(len(t))
    return (0.9 * wave / np.abs(wave).max()).astype(np.float32)


WAVE = babble()


def test_identical_waveforms():
    assert speech.mel_cepstral_distortion(WAVE, WAVE, MEL) == 0
    assert speech.multi_resolution_stft(WAVE, WAVE, 8000) == 0
    assert speech.stoi_of(WAVE, WAVE, 8000) == pytest.approx(1)


class Fixed:
    """A `Mel` that answers with these log-mel spectrograms."""

    bands = 40

    def __init__(self, decibels):
        self.decibels = decibels

    def log_mel(self, waves):
        return to_log(10 ** (-1 + np.asarray(self.decibels, np.float32) / 20))


@pytest.mark.parametrize("m", [1, 5, 13])
def test_mel_cepstral_distortion_by_hand(m):
    """Spectra that are 6 dB cos(...) apart have a root mean square distance of 6 / sqrt(2) dB."""
    apart = 6 * np.cos(np.pi * m * (np.arange(40) + 0.5) / 40)
    mel = Fixed([[apart, 0 * apart], [0 * apart, 0 * apart]])  # of two frames one is the same
    assert speech.mel_cepstral_distortion(WAVE, WAVE, mel) == pytest.approx(6 / np.sqrt(2) / 2, rel=1e-4)


def test_mel_cepstral_distortion_hears_neither_gain_nor_fine_structure():
    fine = 6 * np.cos(np.pi * 14 * (np.arange(40) + 0.5) / 40)
    assert speech.mel_cepstral_distortion(WAVE, WAVE, Fixed([[fine], [0 * fine]])) == pytest.approx(0, abs=1e-4)
    loud = WAVE + 0.1 * np.random.default_rng(1).standard_normal(len(WAVE)).astype(np.float32)  # above the floor
    assert speech.mel_cepstral_distortion(loud, loud / 2, MEL) == pytest.approx(0, abs=1e-3)


def test_mel_cepstral_distortion_of_waveforms():
    """The root mean square of the differences in dB, of which only cosines 1 to 13 are left."""
    other = babble(seed=1)
    log = [20 * (FLOOR + (np.asarray(MEL.log_mel(w[None]), np.float64)[0] + 1) * 2.25) for w in (WAVE, other)]
    cosines = np.cos(np.pi * np.outer(np.arange(40) + 0.5, np.arange(1, 14)) / 40)  # orthogonal, of length sqrt(20)
    smooth = (log[0] - log[1]) @ cosines @ cosines.T / 20
    expected = np.sqrt(np.square(smooth).mean(1)).mean()
    assert speech.mel_cepstral_distortion(WAVE, other, MEL) == pytest.approx(expected, rel=1e-3)


def test_multi_resolution_stft_by_hand():
    """Of twice the waveform: |A - 2 A| / |A| = 1, and |ln A - ln 2 A| = ln 2, at every resolution."""
    loud = RNG.standard_normal(4000).astype(np.float32)
    assert speech.multi_resolution_stft(loud, 2 * loud, 8000) == pytest.approx(1 + np.log(2), rel=1e-3)
    assert speech.multi_resolution_stft(loud, loud / 2, 8000) == pytest.approx(0.5 + np.log(2), rel=1e-3)


def test_multi_resolution_stft_is_what_librosa_has():
    a, b = (RNG.standard_normal(4000).astype(np.float32) for _ in range(2))
    total = 0
    for window, fft in ((80, 128), (200, 256), (400, 512)):
        # librosa puts a short window in the middle of the transform, so cut out what it would see.
        padded = [np.pad(x, (fft - window) // 2) for x in (a, b)]
        true, made = (
            np.abs(librosa.stft(x, n_fft=fft, win_length=window, hop_length=window // 5, center=False)) for x in padded
        )
        total += np.linalg.norm(true - made) / np.linalg.norm(true)
        total += np.abs(np.log(np.maximum(true, 1e-7**0.5)) - np.log(np.maximum(made, 1e-7**0.5))).mean()
    assert speech.multi_resolution_stft(a, b, 8000) == pytest.approx(total / 3, rel=1e-3)


def test_worse_is_worse():
    noise = np.random.default_rng(1).standard_normal(len(WAVE)).astype(np.float32)
    little, much = WAVE + 0.003 * noise, WAVE + 0.1 * noise
    assert speech.stoi_of(WAVE, much, 8000) < speech.stoi_of(WAVE, little, 8000) < 1
    for distance in (
        lambda b: speech.mel_cepstral_distortion(WAVE, b, MEL),
        lambda b: speech.multi_resolution_stft(WAVE, b, 8000),
    ):
        assert 0 < distance(little) < distance(much)


def test_pesq():
    pytest.importorskip("pesq", reason="pesq is compiled when it is installed, which takes a C compiler")
    assert speech.pesq_of(WAVE, WAVE, 8000) == pytest.approx(4.549, abs=1e-3)  # the best there is, in narrow bands
    noise = np.random.default_rng(1).standard_normal(len(WAVE)).astype(np.float32)
    little, much = (speech.pesq_of(WAVE, WAVE + gain * noise, 8000) for gain in (0.01, 0.2))
    assert 1 <= much < little < 4.5
    wide = babble(rate=16000)
    assert speech.pesq_of(wide, wide, 16000) == pytest.approx(4.644, abs=1e-3)
    assert speech.pesq_of(babble(rate=22050), babble(rate=22050), 22050) == pytest.approx(4.644, abs=1e-3)
    with pytest.raises(UserError, match="PESQ cannot compare with silence"):
        speech.pesq_of(0 * WAVE, WAVE, 8000)


def test_pesq_finds_no_speech(monkeypatch):
    pesq = pytest.importorskip("pesq", reason="pesq is compiled when it is installed, which takes a C compiler")

    def none(*_):
        raise pesq.NoUtterancesError("No utterances detected")

    monkeypatch.setattr(pesq, "pesq", none)
    with pytest.raises(UserError, match=r"PESQ cannot compare these waveforms \(No utterances"):
        speech.pesq_of(WAVE, WAVE, 8000)


def test_stoi_of_silence():
    with pytest.raises(UserError, match="STOI cannot compare"):
        speech.stoi_of(np.concatenate([WAVE[:1000], np.zeros(23000)]), np.zeros(24000), 8000)


@pytest.mark.parametrize(("call", "package"), [(speech.pesq_of, "pesq"), (speech.stoi_of, "pystoi")])
def test_missing_packages(call, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf'^{package} is needed for .*pip install "jaxgen\[speech\]"'):
        call(WAVE, WAVE, 8000)


def test_joined():
    waves = [np.full(n, i) for i, n in enumerate((3, 2, 4, 1, 1, 2))]
    pieces = speech.joined(waves, 1, 5)
    assert [piece.tolist() for piece in pieces] == [[0, 0, 0, 1, 1], [2, 2, 2, 2, 3, 4, 5, 5]]
    with pytest.raises(UserError, match="less than 20 s together"):
        speech.joined(waves, 1, 20)


def test_bad_calls():
    short = np.zeros(100, np.float32)
    for call in (
        lambda a, b: speech.mel_cepstral_distortion(a, b, MEL),
        lambda a, b: speech.multi_resolution_stft(a, b, 8000),
        lambda a, b: speech.stoi_of(a, b, 8000),
    ):
        for a, b in ((WAVE, WAVE[1:]), (WAVE[None], WAVE[None]), (short[:0], short[:0])):
            with pytest.raises(UserError, match=r"must be \[T\]"):
                call(a, b)
        with pytest.raises(UserError, match="not numbers"):
            call(WAVE, np.where(WAVE > 0.5, np.nan, WAVE))
    with pytest.raises(UserError, match="too short"):
        speech.multi_resolution_stft(short, short, 8000)
    with pytest.raises(UserError, match=r"1\.00 s are too short"):
        speech.stoi_of(WAVE[:8000], WAVE[:8000], 8000)
    with pytest.raises(UserError, match="take more bands"):
        speech.mel_cepstral_distortion(WAVE, WAVE, Mel(bands=13))
