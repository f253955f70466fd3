"""Gradient penalties against critics whose gradient is known, and against finite differences in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.losses.penalties import PENALTIES, r1, r2, wgan_gp

every_penalty = pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES.keys())
RNG = np.random.default_rng(0)
REAL, FAKE = RNG.normal(size=(2, 5, 2, 3)).astype(np.float32)
KEYS = jax.random.split(jax.random.key(0), 5)
W = np.array([[0.6, 0.0, -1.0], [2.0, 0.5, 0.1]], np.float32)


def linear(x):
    return jnp.tensordot(x, W.astype(x.dtype), 2)


def half_square(x):  # its gradient is x
    return 0.5 * jnp.sum(x**2, axis=range(1, x.ndim))


def test_linear_critic_by_hand():
    norm2 = 0.36 + 1.0 + 4.0 + 0.25 + 0.01
    np.testing.assert_allclose(r1(linear, REAL, FAKE, KEYS), np.full(5, 0.5 * norm2), rtol=1e-6)
    np.testing.assert_allclose(r2(linear, REAL, FAKE, KEYS), np.full(5, 0.5 * norm2), rtol=1e-6)
    np.testing.assert_allclose(wgan_gp(linear, REAL, FAKE, KEYS), np.full(5, (norm2**0.5 - 1) ** 2), rtol=1e-5)


def test_quadratic_critic_by_hand():
    real, fake = jnp.array([[3.0, 4.0], [0.0, 1.0]]), jnp.array([[1.0, 0.0], [2.0, 2.0]])
    np.testing.assert_allclose(r1(half_square, real, fake, KEYS[:2]), [12.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(r2(half_square, real, fake, KEYS[:2]), [0.5, 4.0], rtol=1e-6)
    # Between two equal points there is but one.
    np.testing.assert_allclose(wgan_gp(half_square, real, real, KEYS[:2]), [16.0, 0.0], atol=1e-5)


def test_wgan_gp_is_taken_at_uniform_points_between_each_pair():
    n = 400
    real, fake = np.full((2, n, 1), [[[10.0]], [[20.0]]], np.float32)
    at, again = (np.sqrt(wgan_gp(half_square, real, fake, jax.random.split(jax.random.key(1), n))) + 1 for _ in "ab")
    assert 10 <= at.min() < 10.3
    assert 19.7 < at.max() <= 20
    assert abs(at.mean() - 15) < 4 * 10 / np.sqrt(12 * n)
    np.testing.assert_array_equal(at, again)


def tanh_critic(x, library=np):
    flat = x.reshape(len(x), -1)
    weights = np.linspace(-1, 1, flat.shape[1] * 4).reshape(-1, 4).astype(x.dtype)
    return library.tanh(flat @ weights) @ np.array([1.0, -2.0, 0.5, 0.3]).astype(x.dtype)


def squared_norm_by_differences(x, eps=1e-5):
    """|d critic / d x|^2 [B], each entry moved by eps both ways, in float64."""
    x = np.asarray(x, np.float64)
    total = np.zeros(len(x))
    for index in np.ndindex(x.shape[1:]):
        move = np.zeros(x.shape)
        move[(slice(None), *index)] = eps
        total += ((tanh_critic(x + move) - tanh_critic(x - move)) / (2 * eps)) ** 2
    return total


def test_nonlinear_critic_against_finite_differences():
    def critic(x):
        return tanh_critic(x, jnp)

    np.testing.assert_allclose(r1(critic, REAL, FAKE, KEYS), 0.5 * squared_norm_by_differences(REAL), rtol=1e-4)
    np.testing.assert_allclose(r2(critic, REAL, FAKE, KEYS), 0.5 * squared_norm_by_differences(FAKE), rtol=1e-4)
    expected = (np.sqrt(squared_norm_by_differences(REAL)) - 1) ** 2
    np.testing.assert_allclose(wgan_gp(critic, REAL, REAL, KEYS), expected, rtol=1e-4, atol=1e-6)


@every_penalty
def test_one_value_each_from_its_own_example(penalty):
    def critic(x):
        return tanh_critic(x, jnp)

    whole = penalty(critic, REAL, FAKE, KEYS)
    assert whole.shape == (5,)
    assert (whole >= 0).all()
    alone = [penalty(critic, REAL[i : i + 1], FAKE[i : i + 1], KEYS[i : i + 1])[0] for i in range(5)]
    np.testing.assert_allclose(whole, alone, rtol=1e-5)


@every_penalty
def test_flattening_the_critic_lowers_it_and_its_gradient_is_that_of_the_slope(penalty):
    def mean(slope):
        return penalty(lambda x: slope * linear(x), REAL, FAKE, KEYS).mean()

    eps = 1e-2
    grad, by_differences = jax.grad(mean)(2.0), (mean(2.0 + eps) - mean(2.0 - eps)) / (2 * eps)
    assert grad > 0
    np.testing.assert_allclose(grad, by_differences, rtol=1e-3)


@every_penalty
def test_value_and_gradient_are_finite_where_the_critic_is_flat(penalty):
    value, grad = jax.value_and_grad(lambda slope: penalty(lambda x: slope * linear(x), REAL, FAKE, KEYS).mean())(0.0)
    assert np.isfinite(value)
    assert np.isfinite(grad)


@every_penalty
def test_bf16_inputs_give_fp32_norms_of_the_right_size(penalty):
    real, fake = REAL.astype(jnp.bfloat16), FAKE.astype(jnp.bfloat16)
    out = penalty(linear, real, fake, KEYS)
    np.testing.assert_allclose(out.astype(np.float32), penalty(linear, REAL, FAKE, KEYS), rtol=0.03)
