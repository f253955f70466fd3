"""A network in training: its variables, its two streams of noise, its average, its refusal of what is not finite."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import struct

from jaxgen.player import Player, apply, average, copy, evaluate, new_if_finite, player, update
from jaxgen.types import Array

KEY = jax.random.key(0)
X = jnp.array([[1.0, 2.0], [3.0, 6.0]])


class Norm(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        x = nn.BatchNorm(not train, momentum=0.9)(x)
        return nn.Dropout(0.5, deterministic=not train)(x)


def test_params_and_statistics_are_kept_apart():
    new = player(Norm(), optax.sgd(0.1, momentum=0.9), KEY, X)
    assert set(new.params) == {"BatchNorm_0"}
    assert set(new.stats) == {"batch_stats"}
    assert jax.tree.map(jnp.shape, new.opt[0].trace) == jax.tree.map(jnp.shape, new.params)


def test_a_training_pass_gives_new_statistics_and_evaluation_uses_them():
    new = player(Norm(), optax.identity(), KEY, X)
    out, stats = apply(Norm(), new.params, new.stats, X, key=KEY, axis_name=None)
    assert (out == 0).any()  # dropout
    np.testing.assert_allclose(stats["batch_stats"]["BatchNorm_0"]["mean"], [0.2, 0.4], rtol=1e-5)
    np.testing.assert_allclose(new.stats["batch_stats"]["BatchNorm_0"]["mean"], [0, 0])
    settled = {"batch_stats": {"BatchNorm_0": {"mean": jnp.array([2.0, 4.0]), "var": jnp.array([1.0, 4.0])}}}
    np.testing.assert_allclose(evaluate(Norm(), (new.params, settled), X), [[-1, -1], [1, 1]], rtol=1e-4)


class Streams(nn.Module):
    """Shows the keys of both streams."""

    @nn.compact
    def __call__(self, x, *, train):
        return [jax.random.key_data(self.make_rng(name)) for name in ("example", "dropout")]


def test_one_stream_is_the_same_on_every_device_the_other_differs():
    def run(x):
        return apply(Streams(), {}, {}, x, key=KEY, axis_name="data")[0]

    example, dropout = jax.pmap(run, axis_name="data")(jnp.zeros((4, 1)))
    assert len(np.unique(example, axis=0)) == 1
    assert len(np.unique(dropout, axis=0)) == 4


def test_an_update_takes_the_mean_gradient_of_all_devices():
    tx = optax.sgd(0.5)
    old = Player({"w": jnp.array(1.0)}, {}, tx.init({"w": jnp.array(1.0)}))
    new = jax.pmap(lambda g: update(old, tx, {"w": g}, {"s": g}, "data"), axis_name="data")(jnp.arange(4.0))
    np.testing.assert_allclose(new.params["w"], [1 - 0.5 * 1.5] * 4)
    np.testing.assert_allclose(update(old, tx, {"w": jnp.array(2.0)}, {}, None).params["w"], 0.0)


@pytest.mark.parametrize(
    ("t", "decay", "expected"), [(0, 0.999, 0.1), (8, 0.999, 0.5), (8, 0.4, 0.4), (10**5, 0.9, 0.9)]
)
def test_the_averages_memory_grows_to_its_decay(t, decay, expected):
    found = average({"a": jnp.array(1.0)}, {"a": jnp.array(0.0)}, jnp.array(t), decay)
    np.testing.assert_allclose(found["a"], expected, rtol=1e-5)


def test_a_copy_shares_nothing():
    tree = {"a": jnp.ones(3)}
    again = copy(tree)
    jax.jit(lambda a: a + 1, donate_argnums=0)(tree["a"])
    assert tree["a"].is_deleted()
    np.testing.assert_array_equal(again["a"], [1, 1, 1])


class State(struct.PyTreeNode):
    step: Array
    key: Array
    skipped: Array
    value: Array


@pytest.mark.parametrize("bad", [None, jnp.nan, jnp.inf, -jnp.inf])
def test_the_new_state_only_if_all_is_finite(bad):
    def state(value):
        return State(jnp.array(5), KEY, jnp.array(1), jnp.array(value))

    old, new = state(1.0), state(2.0).replace(step=jnp.array(6))
    numbers = {"loss": jnp.array(0.0), "params": jnp.array([1.0, 2.0 if bad is None else bad])}
    found = jax.jit(partial(new_if_finite))(new, old, numbers)
    assert (int(found.step), int(found.skipped), float(found.value)) == ((6, 1, 2.0) if bad is None else (6, 2, 1.0))
    assert found.key == KEY
