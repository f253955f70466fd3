"""jaxgen's convolutions against Flax's: parameters, values, gradients of both orders; and how they are lowered."""

import re

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgen.models.convolution import Conv, ConvTranspose

PAIRS = {"conv": (Conv, nn.Conv), "transpose": (ConvTranspose, nn.ConvTranspose)}
# (space, kernel, strides, padding): 1 to 3 axes, kernels below, at and above the stride, odd sizes.
GEOMETRIES = [
    ((16,), (25,), (4,), "SAME"),
    ((9,), (5,), (3,), "VALID"),
    ((5,), (1,), (2,), "SAME"),
    ((8, 8), (4, 4), (2, 2), "SAME"),
    ((7, 5), (3, 4), (2, 1), "SAME"),
    ((7, 6), (2, 3), (3, 2), "VALID"),
    ((6, 5), (5, 5), (1, 1), "SAME"),
    ((5, 7), (1, 2), (4, 3), "VALID"),
    ((4, 5, 3), (3, 4, 2), (2, 2, 1), "SAME"),
]


every_kind = pytest.mark.parametrize("kind", PAIRS)
# Few channels, as an image has, and many: on CPU they are computed in different ways.
few_and_many = pytest.mark.parametrize("channels", [3, 5])
# (space, kernel, strides, padding), channels in and out: kernels of twice the stride between many channels, which take
# fewer products on CPU; kernels of two taps of few channels; an image's channels at one end only, at stride 1 and more;
# few channels beside four times as many; channels that fill no vector; three axes with one place at the coarse end of
# one or two of them; few channels on three axes.
SPECIAL = [
    (((8, 6), (4, 4), (2, 2), "SAME"), 64, 65),
    (((12,), (8,), (4,), "SAME"), 16, 17),
    (((9,), (4,), (2,), "VALID"), 16, 16),
    (((4, 5, 3), (4, 2, 4), (2, 1, 2), "SAME"), 16, 16),
    (((6, 5), (3, 3), (1, 1), "SAME"), 6, 2),
    (((6, 5), (2, 3), (1, 1), "VALID"), 6, 3),
    (((6, 5), (3, 2), (1, 1), "SAME"), 2, 6),
    (((9,), (4,), (1,), "SAME"), 5, 1),
    (((6, 6), (4, 4), (2, 2), "SAME"), 6, 1),
    (((5, 6), (3, 3), (1, 1), "SAME"), 24, 6),
    (((5, 6), (3, 3), (1, 1), "SAME"), 6, 24),
    (((4, 6), (3, 3), (1, 1), "SAME"), 7, 9),
    (((3, 2, 4), (3, 1, 3), (1, 1, 1), "SAME"), 6, 25),
    (((3, 2, 4), (3, 3, 3), (1, 1, 1), "SAME"), 5, 6),
    (((2, 4, 6), (4, 4, 4), (2, 2, 2), "SAME"), 5, 6),
    (((2, 1, 6), (4, 4, 4), (2, 2, 2), "SAME"), 3, 6),
    (((3, 4, 6), (3, 4, 4), (2, 2, 2), "VALID"), 5, 3),
    (((4, 3, 6), (4, 4, 4), (2, 2, 2), "SAME"), 1, 4),
    (((16,), (5,), (3,), "SAME"), 17, 18),
]


def pair(kind, kernel, strides, padding, dtype=None, channels=3):
    """(ours, Flax's)."""
    return [m(channels, kernel, strides=strides, padding=padding, dtype=dtype) for m in PAIRS[kind]]


def inputs(space, batch=2, channels=3):
    return jnp.array(np.random.default_rng(0).normal(size=(batch, *space, channels)), jnp.float32)


def random_params(module, x):
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)["params"]
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda a: jnp.array(0.3 * rng.normal(size=a.shape), a.dtype), shapes)


def assert_close(ours, flax, tolerance):
    """Each array to `tolerance` times the largest entry of Flax's."""
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(flax), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(float(jnp.abs(b).max()), 1e-3))


def loss(module, params, x):
    y = module.apply({"params": params}, x)
    return jnp.sum(jnp.sin(jnp.arange(y.size, dtype=y.dtype).reshape(y.shape)) * (y + 0.3 * y**2)), y


def penalty(module, params, x):
    """As R1: half the squared norm of the gradient in the inputs."""
    return 0.5 * jnp.sum(jax.grad(lambda x: loss(module, params, x)[0])(x) ** 2)


@every_kind
@few_and_many
@pytest.mark.parametrize(("space", "kernel", "strides", "padding"), GEOMETRIES)
def test_parameters_values_and_gradients_are_flaxs(kind, space, kernel, strides, padding, channels):
    ours, flax = pair(kind, kernel, strides, padding, channels=channels)
    x = inputs(space, channels=channels)
    shapes = jax.eval_shape(flax.init, jax.random.key(0), x)["params"]
    assert jax.tree.map(jnp.shape, random_params(ours, x)) == jax.tree.map(jnp.shape, shapes)
    assert_values_and_gradients_agree(ours, flax, x)


def assert_values_and_gradients_agree(ours, flax, x):
    params = random_params(ours, x)

    @jax.jit
    def both(params, x):
        return [jax.value_and_grad(loss, argnums=(1, 2), has_aux=True)(m, params, x) for m in (ours, flax)]

    ((_, y), grads), ((_, flax_y), flax_grads) = both(params, x)
    assert_close(y, flax_y, 1e-5)
    assert_close(grads, flax_grads, 1e-5)


@every_kind
@pytest.mark.parametrize(("geometry", "n_in", "n_out"), SPECIAL)
def test_forms_for_special_shapes_are_flaxs(kind, geometry, n_in, n_out):
    space, *layer = geometry
    assert_values_and_gradients_agree(*pair(kind, *layer, channels=n_out), inputs(space, channels=n_in))


@every_kind
def test_large_batches_are_transposed_in_parts(kind):
    """For the filter gradient; 48 examples are three parts."""
    assert_values_and_gradients_agree(*pair(kind, (4, 4), (2, 2), "SAME", channels=6), inputs((6, 4), 48, 5))


@every_kind
@few_and_many
@pytest.mark.parametrize(("space", "kernel", "strides", "padding"), [GEOMETRIES[i] for i in (0, 3, 8)])
def test_gradients_of_gradients_are_flaxs(kind, space, kernel, strides, padding, channels):
    ours, flax = pair(kind, kernel, strides, padding, channels=channels)
    x = inputs(space, channels=channels)
    params = random_params(ours, x)

    @jax.jit
    def both(params, x):
        return [jax.value_and_grad(penalty, argnums=(1, 2))(m, params, x) for m in (ours, flax)]

    (value, grads), (flax_value, flax_grads) = both(params, x)
    assert float(flax_value) > 0.1
    np.testing.assert_allclose(value, flax_value, rtol=1e-4)
    assert_close(grads, flax_grads, 1e-4)


@every_kind
def test_initial_values_and_defaults_are_flaxs(kind):
    ours, flax = (m(3, (3, 3)) for m in PAIRS[kind])
    x = inputs((4, 5))
    params, expected = (jax.jit(m.init)(jax.random.key(0), x) for m in (ours, flax))
    jax.tree.map(np.testing.assert_array_equal, params, expected)
    assert np.ptp(params["params"]["kernel"]) > 0
    assert_close(ours.apply(params, x), flax.apply(params, x), 1e-5)


def test_explicit_pads_of_conv_are_flaxs():
    ours, flax = (m(3, (3, 4), (2, 1), ((0, 2), (3, 1))) for m in PAIRS["conv"])
    x = inputs((6, 5))
    params = {"params": random_params(ours, x)}
    assert_close(ours.apply(params, x), flax.apply(params, x), 1e-5)


@every_kind
def test_bf16_computes_in_bf16_with_fp32_parameters(kind):
    ours, flax = pair(kind, (4, 4), (2, 2), "SAME", jnp.bfloat16)
    x = inputs((8, 8))
    params = random_params(ours, x)
    grads, y = jax.jit(jax.grad(lambda p: loss(ours, p, x), has_aux=True))(params)
    assert y.dtype == jnp.bfloat16
    assert {a.dtype for a in jax.tree.leaves((params, grads))} == {jnp.dtype("float32")}
    assert_close(y.astype("float32"), flax.apply({"params": params}, x).astype("float32"), 1e-2)


def dilations(module, x, platform):
    """Every dilation of an input in what value and gradients of both orders are lowered to."""
    params = random_params(module, x)

    def f(params, x):
        return (
            jax.value_and_grad(loss, argnums=(1, 2), has_aux=True)(module, params, x),
            jax.grad(penalty, argnums=1)(module, params, x),
        )

    text = jax.export.export(jax.jit(f), platforms=[platform])(params, x).mlir_module()
    assert "stablehlo.convolution" in text
    # A default (no dilation) is not printed by the generic form and is [1, 1] in the other.
    found = re.findall(r"lhs_dilat\w* = (?:array<i64: )?\[?([\d, ]+)", text)
    return {int(n) for group in found for n in group.split(",")}


@every_kind
@few_and_many
def test_on_cpu_no_input_is_dilated(kind, channels):
    ours, flax = pair(kind, (4, 4), (2, 2), "SAME", channels=channels)
    x = inputs((6, 6), channels=channels)
    assert dilations(ours, x, "cpu") <= {1}
    assert 2 in dilations(flax, x, "cpu")  # so that the line above could fail


@every_kind
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_elsewhere_it_lowers_to_the_native_form(kind, platform):
    ours, _ = pair(kind, (4, 4), (2, 2), "SAME")
    assert 2 in dilations(ours, inputs((6, 6)), platform)


def test_unknown_padding_is_refused():
    with pytest.raises(ValueError, match="SAME"):
        ConvTranspose(3, (3,), padding="CIRCULAR").init(jax.random.key(0), inputs((4,)))
