"""The distance of two images, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.losses.reconstruction import l1


def test_l1_by_hand():
    x = jnp.array([[[1.0, -1.0], [0.0, 2.0]], [[0.5, 0.5], [0.5, 0.5]]])
    y = jnp.array([[[0.0, 1.0], [0.0, -1.0]], [[0.5, 0.5], [0.5, 0.5]]])
    np.testing.assert_allclose(l1(x, y), [(1 + 2 + 0 + 3) / 4, 0])
    np.testing.assert_allclose(l1(y, x), l1(x, y))


def test_its_gradient_is_a_sign_over_the_size():
    x, y = jnp.array([[3.0, -1.0, 0.5, 7.0]]), jnp.zeros((1, 4))
    np.testing.assert_allclose(jax.grad(lambda x: l1(x, y).sum())(x), [[0.25, -0.25, 0.25, 0.25]])


def test_other_shapes_are_no_pair():
    with pytest.raises(AssertionError, match="shape"):
        l1(jnp.zeros((2, 4, 4, 1)), jnp.zeros((2, 4, 4)))
