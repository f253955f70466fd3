"""jaxgen's normalisations against Flax's: parameters, statistics, values, gradients of both orders; other platforms."""

from functools import partial

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxgen.models.normalisation import BatchNorm, GroupNorm, InstanceNorm

PAIRS = {
    "group": (GroupNorm(num_groups=2), nn.GroupNorm(num_groups=2)),
    "one_group": (GroupNorm(num_groups=1), nn.GroupNorm(num_groups=1)),
    "instance": (InstanceNorm(), nn.InstanceNorm()),
    "batch": (BatchNorm(False, momentum=0.8), nn.BatchNorm(False, momentum=0.8)),
    "running": (BatchNorm(True), nn.BatchNorm(True)),
}
every_kind = pytest.mark.parametrize("kind", PAIRS)


def inputs(shape=(4, 5, 3, 6)):
    return jnp.array(np.random.default_rng(0).normal(0.7, 1.3, size=shape), jnp.float32)


def variables(module, x):
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda a: jnp.array(0.5 + rng.random(a.shape), a.dtype), shapes)


def loss(module, params, x, rest):
    y, new = module.apply({"params": params, **rest}, x, mutable=["batch_stats"])
    weights = jnp.sin(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
    # The statistics too, so that their gradient counts.
    return jnp.sum(weights * (y + 0.3 * y**2)) + sum(jnp.sum(a**2) for a in jax.tree.leaves(new)), (y, new)


def penalty(module, params, x, rest):
    return 0.5 * jnp.sum(jax.grad(lambda x: loss(module, params, x, rest)[0])(x) ** 2)


def assert_close(ours, flax, tolerance=2e-5):
    assert jax.tree.structure(ours) == jax.tree.structure(flax)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(flax), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(float(jnp.abs(b).max()), 1))


@every_kind
@pytest.mark.parametrize("shape", [(4, 7, 6), (2, 3, 4, 2, 6)])
def test_parameters_values_and_gradients_of_both_orders_are_flaxs(kind, shape):
    ours, flax = PAIRS[kind]
    x = inputs(shape)
    given = variables(flax, x)
    assert jax.tree.map(jnp.shape, variables(ours, x)) == jax.tree.map(jnp.shape, given)
    params, rest = given.pop("params"), given

    @jax.jit
    def both(params, x):
        return [
            (jax.value_and_grad(loss, (1, 2), True)(m, params, x, rest), jax.grad(penalty, (1, 2))(m, params, x, rest))
            for m in (ours, flax)
        ]

    (ours_first, ours_second), (first, second) = both(params, x)
    assert_close(ours_first, first)
    assert_close(ours_second, second, 2e-4)


def test_group_norm_by_hand():
    x = jnp.array([[[1.0, 3.0, 10.0, 10.0], [5.0, 7.0, 10.0, 14.0]]])  # groups {1, 3, 5, 7} and {10, 10, 10, 14}
    y = GroupNorm(num_groups=2, epsilon=0.0).apply({"params": {"scale": jnp.ones(4), "bias": jnp.arange(4.0)}}, x)
    a, b = 5**0.5, 3**0.5  # standard deviations; means 4 and 11
    expected = [[-3 / a, 1 - 1 / a, 2 - 1 / b, 3 - 1 / b], [1 / a, 1 + 3 / a, 2 - 1 / b, 3 + 3 / b]]
    np.testing.assert_allclose(y[0], expected, rtol=1e-5)


@every_kind
def test_initial_variables_are_flaxs_and_do_not_move_at_init(kind):
    x = inputs()
    ours, flax = (jax.jit(m.init)(jax.random.key(0), x) for m in PAIRS[kind])
    assert_close(ours, flax, 0)


@every_kind
def test_bf16_has_fp32_statistics_and_a_bf16_result(kind):
    ours, flax = (m.clone(dtype=jnp.bfloat16) for m in PAIRS[kind])
    x = inputs().astype(jnp.bfloat16)
    given = variables(flax, x)
    a, b = (m.apply(given, x, mutable=["batch_stats"]) for m in (ours, flax))
    assert a[0].dtype == jnp.bfloat16
    assert_close(jax.tree.map(jnp.float32, a), jax.tree.map(jnp.float32, b), 1e-2)
    params, rest = given.pop("params"), given
    grads = jax.grad(lambda p, x: loss(ours, p, x, rest)[0].astype(jnp.float32), (0, 1))(params, x)
    assert {a.dtype for a in jax.tree.leaves(grads[0])} == {jnp.dtype("float32")}
    assert grads[1].dtype == jnp.bfloat16


def test_batch_statistics_are_of_all_devices():
    devices = 2
    ours, flax = (m(False, axis_name="data") for m in (BatchNorm, nn.BatchNorm))
    x = inputs((8, 3, 6))
    given = variables(flax, x)
    params, rest = given.pop("params"), given
    parts = x.reshape(devices, -1, *x.shape[1:])

    def run(module, order):
        f = {1: partial(jax.value_and_grad(loss, (1, 2), True), module), 2: partial(jax.grad(penalty, (1, 2)), module)}
        return jax.pmap(partial(f[order], rest=rest), "data", in_axes=(None, 0))(params, parts)

    assert_close(run(ours, 1), run(flax, 1))
    assert_close(run(ours, 2), run(flax, 2), 2e-4)
    whole = BatchNorm(False).apply({"params": params, **rest}, x, mutable=["batch_stats"])[0]
    np.testing.assert_allclose(run(ours, 1)[0][1][0].reshape(x.shape), whole, atol=1e-5)


@every_kind
def test_vmap_is_a_loop(kind):
    ours, _ = PAIRS[kind]
    x = inputs((3, 4, 5, 6))
    given = variables(ours, x[0])
    apply = lambda x: ours.apply(given, x, mutable=["batch_stats"])[0]  # noqa: E731
    np.testing.assert_allclose(jax.vmap(apply)(x), jnp.stack([apply(part) for part in x]), atol=1e-5)


@every_kind
@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_it_lowers_for_accelerators(kind, platform):
    ours, _ = PAIRS[kind]
    x = inputs()
    given = variables(ours, x)
    params, rest = given.pop("params"), given
    f = jax.jit(lambda p, x: (jax.grad(loss, (1, 2), True)(ours, p, x, rest), jax.grad(penalty, 1)(ours, p, x, rest)))
    assert jax.export.export(f, platforms=[platform])(params, x).platforms == (platform,)


def test_groups_must_divide_the_channels():
    with pytest.raises(ValueError, match="4 groups do not divide 6 channels"):
        GroupNorm(num_groups=4).init(jax.random.key(0), inputs())
