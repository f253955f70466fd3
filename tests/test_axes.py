"""The device axis: means over it, and keys that do not depend on it."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.axes import device_key, example_keys, mean_over

KEY = jax.random.key(3)


def test_without_an_axis_the_mean_is_the_tree_itself():
    tree = {"a": jnp.ones(2)}
    assert mean_over(tree, None) is tree


def test_the_mean_is_over_devices_leaf_by_leaf():
    tree = {"a": jnp.array([0.0, 1.0, 2.0, 5.0]), "b": jnp.arange(8.0).reshape(4, 2)}
    means = jax.pmap(lambda t: mean_over(t, "data"), axis_name="data")(tree)
    np.testing.assert_array_equal(means["a"], [2.0] * 4)
    np.testing.assert_array_equal(means["b"], [[3.0, 4.0]] * 4)


def test_example_keys_are_by_global_index():
    alone = example_keys(KEY, 8, None)
    assert alone.shape == (8,)
    for i in (0, 5):
        assert alone[i] == jax.random.fold_in(KEY, i)
    for n in (2, 4):
        data = jax.pmap(
            lambda _, n=n: jax.random.key_data(example_keys(KEY, 8 // n, "data")),
            axis_name="data",
            devices=jax.devices()[:n],
        )(jnp.zeros(n))
        np.testing.assert_array_equal(data.reshape(8, -1), jax.random.key_data(alone))


def test_device_keys_differ_by_device():
    assert device_key(KEY, None) is KEY
    data = jax.pmap(lambda _: jax.random.key_data(device_key(KEY, "data")), axis_name="data")(jnp.zeros(4))
    assert len(np.unique(data, axis=0)) == 4
