"""Degradations: what they do to known images, by whose key, and under which transformations."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgen.degrade import Degrade, degradation
from jaxgen.errors import UserError

KEYS = jax.random.split(jax.random.key(0), 300)
NAMES = ("downsample-2", "noise-25", "holes-15")
QUICK = {"xla_backend_optimization_level": 0}  # they run a few times: the compiler's time is what counts


@cache
def jitted(name):
    return jax.jit(degradation(name), compiler_options=QUICK)


def noise(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, shape), jnp.float32)


def test_names():
    assert degradation("downsample-2") == Degrade("downsample", 2)
    assert degradation("noise-25") == Degrade("noise", 25)
    assert degradation("holes-15") == Degrade("holes", 15)
    assert [(degradation(n).scale, degradation(n).masked) for n in NAMES] == [(2, False), (1, False), (1, True)]
    assert degradation("downsample-4").scale == 4


@pytest.mark.parametrize(
    "name", ["", "downsample", "blur-3", "noise-0", "noise--5", "noise-2.5", "holes-", "noise-1000", "noise-25\n"]
)
def test_unknown_names(name):
    with pytest.raises(UserError, match=r"no degradation .*; choose downsample-2 .*noise-25 .*holes-15"):
        degradation(name)


def test_one_times_smaller_changes_nothing():
    with pytest.raises(UserError, match="downsample-1 changes nothing; use downsample-2 or more"):
        degradation("downsample-1")


def test_equal_values_may_be_static():
    assert degradation("holes-15") == degradation("holes-15") != degradation("holes-16")
    assert hash(degradation("holes-15")) == hash(degradation("holes-15"))
    step = jax.jit(lambda x, keys, spoil: spoil(x, keys), static_argnames="spoil", compiler_options=QUICK)
    for _ in range(2):
        step(noise(1, 8, 8, 1), KEYS[:1], spoil=degradation("noise-5"))
    assert step._cache_size() == 1


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_downsampling_is_pillows_away_from_the_edges(scale):
    """Pillow's bicubic kernel is the same Keys cubic (a = -1/2), widened by the scale; at the edges it differs."""
    x = np.asarray(noise(2, 48, 36, 1))
    small = np.asarray(jitted(f"downsample-{scale}")(x, KEYS[:2]))
    assert small.shape == (2, 48 // scale, 36 // scale, 1)
    for image, found in zip(x, small, strict=True):
        picture = Image.fromarray(image[..., 0]).resize((36 // scale, 48 // scale), Image.Resampling.BICUBIC)
        np.testing.assert_allclose(found[2:-2, 2:-2, 0], np.asarray(picture)[2:-2, 2:-2], atol=1e-5)


def test_noise_has_the_stated_deviation_and_is_8_bit():
    grey = jnp.zeros((64, 16, 16, 1))
    y = np.asarray(jitted("noise-25")(grey, KEYS[:64]), np.float64)
    levels = (y + 1) * 127.5
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-4)
    n = levels.size
    assert abs(levels.std() - np.sqrt(25**2 + 1 / 12)) < 4 * 25 / np.sqrt(2 * n)  # rounding adds 1/12
    assert abs(levels.mean() - 127.5) < 4 * 25 / np.sqrt(n)
    pairs = (levels - 127.5)[:, :, 1:] * (levels - 127.5)[:, :, :-1]
    assert abs(pairs.mean()) < 4 * 25**2 / np.sqrt(pairs.size)  # white


def test_noise_is_cut_off_at_black_and_white():
    x = jnp.concatenate([jnp.full((32, 16, 16, 1), -1.0), jnp.full((32, 16, 16, 1), 1.0)])
    y = np.asarray(jitted("noise-25")(x, KEYS[:64]))
    np.testing.assert_allclose([y.min(), y.max()], [-1, 1], atol=1e-6)
    assert 0.45 < (np.abs(y - x) < 1e-6).mean() < 0.55  # half of it went beyond


@pytest.mark.parametrize(("height", "width"), [(9, 16), (1, 2)])
def test_holes_leave_something_and_take_something(height, width):
    x = noise(300, height, width, 3) + 2  # nowhere 0
    y = np.asarray(jitted("holes-15")(x, KEYS))
    assert y.shape == (300, height, width, 4)
    mask = y[..., 3]
    assert set(np.unique(mask)) == {0, 1}
    assert (mask.max((1, 2)) == 1).all()
    assert (mask.min((1, 2)) == 0).all()
    np.testing.assert_array_equal(y[..., :3], np.where(mask[..., None] == 1, 0, x))


def test_wider_strokes_make_larger_holes_that_hang_together():
    x = jnp.ones((100, 32, 32, 1))
    thin, wide = (np.asarray(jitted(f"holes-{n}")(x, KEYS[:100]))[..., 1] for n in (3, 20))
    assert (wide >= thin).mean() > 0.999  # the same lines; but one pixel is always left
    assert 0.02 < thin.mean() < 0.2 < wide.mean() < 0.7
    beside = np.zeros_like(wide)
    for axis in (1, 2):
        for by in (1, -1):
            beside = np.maximum(beside, np.roll(wide, by, axis))
    assert beside[wide == 1].mean() > 0.99
    assert len(np.unique(wide.reshape(100, -1), axis=0)) == 100


@pytest.mark.parametrize("name", NAMES)
def test_only_an_examples_own_key_matters(name):
    x, f = noise(8, 8, 8, 1), jitted(name)
    y = np.asarray(f(x, KEYS[:8]))
    np.testing.assert_array_equal(f(x, KEYS[:8]), y)
    np.testing.assert_allclose(f(x[:3], KEYS[:3]), y[:3], atol=1e-6)
    order = np.array([3, 1, 7, 0, 2, 5, 4, 6])
    np.testing.assert_allclose(f(x[order], KEYS[order]), y[order], atol=1e-6)
    changed = np.abs(np.asarray(f(x, KEYS[8:16])) - y).max((1, 2, 3)) > 1e-3
    assert changed.all() == (name != "downsample-2")
