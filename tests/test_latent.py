"""Latents by key, and paths between them, by hand."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.latent import circle, line, numbered_keys, prior, prior_map

QUICK = {"xla_backend_optimization_level": 0}  # they run once: the compiler's time is what counts


def test_prior_is_standard_normal_and_belongs_to_the_key():
    keys = numbered_keys(jax.random.key(0), 2000)
    z = prior(keys, 3)
    assert z.shape == (2000, 3)
    assert abs(z.mean()) < 4 / np.sqrt(6000)
    assert abs(z.std() - 1) < 4 / np.sqrt(12000)
    np.testing.assert_array_equal(prior(keys[5:7], 3), z[5:7])


def test_the_first_keys_do_not_depend_on_how_many_there_are():
    few, many = numbered_keys(jax.random.key(1), 3), numbered_keys(jax.random.key(1), 10)
    assert (few == many[:3]).all()
    assert len(np.unique(jax.random.key_data(many), axis=0)) == 10


def test_line_by_hand():
    start, end = jnp.array([[0.0, 1.0], [2.0, 2.0]]), jnp.array([[1.0, 3.0], [0.0, -2.0]])
    expected = [[[0, 1], [0.5, 2], [1, 3]], [[2, 2], [1, 0], [0, -2]]]
    np.testing.assert_allclose(line(start, end, 3), expected, atol=1e-6)


def test_circle_turns_through_two_latents_and_closes():
    keys = numbered_keys(jax.random.key(2), 4)
    path = np.asarray(circle(keys, 5, 8))
    assert path.shape == (8, 4, 5)
    first, quarter = path[0], path[2]
    np.testing.assert_allclose(path[4], -first, atol=1e-5)
    np.testing.assert_allclose(path[6], -quarter, atol=1e-5)
    np.testing.assert_allclose(path[1], (first + quarter) / np.sqrt(2), atol=1e-5)
    # All steps along one walk, the one back to its start included, lie on the ellipse of the pair: equal angles.
    np.testing.assert_allclose(path[7], (first - quarter) / np.sqrt(2), atol=1e-5)
    assert np.abs(first).max() > 0.1
    assert np.abs(first - quarter).max() > 0.1


def test_circle_stays_at_the_priors_typical_length():
    path = np.asarray(circle(numbered_keys(jax.random.key(3), 500), 20, 4))
    np.testing.assert_allclose((path**2).sum(-1).mean(-1), [20] * 4, rtol=0.1)


@cache
def maps(seed, n, size=(2, 2), z_dim=4):
    return np.asarray(
        jax.jit(lambda key: prior_map(numbered_keys(key, n), size, z_dim), compiler_options=QUICK)(jax.random.key(seed))
    )


@pytest.mark.parametrize(("n", "size", "z_dim", "whole"), [(4000, (2, 2), 4, 2), (3, (4, 5), 5, 2), (3, (2, 1), 1, 0)])
def test_half_of_a_map_of_latents_is_the_same_everywhere(n, size, z_dim, whole):
    z = maps(4, n, size, z_dim)
    assert z.shape == (n, *size, z_dim)
    np.testing.assert_array_equal(z[..., :whole], np.broadcast_to(z[:, :1, :1, :whole], (n, *size, whole)))
    few, own = z[:3, 0, 0, :whole], z[:3, ..., whole:]
    assert len(np.unique(few)) == few.size
    assert len(np.unique(own)) == own.size  # every place's own, in each example and entry


def test_a_map_of_latents_belongs_to_the_key():
    np.testing.assert_array_equal(maps(4, 3), maps(4, 4000)[:3])
    assert (maps(5, 3) != maps(4, 3)).all()


def test_a_map_of_latents_is_standard_normal():
    """At each place; the two halves know nothing of each other, nor do places."""
    z = maps(4, 4000)
    flat = z.reshape(4000, -1)
    np.testing.assert_allclose(flat.mean(0), 0, atol=5 / np.sqrt(4000))
    np.testing.assert_allclose(flat.std(0), 1, atol=5 / np.sqrt(8000))
    np.testing.assert_allclose((flat**4).mean(0), 3, atol=5 * np.sqrt(96 / 4000))
    own, whole = z[..., 2:].reshape(4000, -1), z[:, 0, 0, :2]
    apart = np.corrcoef(np.concatenate([own, whole], axis=1).T) - np.eye(10)
    assert abs(apart).max() < 5 / np.sqrt(4000)
