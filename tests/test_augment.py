from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxgen import augment
from jaxgen.augment import augmentation
from jaxgen.errors import UserError

ALL = "color+translation+cutout+flip"
KEYS = jax.random.split(jax.random.key(0), 64)
ON = jnp.float32(1)


@cache
def jitted(names):
    return jax.jit(augmentation(names))


def noise(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, shape), jnp.float32)


def ramps(n, height, width):
    """[n, height, width, 1]: every pixel another number, none 0."""
    return jnp.broadcast_to(jnp.arange(1.0, height * width + 1).reshape(1, height, width, 1), (n, height, width, 1))


def shifted(image, down, right):
    """`image` [H, W, C] rolled, what came round set to 0."""
    out = np.roll(image, (down, right), (0, 1))
    out[slice(0, down) if down >= 0 else slice(down, None)] = 0
    out[:, slice(0, right) if right >= 0 else slice(right, None)] = 0
    return out


@pytest.mark.parametrize("channels", [1, 3])
def test_color_by_the_formula(channels):
    x, u = noise(2, 4, 5, channels), np.array([[0.9, 0.25, 0.1], [0.2, 0.8, 0.7]])
    found = augment._colored(x, jnp.asarray(u), jnp.ones((2, 3), bool))
    for image, (b, s, c), y in zip(np.asarray(x), u, found, strict=True):
        image = image + b - 0.5
        if channels == 3:
            grey = image.mean(2, keepdims=True)
            image = grey + 2 * s * (image - grey)
        np.testing.assert_allclose(y, image.mean() + (c + 0.5) * (image - image.mean()), atol=1e-6)


def test_each_part_of_color_has_its_gate():
    x = jnp.array([[[[0.0, 0.5, 1.0]], [[-1.0, -1.0, -1.0]]]])  # two pixels of means 0.5 and -1; image -0.25
    u = jnp.array([[0.75, 0.25, 0.0]])  # brightness + 0.25, saturation * 0.5, contrast * 0.5
    by_hand = {
        (True, False, False): [0.25, 0.75, 1.25, -0.75],
        (False, True, False): [0.25, 0.5, 0.75, -1.0],
        (False, False, True): [-0.125, 0.125, 0.375, -0.625],
        (False, False, False): [0.0, 0.5, 1.0, -1.0],
    }
    for gates, expected in by_hand.items():
        y = augment._colored(x, u, jnp.array([gates]))
        np.testing.assert_allclose(y.ravel()[:4], expected, atol=1e-6)


def test_placed_equals_rolls_with_zeros():
    x = np.asarray(noise(4, 16, 24, 2))
    by = np.array([[2, -3], [-2, 3], [0, 1], [1, 0]])
    hole = np.array([[3, 20], [-4, -6], [99, 99], [8, 12]])  # 8 x 12, partly and wholly outside
    mirrored = np.array([False, True, True, False])
    y = augment._placed(x, by, hole, mirrored)
    for i in range(4):
        expected = shifted(x[i, :, ::-1] if mirrored[i] else x[i], *by[i])
        expected[max(hole[i, 0], 0) : max(hole[i, 0] + 8, 0), max(hole[i, 1], 0) : max(hole[i, 1] + 12, 0)] = 0
        np.testing.assert_array_equal(y[i], expected)


def test_translations_are_all_those_up_to_an_eighth():
    x = ramps(512, 16, 8)
    y = np.asarray(jitted("translation")(x, jax.random.split(jax.random.key(1), 512), ON))
    known = {shifted(np.asarray(x[0]), a, b).tobytes() for a in range(-2, 3) for b in range(-1, 2)}
    assert {image.tobytes() for image in y} == known


@pytest.mark.parametrize(("n", "side", "centres"), [(6, 3, 6), (8, 4, 9)])
def test_cutout_takes_half_around_any_centre(n, side, centres):
    y = np.asarray(jitted("cutout")(ramps(400, n, n), jax.random.split(jax.random.key(2), 400), ON))[..., 0]
    seen = set()
    for image in y:
        rows, columns = np.flatnonzero((image == 0).any(1)), np.flatnonzero((image == 0).any(0))
        assert (image == 0).sum() == len(rows) * len(columns)  # a rectangle
        np.testing.assert_array_equal(image[image != 0], np.asarray(ramps(1, n, n))[0, ..., 0][image != 0])
        seen.add((rows[0], rows[-1] + 1))
    first = range(-(side // 2), centres - side // 2)
    assert seen == {(max(f, 0), min(f + side, n)) for f in first}


def test_flip_is_a_coin():
    x = ramps(256, 3, 4)
    y = np.asarray(jitted("flip")(x, jax.random.split(jax.random.key(3), 256), ON))
    turned = (y == np.asarray(x)[:, :, ::-1]).all((1, 2, 3))
    np.testing.assert_array_equal(y[~turned], x[~turned])
    assert 0.4 < turned.mean() < 0.6  # within 3 deviations


def test_p_is_the_share_of_examples_touched():
    x, keys = ramps(1000, 8, 8), jax.random.split(jax.random.key(4), 1000)
    for p in (0.2, 0.7):
        y = jitted("cutout")(x, keys, jnp.float32(p))
        assert abs((y != x).any((1, 2, 3)).mean() - p) < 0.05  # 3 deviations are at most .047


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_p_0_is_the_identity_to_the_bit(dtype):
    x = noise(64, 5, 7, 3).astype(dtype).at[0, 0, 0].set(-0.0)
    y = jitted(ALL)(x, KEYS, jnp.float32(0))
    assert y.dtype == dtype
    assert np.asarray(y).tobytes() == np.asarray(x).tobytes()


def test_only_an_examples_own_key_matters():
    x, f = noise(64, 8, 8, 3), jitted(ALL)
    y = f(x, KEYS, jnp.float32(0.7))
    assert len(np.unique(np.asarray(f(jnp.broadcast_to(x[:1], x.shape), KEYS, ON)).reshape(64, -1), axis=0)) == 64
    order = np.random.default_rng(0).permutation(64)
    np.testing.assert_allclose(f(x[order], KEYS[order], jnp.float32(0.7)), y[order], atol=1e-6)
    np.testing.assert_allclose(f(x[8:16], KEYS[8:16], jnp.float32(0.7)), y[8:16], atol=1e-6)


def test_an_operations_draws_do_not_depend_on_the_others():
    x = ramps(64, 8, 8)
    alone, joined = (jitted(names)(x, KEYS, jnp.float32(0.5)) for names in ("cutout", "flip+cutout"))
    np.testing.assert_array_equal(alone == 0, joined == 0)


def test_gradients_are_finite_differences():
    x, c = noise(6, 8, 6, 3), noise(6, 8, 6, 3, seed=1)

    def loss(x):
        return jnp.sum(c * augmentation(ALL)(x, KEYS[:6], ON) ** 3)

    check_grads(jax.jit(loss), (x,), order=2, modes=("rev",), atol=2e-2, rtol=2e-2, eps=1e-2)


def test_the_gradient_is_the_transpose():
    """<c, A x> - <c, A 0> = <A' c, x> for an affine A, whatever was drawn."""
    x, c = noise(64, 9, 14, 3), noise(64, 9, 14, 3, seed=1)

    @jax.jit
    def value_and_pulled(x):
        y, pull = jax.vjp(lambda x: augmentation(ALL)(x, KEYS, jnp.float32(0.8)), x)
        return (c * y).sum((1, 2, 3)), pull(c)[0]

    (value, pulled), (offset, _) = value_and_pulled(x), value_and_pulled(jnp.zeros_like(x))
    np.testing.assert_allclose(value - offset, (pulled * x).sum((1, 2, 3)), atol=1e-3)


def test_under_every_transformation():
    x, p = noise(8, 8, 8, 1), jnp.float32(0.6)

    def both(x, keys):
        y, pull = jax.vjp(lambda x: augmentation(ALL)(x, keys, p), x)
        return y, pull(y)[0]

    expected = jax.jit(both)(x, KEYS[:8])
    for mapped in (jax.jit(jax.vmap(both)), jax.pmap(both)):
        found = mapped(x.reshape(2, 4, 8, 8, 1), KEYS[:8].reshape(2, 4))
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a.reshape(b.shape), b, atol=1e-5)


def test_equal_names_are_equal_values():
    assert augmentation("flip+color") == augmentation("color+flip")
    assert hash(augmentation(ALL)) == hash(augmentation(ALL))
    assert augmentation("flip") != augmentation("color")
    x = noise(2, 4, 4, 1)
    assert augmentation("")(x, KEYS[:2], ON) is x


@pytest.mark.parametrize(
    ("names", "said"), [("colour", "no augmentation 'colour'; did you mean 'color'"), ("flip+", "choose from color")]
)
def test_unknown_names(names, said):
    with pytest.raises(UserError, match=said):
        augmentation(names)


def test_other_shapes_are_refused():
    for x, keys in ((jnp.zeros((2, 4, 4)), KEYS[:2]), (jnp.zeros((2, 4, 4, 1)), KEYS[:3])):
        with pytest.raises(ValueError, match="must be"):
            augmentation(ALL)(x, keys, ON)
