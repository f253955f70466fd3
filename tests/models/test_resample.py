"""Blur and resampling against their definitions: values, gradients of both orders, 1 to 3 axes, other platforms."""

from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from jaxgen.models import filters
from jaxgen.models.resample import DownConv, UpConv, average_down, bilinear_up, blur, nearest_up

SPACES = [(7,), (6, 5), (4, 5, 3)]
every_space = pytest.mark.parametrize("space", SPACES)


def inputs(space, batch=2, channels=3):
    return jnp.array(np.random.default_rng(0).normal(size=(batch, *space, channels)), jnp.float32)


def plain_blur(x, length, stride, padding):
    """Padded, then convolved with the outer product of the rows of Pascal's triangle, each channel by itself."""
    n, channels = x.ndim - 2, x.shape[-1]
    row = {1: [1], 2: [1, 1], 3: [1, 2, 1], 4: [1, 3, 3, 1], 5: [1, 4, 6, 4, 1]}[length]
    kernel = np.ones(())
    for _ in range(n):
        kernel = np.multiply.outer(kernel, np.array(row) / sum(row))
    kernel = jnp.broadcast_to(jnp.array(kernel, x.dtype)[..., None, None], (*kernel.shape, 1, channels))
    x = jnp.pad(
        x, [(0, 0), *[((length - 1) // 2, length // 2)] * n, (0, 0)], mode={"zero": "constant"}.get(padding, padding)
    )
    axes = "DHW"[:n]
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride,) * n,
        "VALID",
        dimension_numbers=(f"N{axes}C", f"{axes}IO", f"N{axes}C"),
        feature_group_count=channels,
    )


def plain_nearest(x):
    for axis in range(1, x.ndim - 1):
        x = jnp.repeat(x, 2, axis)
    return x


def plain_average(x):
    return nn.avg_pool(x, (2,) * (x.ndim - 2), (2,) * (x.ndim - 2))


def plain_bilinear(x):
    return jax.image.resize(x, (len(x), *(2 * n for n in x.shape[1:-1]), x.shape[-1]), "bilinear")


RESAMPLINGS = {
    "nearest": (nearest_up, plain_nearest),
    "average": (average_down, plain_average),
    "bilinear": (bilinear_up, plain_bilinear),
}


def curved(f):
    """A scalar of f(x) that all its entries enter, and not linearly."""

    def loss(x):
        y = f(x)
        return jnp.sum(jnp.sin(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape) * (y + 0.3 * y**3)), y

    return loss


def first(f):
    """(gradient, value): the scalar itself is a sum that cancels."""
    return jax.jit(jax.grad(curved(f), has_aux=True))


def second(f):
    return jax.jit(jax.grad(lambda x: jnp.sum(jax.grad(lambda x: curved(f)(x)[0])(x) ** 2)))


def assert_same(ours, plain, x):
    """Values, gradients and gradients of the squared gradient."""
    for order, tolerance in ((first, 1e-5), (second, 1e-4)):
        for a, b in zip(jax.tree.leaves(order(ours)(x)), jax.tree.leaves(order(plain)(x)), strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(float(jnp.abs(b).max()), 1))


def test_blur_by_hand():
    x = jnp.array([4.0, 0.0, 8.0, 4.0]).reshape(1, 4, 1)
    for options, expected in [
        ({}, [2, 3, 5, 6]),
        ({"padding": "zero"}, [2, 3, 5, 4]),
        ({"stride": 2}, [2, 5]),
        ({"length": 2, "padding": "zero"}, [2, 4, 6, 2]),
        ({"length": 1}, [4, 0, 8, 4]),
        ({"length": 4, "padding": "zero"}, [2.5, 4, 4.5, 2.5]),
    ]:
        np.testing.assert_allclose(blur(x, **options)[0, :, 0], expected, err_msg=str(options))


@every_space
@pytest.mark.parametrize("padding", ["zero", "reflect", "edge"])
@pytest.mark.parametrize(("length", "stride"), [(3, 1), (3, 2), (4, 1), (4, 2), (5, 2), (2, 1)])
def test_blur_is_a_depthwise_convolution(space, padding, length, stride):
    x = inputs(space)
    assert_same(lambda x: blur(x, length, stride, padding), lambda x: plain_blur(x, length, stride, padding), x)


def test_blur_of_an_axis_shorter_than_the_filter():
    x = inputs((2, 1))
    assert_same(lambda x: blur(x, 5, 1, "zero"), lambda x: plain_blur(x, 5, 1, "zero"), x)


def test_resampling_by_hand():
    x = jnp.array([4.0, 8.0]).reshape(1, 2, 1)
    np.testing.assert_allclose(nearest_up(x)[0, :, 0], [4, 4, 8, 8])
    np.testing.assert_allclose(bilinear_up(x)[0, :, 0], [4, 5, 7, 8])
    np.testing.assert_allclose(average_down(jnp.arange(10.0).reshape(1, 5, 2))[0], [[1, 2], [5, 6]])


@every_space
@pytest.mark.parametrize("name", RESAMPLINGS)
def test_resamplings_are_their_definitions(name, space):
    assert_same(*RESAMPLINGS[name], inputs(space))


@pytest.fixture
def elsewhere(monkeypatch):
    """The filters' form for other backends than CPU, which runs here too."""
    monkeypatch.setattr(filters.lax, "platform_dependent", lambda *args, cpu, default: default(*args))
    jax.clear_caches()
    yield
    jax.clear_caches()


@pytest.mark.usefixtures("elsewhere")
@every_space
def test_the_form_for_other_backends_is_the_same(space):
    x = inputs(space)
    blurs = {
        (padding, length, stride): (partial(blur, **options), partial(plain_blur, **options))
        for padding in ("zero", "reflect", "edge")
        for length, stride in ((3, 1), (4, 2), (2, 1))
        for options in [{"padding": padding, "length": length, "stride": stride}]
    }
    for name, (ours, plain) in (blurs | RESAMPLINGS).items():
        found, expected = (first(f)(x) for f in (ours, plain))
        for a, b in zip(found, expected, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, atol=1e-5, err_msg=str(name))


@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@every_space
@pytest.mark.parametrize("kind", ["up", "down"])
def test_folded_convolutions_are_the_plain_ones(kind, space, kernel):
    size = (kernel,) * len(space)
    x, plain = inputs(space), nn.Conv(5, size)
    ours = (UpConv if kind == "up" else DownConv)(5, size)
    shapes = jax.tree.map(jnp.shape, jax.jit(ours.init)(jax.random.key(0), x))
    given = jax.jit(plain.init)(jax.random.key(0), x)
    assert shapes == jax.tree.map(jnp.shape, given)
    given = {"params": given["params"] | {"bias": jnp.arange(5.0)}}

    def expected(given, x):
        return plain.apply(given, plain_nearest(x)) if kind == "up" else plain_average(plain.apply(given, x))

    assert_same(lambda x: ours.apply(given, x), lambda x: expected(given, x), x)
    grads = [jax.jit(jax.grad(lambda p, f=f: curved(lambda x: f(p, x))(x)[0]))(given) for f in (ours.apply, expected)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3), *grads)


def test_bf16_stays_bf16():
    x = inputs((6, 6)).astype(jnp.bfloat16)
    for f in (blur, lambda x: blur(x, 4, 2), nearest_up, average_down, bilinear_up):
        assert f(x).dtype == jnp.bfloat16
    layer = UpConv(3, dtype=jnp.bfloat16)
    assert layer.apply(layer.init(jax.random.key(0), x), x).dtype == jnp.bfloat16


def test_vmap_and_pmap_are_loops():
    x = inputs((6, 4), batch=4).reshape(2, 2, 6, 4, 3)
    f = lambda x: first(lambda x: bilinear_up(blur(x, 4, 2)))(x)[1]  # noqa: E731
    expected = jnp.stack([f(part) for part in x])
    for mapped in (jax.vmap(f)(x), jax.pmap(f)(x)):
        np.testing.assert_allclose(mapped, expected, atol=1e-5)


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("f", [blur, lambda x: blur(x, 4, 2), nearest_up, average_down, bilinear_up])
def test_they_lower_for_accelerators(f, platform):
    for order in (first, second):
        assert jax.export.export(order(f), platforms=[platform])(inputs((6, 6))).platforms == (platform,)


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="at least 1 tap"):
        blur(inputs((4,)), 0)
    with pytest.raises(ValueError, match="too short to reflect"):
        blur(inputs((2,)), 5)
