import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.music.roll import from_pitches
from jaxgen.music.sound import synthesise


@pytest.mark.parametrize(("pitch", "hertz"), [(69, 440.0), (57, 220.0), (60, 261.626), (108, 4186.01)])
def test_a_pitch_has_its_frequency(pitch, hertz):
    sound = synthesise(from_pitches([[pitch]] * 4), 1, bpm=120)
    assert sound.dtype == np.float32
    assert len(sound) == 2 * 22050 + round(0.06 * 22050)
    spectrum = np.abs(np.fft.rfft(sound[: 2 * 22050] * np.hanning(2 * 22050)))
    assert spectrum.argmax() / 2 == pytest.approx(hertz, abs=0.5)


def test_notes_sound_when_they_are_due():
    roll = from_pitches([[], [60], [], [72, 76]])
    sound = synthesise(roll, 2, bpm=60, rate=8000)  # half a second a slice
    strength = np.sqrt(np.square(sound[:16000].reshape(4, 4000)).mean(1))
    assert (strength > 0.01).tolist() == [False, True, True, True]  # the third has the release of the second
    assert not sound[:4000].any()
    assert not sound[8000 + round(0.06 * 8000) : 12000].any()


def test_it_is_as_loud_as_it_may_be_and_silence_is_silence():
    for pitches in ([60], [21], [30, 50, 60, 70, 80, 90]):
        assert np.abs(synthesise(from_pitches([pitches] * 4), 4)).max() == pytest.approx(0.9)
    silent = synthesise(from_pitches([[]] * 4), 4)
    assert len(silent) > 0
    assert not silent.any()
    assert not synthesise(np.zeros((0, 88), np.uint8), 4).any()


def test_nothing_clicks():
    """The sound above the highest harmonic of a low note, 600 Hz: a click has all frequencies."""
    rate, slices = 22050, [[45], [], [45], [47], [], [47], [45]]
    sound = synthesise(from_pitches(slices), 2, 90, rate)
    assert sound[0] == 0
    assert np.abs(sound[-1]) < 1e-3
    clicking = np.where(np.arange(len(sound)) // 7000 % 2 == 0, sound, 0)  # cut off in mid-note

    def above(x):
        spectrum = np.square(np.abs(np.fft.rfft(x)))
        return spectrum[round(3000 * len(x) / rate) :].sum() / spectrum.sum()

    assert above(sound) < 1e-7
    assert above(clicking) > 1e-5


def test_high_notes_have_no_alias():
    sound = synthesise(from_pitches([[108]] * 8), 4, 60, rate=10000)  # 4186 Hz; its second harmonic would fold to 1628
    spectrum = np.abs(np.fft.rfft(sound[: 2 * 10000]))
    assert spectrum[2 * 1600 : 2 * 1660].max() < 1e-3 * spectrum.max()


def test_bad_calls():
    roll = from_pitches([[60]])
    with pytest.raises(UserError, match=r"bpm.*, not 0"):
        synthesise(roll, 4, bpm=0)
    with pytest.raises(UserError, match="A rate of 100 is not 4,000 to 192,000 samples"):
        synthesise(roll, 4, rate=100)
    with pytest.raises(UserError, match="grid"):
        synthesise(roll, 0)
    with pytest.raises(UserError, match="shape"):
        synthesise(roll[0], 4)
