import numpy as np
import pytest
from PIL import Image

from jaxgen.data.transforms import check_shape, fit, fit_all
from jaxgen.errors import UserError

RNG = np.random.default_rng(0)


def lanczos(row: np.ndarray, size: int) -> np.ndarray:
    """Lanczos-3 resampling of a row in float64, from its definition: support 3, stretched by the ratio of shrinking."""
    scale = len(row) / size
    stretch = max(scale, 1.0)
    centres = (np.arange(size) + 0.5) * scale
    x = (np.arange(len(row)) + 0.5 - centres[:, None]) / stretch
    weights = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
    return weights @ row / weights.sum(axis=1)


@pytest.mark.parametrize("size", [4, 5, 20])
def test_resizing_is_lanczos(size):
    row = RNG.integers(60, 200, 10).astype(np.uint8)
    image = np.broadcast_to(row[:, None], (10, 10))
    out = fit(image, (size, size, 1))
    expected = np.clip(lanczos(row.astype(float), size), 0, 255)
    np.testing.assert_allclose(out[..., 0], np.broadcast_to(expected[:, None], (size, size)), atol=1)


def test_shrinking_does_not_alias():
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255  # the finest grating: its mean is all that can be seen at an eighth of the size
    out = fit(stripes, (8, 8, 1)).astype(int)
    assert np.abs(out - 127.5).max() < 12


@pytest.mark.parametrize(
    ("size", "shape", "rows", "cols"),
    [
        ((4, 6), (4, 4, 1), slice(0, 4), slice(1, 5)),  # wide: from both sides
        ((7, 4), (4, 4, 1), slice(1, 5), slice(0, 4)),  # tall, odd: the left-over row goes below
        ((8, 8), (8, 4, 1), slice(0, 8), slice(2, 6)),  # a tall target
    ],
)
def test_a_centre_crop_of_the_right_size_keeps_its_pixels(size, shape, rows, cols):
    image = RNG.integers(0, 256, size).astype(np.uint8)
    np.testing.assert_array_equal(fit(image, shape)[..., 0], image[rows, cols])


def test_crop_comes_before_resize():
    image = np.zeros((4, 12), np.uint8)
    image[:, 4:8] = 200  # the centred square
    np.testing.assert_array_equal(fit(image, (2, 2, 1)), np.full((2, 2, 1), 200))


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 2)])
@pytest.mark.parametrize("shape", [(5, 5, 1), (1, 9, 3)])
def test_any_size_goes(size, shape):
    np.testing.assert_array_equal(fit(np.full(size, 77, np.uint8), shape), np.full(shape, 77))


def test_grey_is_the_601_luma():
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[255, 255, 255], [10, 20, 30], [0, 0, 0]]], np.uint8)
    expected = colours @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(fit(colours, (2, 3, 1))[..., 0], expected, atol=0.51)


def test_grey_becomes_rgb_by_repetition():
    image = RNG.integers(0, 256, (3, 3)).astype(np.uint8)
    np.testing.assert_array_equal(fit(image, (3, 3, 3)), np.repeat(image[..., None], 3, axis=2))


def test_transparency_is_laid_over_white():
    image = np.zeros((1, 3, 4), np.uint8)
    image[0, :, :3] = 100
    image[0, :, 3] = [0, 51, 255]  # clear, a fifth, solid
    np.testing.assert_allclose(fit(image, (1, 3, 3))[0, :, 0], [255, 0.2 * 100 + 0.8 * 255, 100], atol=1)


def test_other_kinds_of_image():
    grey = Image.fromarray(np.array([[0, 257, 65535, 300 * 257 // 2]], np.uint16))
    assert grey.mode == "I;16"
    assert fit(grey, (1, 4, 1)).ravel().tolist() == [0, 1, 255, 150]

    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.putdata([0, 1])
    assert fit(palette, (1, 2, 3)).tolist() == [[[255, 0, 0], [0, 0, 255]]]
    palette.info["transparency"] = 1
    assert fit(palette, (1, 2, 3)).tolist() == [[[255, 0, 0], [255, 255, 255]]]

    bits = Image.fromarray(np.array([[True, False]]))
    assert fit(bits, (1, 2, 1)).ravel().tolist() == [255, 0]
    assert fit(Image.new("LA", (1, 1), (9, 0)), (1, 1, 1)).item() == 255
    assert fit(Image.new("CMYK", (1, 1), (0, 255, 255, 0)), (1, 1, 3)).ravel().tolist() == [255, 0, 0]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("shape", [(4, 4, 1), (4, 4, 3), (6, 5, 3)])
def test_all_at_once_is_one_by_one(channels, shape):
    images = RNG.integers(0, 256, (3, 4, 4, channels)).astype(np.uint8)
    out = fit_all(images, shape)
    np.testing.assert_array_equal(out, np.stack([fit(image, shape) for image in images]))
    assert out.flags.c_contiguous


@pytest.mark.parametrize("image", [np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4)), np.zeros((2, 4, 4, 3), np.uint8)])
def test_arrays_that_are_no_image(image):
    with pytest.raises(UserError, match="1, 3 or 4 channels"):
        fit(image, (4, 4, 1))


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 2), (0, 28, 1), (28, 28, 4), (1, 28, 28, 1)])
def test_shapes_that_are_no_image(shape):
    with pytest.raises(UserError, match="height, width, channels"):
        check_shape(shape)
