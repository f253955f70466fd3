"""Dropout by its rate and its place in the global batch; spectral normalisation by the singular values it leaves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgen.models.convolution import Conv
from jaxgen.models.layers import Dense, Dropout, normalised, with_label


def drop(x, rate, axis_name=None, key=3):
    return Dropout(rate, axis_name).apply({}, x, train=True, rngs={"example": jax.random.key(key)})


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_meets_its_rate_and_keeps_the_mean(rate):
    x = np.ones((8, 50, 50), np.float32)
    y = np.array(drop(x, rate))
    kept = y != 0
    np.testing.assert_allclose(y[kept], 1 / (1 - rate), rtol=1e-4)
    standard_error = np.sqrt(rate * (1 - rate) / x.size)
    assert abs((~kept).mean() - rate) < 4 * standard_error
    # Each example has a mask of its own: two agree in about (1 - rate)^2 + rate^2 of the places.
    agreement = (kept[0] == kept[1]).mean()
    assert abs(agreement - ((1 - rate) ** 2 + rate**2)) < 0.05


def test_dropout_is_the_same_on_four_devices_as_on_one():
    x = np.ones((8, 20), np.float32)
    alone = drop(x, 0.5)
    split = jax.pmap(lambda part: drop(part, 0.5, "data"), axis_name="data")(x.reshape(4, 2, 20))
    np.testing.assert_array_equal(split.reshape(8, 20), alone)


def test_dropout_depends_on_the_key_and_keeps_the_type():
    x = np.ones((2, 100), jnp.bfloat16)
    assert drop(x, 0.5).dtype == jnp.bfloat16
    assert (drop(x, 0.5) != drop(x, 0.5, key=4)).any()


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_dropout_refuses_what_is_no_share(rate):
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        drop(jnp.ones((2, 3)), rate)


def test_dropout_without_training_or_rate_is_the_identity():
    x = np.ones((2, 5), np.float32)
    np.testing.assert_array_equal(Dropout(0.5).apply({}, x, train=False), x)
    np.testing.assert_array_equal(Dropout(0.0).apply({}, x, train=True), x)


class Spectral(nn.Module):
    layer: nn.Module

    @nn.compact
    def __call__(self, x, *, train):
        return normalised(lambda: self.layer.copy(), True, x, train=train)


def trained_vectors(module, x, passes=60):
    """Variables after many training passes, the kernel ten times its initial size."""
    variables = jax.jit(lambda: module.init(jax.random.key(0), x, train=False))()
    params = jax.tree.map(lambda a: 10 * a + 0.5, variables["params"])

    def one(stats, _):
        return module.apply({"params": params, **stats}, x, train=True, mutable=["batch_stats"])[1], None

    stats, _ = jax.jit(lambda s: jax.lax.scan(one, s, None, passes))({"batch_stats": variables["batch_stats"]})
    return {"params": params, **stats}


def test_spectral_norm_brings_a_dense_kernel_to_norm_one():
    module, identity = Spectral(nn.Dense(4)), np.eye(6, dtype=np.float32)
    variables = trained_vectors(module, identity)
    (params,) = variables["params"].values()
    assert np.linalg.norm(params["kernel"], 2) > 5
    effective = module.apply(variables, identity, train=False) - module.apply(variables, 0 * identity, train=False)
    assert np.linalg.norm(effective, 2) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(effective * np.linalg.norm(params["kernel"], 2), params["kernel"], rtol=1e-3)


def test_spectral_norm_of_a_convolution_is_that_of_its_kernel_as_a_matrix():
    module, x = Spectral(Conv(3, (2, 2), use_bias=False)), np.ones((1, 4, 4, 2), np.float32)
    variables = trained_vectors(module, x)
    (params,) = variables["params"].values()
    kernel = np.array(params["kernel"])
    plain = Conv(3, (2, 2), use_bias=False).apply({"params": params}, x)
    expected = plain / np.linalg.norm(kernel.reshape(-1, 3), 2)
    np.testing.assert_allclose(module.apply(variables, x, train=False), expected, rtol=1e-3)


def test_singular_vectors_are_kept_only_when_training():
    module, x = Spectral(nn.Dense(4)), np.ones((1, 6), np.float32)
    variables = module.init(jax.random.key(0), x, train=False)
    vectors = {"batch_stats": variables["batch_stats"]}
    for train in (False, True):
        _, new = module.apply(variables, x, train=train, mutable=["batch_stats"])
        same = jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), vectors, new))
        assert all(same) != train


def test_without_spectral_norm_the_layer_is_itself():
    class Plain(nn.Module):
        @nn.compact
        def __call__(self, x):
            return normalised(lambda: nn.Dense(4), False, x, train=True)

    x = np.ones((1, 6), np.float32)
    variables = Plain().init(jax.random.key(0), x)
    assert set(variables) == {"params"}
    np.testing.assert_array_equal(
        Plain().apply(variables, x), nn.Dense(4).apply({"params": variables["params"]["Dense_0"]}, x)
    )


@pytest.mark.parametrize("shape", [(5,), (2, 5), (2, 3, 4, 5)])
def test_dense_is_flaxs(shape):
    x = jnp.sin(jnp.arange(np.prod(shape), dtype=jnp.float32)).reshape(shape)
    ours, flax = Dense(3, use_bias=len(shape) > 1), nn.Dense(3, use_bias=len(shape) > 1)
    params = flax.init(jax.random.key(0), x)
    assert jax.tree.structure(ours.init(jax.random.key(0), x)) == jax.tree.structure(params)
    loss = lambda layer: lambda params, x: jnp.sum(jnp.sin(layer.apply(params, x)))  # noqa: E731
    assert ours.apply(params, x).shape == (*shape[:-1], 3)
    for a, b in zip(*(jax.tree.leaves(jax.grad(loss(m), (0, 1))(params, x)) for m in (ours, flax)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_labels_come_beside_the_features_as_one_hot():
    x = jnp.array([[0.5], [0.25]])
    np.testing.assert_array_equal(with_label(x, jnp.array([2, 0]), 3), [[0.5, 0, 0, 1], [0.25, 1, 0, 0]])
    assert with_label(x, None, 3) is x
