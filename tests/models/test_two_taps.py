"""The forms with fewer products against XLA's convolutions, and where they are chosen."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxgen.models import convolution_cpu, two_taps
from jaxgen.models.convolution import ConvTranspose, conv, conv_adjoint

# (big, strides, pads): even and odd numbers of outputs, blocks that the padding does not fill, 1 to 3 axes.
GEOMETRIES = [
    ((12,), (3,), ((2, 1),)),
    ((8, 8), (2, 2), ((1, 1), (1, 1))),
    ((10, 7), (2, 1), ((1, 1), (0, 1))),
    ((6, 10), (2, 2), ((0, 0), (2, 0))),
    ((14, 14), (2, 2), ((1, 1), (1, 1))),
    ((4, 6, 8), (2, 2, 2), ((1, 1), (1, 1), (1, 1))),
    ((6, 3, 4), (2, 1, 2), ((1, 1), (1, 0), (0, 2))),
]
every_geometry = pytest.mark.parametrize(("big", "strides", "pads"), GEOMETRIES)


def arrays(big, strides, pads, batch=2, n_in=3, n_out=5):
    """(x, y, w), of which y has the size of the convolution's result."""
    small = [(n + low + high) // s - 1 for n, s, (low, high) in zip(big, strides, pads, strict=True)]
    rng = np.random.default_rng(0)
    shapes = (batch, *big, n_in), (batch, *small, n_out), (*(2 * s for s in strides), n_in, n_out)
    return [jnp.array(rng.normal(size=shape), jnp.float32) for shape in shapes]


def assert_same(ours, expected):
    """To 1e-5 of the largest entry."""
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5 * float(jnp.abs(expected).max()))


def all_three(x, y, w, strides, pads, out_first=False):
    """(forward, adjoint, filter gradient) of these forms, and of XLA's; the kernel as it is, and swapped."""
    given = jnp.swapaxes(w, -1, -2) if out_first else w
    ours = (
        two_taps.forward(x, given, strides, pads, y.shape[1:-1], out_first),
        two_taps.adjoint(y, given, strides, pads, x.shape[1:-1], out_first),
        two_taps.filter_gradient(x, y, strides, pads, out_first),
    )
    if out_first:
        ours = (*ours[:2], jnp.swapaxes(ours[2], -1, -2))
    out, pull = jax.vjp(lambda x, w: convolution_cpu.native_forward(x, w, strides, pads), x, w)
    return ours, (out, *pull(y))


@every_geometry
@pytest.mark.parametrize("out_first", [False, True])
@pytest.mark.parametrize("swapped_bytes", [0, 1 << 30])
def test_all_three_are_the_plain_ones(big, strides, pads, out_first, swapped_bytes, monkeypatch):
    monkeypatch.setattr(two_taps, "SWAPPED_BYTES", swapped_bytes)
    ours, expected = jax.jit(lambda *xs: all_three(*xs, strides, pads, out_first))(*arrays(big, strides, pads))
    for a, b in zip(ours, expected, strict=True):
        assert_same(a, b)


def test_two_outputs_take_three_products():
    """By hand, one axis, stride 1: y = (x0 g0 + x1 g1, x1 g0 + x2 g1) from (x0 - x1) g0, x1 (g0 + g1), (x1 - x2) g1."""
    x, w = jnp.array([2.0, 3.0, 5.0]).reshape(1, 3, 1), jnp.array([7.0, 11.0]).reshape(2, 1, 1)
    forward = jax.make_jaxpr(lambda x, w: two_taps.forward(x, w, (1,), ((0, 0),), (2,)))
    out = two_taps.forward(x, w, (1,), ((0, 0),), (2,))
    np.testing.assert_allclose(out[0, :, 0], [2 * 7 + 3 * 11, 3 * 7 + 5 * 11])
    assert str(forward(x, w)).count("dot_general") == 3


@pytest.mark.parametrize(("batch", "parts"), [(6, 1), (6, 3), (5, 5), (4, 2)])
def test_parts_of_a_batch_come_together_in_order(batch, parts, monkeypatch):
    big, strides, pads = GEOMETRIES[1]
    x, y, w = arrays(big, strides, pads, batch)
    each = two_taps._bytes(y.shape[1:-1], 4 * w.shape[-2])
    monkeypatch.setattr(two_taps, "PART_BYTES", each * batch // parts)
    sizes = []
    three = two_taps._three
    monkeypatch.setattr(two_taps, "_three", lambda x, axes: sizes.append(len(x)) or three(x, axes))
    ours, expected = all_three(x, y, w, strides, pads)
    for a, b in zip(ours, expected, strict=True):
        assert_same(a, b)
    assert batch // parts in sizes


def test_they_are_chosen_for_fp32_and_many_channels(monkeypatch):
    chosen = []
    for module, name in ((two_taps, "adjoint"), (convolution_cpu, "phases")):
        form = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, n=name, f=form: chosen.append(n) or f(*args))
    for space, channels, dtype, kernel in (
        ((8, 6), 64, None, 4),
        ((7, 6), 64, None, 4),
        ((8, 1), 64, None, 4),
        ((8, 6), 63, None, 4),
        ((8, 6), 64, jnp.bfloat16, 4),
        ((8, 6), 64, None, 3),
        ((3, 5, 4), 16, None, 4),
        ((3, 5, 4), 5, None, 4),
        ((7,), 16, None, 4),
        ((7,), 15, None, 4),  # as one product: neither
    ):
        layer = ConvTranspose(channels, (kernel,) * len(space), (2,) * len(space), dtype=dtype)
        jax.eval_shape(layer.init, jax.random.key(0), jax.ShapeDtypeStruct((1, *space, channels), jnp.float32))
    assert chosen == ["adjoint"] * 2 + ["phases"] * 4 + ["adjoint"] * 3


@pytest.mark.parametrize("big", [(8, 8), (4, 6, 4)])
def test_chosen_forms_have_the_plain_gradients(big):
    """Through the public functions, where they are chosen: to the second order, and in a scan."""
    n, width = len(big), 64 if len(big) == 2 else 16
    strides, pads = (2,) * n, ((1, 1),) * n
    x, y, w = arrays(big, strides, pads, n_in=width, n_out=width)

    def penalty(f, x, w):
        value, grads = jax.value_and_grad(lambda x, w: jnp.sum(jnp.tanh(0.1 * f(x, w))), argnums=(0, 1))(x, w)
        return value + sum(jnp.sum(g**2) for g in grads)

    def plain_adjoint(y, w):
        big_x = jax.ShapeDtypeStruct(x.shape, x.dtype)
        return jax.linear_transpose(lambda x: convolution_cpu.native_forward(x, w, strides, pads), big_x)(y)[0]

    pairs = (
        (x, lambda x, w: conv(x, w, strides, pads), lambda x, w: convolution_cpu.native_forward(x, w, strides, pads)),
        (y, lambda y, w: conv_adjoint(y, w, strides, pads, big), plain_adjoint),
    )
    for first, ours, plain in pairs:
        expected = jax.jit(jax.grad(lambda a, w, f=plain: penalty(f, a, w), argnums=(0, 1)))(first, w)
        found = jax.jit(jax.grad(lambda a, w, f=ours: penalty(f, a, w), argnums=(0, 1)))(first, w)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * float(jnp.abs(b).max()))
        looped, _ = jax.jit(lambda a, w, f=ours: lax.scan(lambda s, _: (s + f(a, w).mean(), None), 0.0, length=2))(
            first, w
        )
        np.testing.assert_allclose(looped, 2 * plain(first, w).mean(), rtol=1e-3, atol=1e-4)
