"""PSNR by hand, and against scikit-image."""

import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.metrics.restoration import psnr

TRUTH = np.zeros((2, 2, 3, 1), np.uint8)


def test_by_hand():
    images = TRUTH.copy()
    images[0, 0, 0] = 255  # a sixth of the pixels, as far off as can be
    images[1] = 16  # all of them, by 16: 256 in the mean
    np.testing.assert_allclose(psnr(images, TRUTH), [10 * np.log10(6), 20 * np.log10(255 / 16)])
    np.testing.assert_allclose(psnr(TRUTH, images), psnr(images, TRUTH))  # nothing wraps below 0


def test_no_error_is_infinite():
    images = TRUTH.copy()
    images[1, 1, 1] = 1
    assert psnr(images, TRUTH)[0] == np.inf
    np.testing.assert_allclose(psnr(images, TRUTH)[1], 10 * np.log10(255**2 * 6))


def test_equals_scikit_image():
    from skimage.metrics import peak_signal_noise_ratio

    images, truth = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 6, 3), dtype=np.uint8)
    expected = [peak_signal_noise_ratio(t, i, data_range=255) for i, t in zip(images, truth, strict=True)]
    np.testing.assert_allclose(psnr(images, truth), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("images", "truth", "message"),
    [
        (TRUTH, TRUTH / 255, "truth is float64"),
        (TRUTH.astype(np.float32), TRUTH, "images is float32"),
        (TRUTH, TRUTH[:, :1], r"images has images of \(2, 3, 1\), expected \(1, 3, 1\)"),
        (TRUTH[:0], TRUTH[:0], r"truth is uint8 \(0, 2, 3, 1\)"),
        (TRUTH, TRUTH[0], r"truth is uint8 \(2, 3, 1\)"),
        (TRUTH, TRUTH[:1], "There are 2 images and 1 truths"),
    ],
)
def test_what_can_not_be_compared_is_refused(images, truth, message):
    with pytest.raises(UserError, match=message):
        psnr(images, truth)
