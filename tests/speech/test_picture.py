import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.speech.picture import rows, spectrogram


def test_low_frequencies_are_at_the_bottom_and_time_goes_right():
    log_mel = np.full((5, 3), -1.0)
    log_mel[4, 0] = 1  # the last frame, the lowest band
    picture = spectrogram(log_mel, 2)
    assert picture.shape == (6, 10, 3)
    assert picture.dtype == np.uint8
    lit = (picture == (254, 248, 214)).all(2)
    expected = np.zeros((6, 10), bool)
    expected[4:, 8:] = True
    np.testing.assert_array_equal(lit, expected)
    assert (picture[~lit] == (8, 8, 22)).all()


def test_louder_is_brighter_in_even_steps():
    row = spectrogram(np.linspace(-1, 1, 33)[:, None], 1)[0] / 255
    linear = np.where(row > 0.04045, ((row + 0.055) / 1.055) ** 2.4, row / 12.92) @ (0.2126, 0.7152, 0.0722)
    lightness = np.where(linear > 0.008856, 116 * np.cbrt(linear) - 16, 903.3 * linear)  # CIE L*
    steps = np.diff(lightness)
    assert steps.min() > 0.5 * steps.mean()
    assert steps.max() < 2 * steps.mean()


def test_what_lies_outside_is_cut_off():
    np.testing.assert_array_equal(
        spectrogram(np.array([[-5.0, 5.0, np.nan]])), spectrogram(np.array([[-1.0, 1.0, -1.0]]))
    )


def test_rows():
    wide, small = np.zeros((4, 6, 3), np.uint8), np.full((2, 3, 3), 9, np.uint8)
    sheet = rows([[small, wide], [wide]], gap=1)
    assert sheet.shape == (4 + 1 + 4, 6 + 1 + 6, 3)
    assert (sheet[:2, :3] == 9).all()
    assert (sheet[2:4, :6] == 255).all()
    assert (sheet[:4, 7:] == 0).all()
    assert (sheet[4] == 255).all()
    assert (sheet[5:, :6] == 0).all()
    assert (sheet[5:, 6:] == 255).all()


def test_bad_calls():
    for wrong in (np.zeros(3), np.zeros((0, 3)), np.zeros((1, 2, 3))):
        with pytest.raises(UserError, match=r"\[frames, bands\]"):
            spectrogram(wrong)
    with pytest.raises(UserError, match="by 0"):
        spectrogram(np.zeros((2, 2)), 0)
    with pytest.raises(UserError, match="no spectrograms"):
        rows([[]])
