"""Waveforms along time: shapes, labels, and the phase shuffle by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.losses.penalties import r1
from jaxgen.models import wave

pytestmark = pytest.mark.usefixtures("compiled_quickly")
CLASSES = 3
RNG = np.random.default_rng(0)
LATENTS = RNG.normal(size=(4, 5)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0], np.int32)
WAVES = RNG.uniform(-1, 1, size=(4, 64, 1)).astype(np.float32)


def started(module, *inputs):
    """(output, variables) of a fresh network."""
    return jax.jit(lambda key: module.init_with_output(key, *inputs, train=False))(jax.random.key(0))


def trained(module, variables, x, key=None):
    rngs = None if key is None else {"example": key}
    return jax.jit(lambda: module.apply(variables, x, train=True, rngs=rngs))()


def keys(n, seed=0):
    return jax.random.split(jax.random.key(seed), n)


@pytest.mark.parametrize(("length", "layers"), [(64, 2), (80, 2), (64, 3)])
def test_a_generator_makes_so_many_samples(length, layers):
    gen = wave.Generator(length, width=2, layers=layers)
    out, variables = started(gen, 30 * LATENTS)
    assert out.shape == (4, length, 1)
    assert np.abs(out).max() <= 1
    assert np.abs(out[0] - out[1]).max() > 0
    params = variables["params"]
    assert params["Dense_0"]["kernel"].shape == (5, length // 4**layers * (2 << (layers - 1)))
    assert [params[f"ConvTranspose_{i}"]["kernel"].shape[0] for i in range(layers)] == [25] * layers
    assert params[f"ConvTranspose_{layers - 1}"]["kernel"].shape[1:] == (2, 1)
    assert f"ConvTranspose_{layers}" not in params


def test_a_generator_listens_to_the_label():
    gen = wave.Generator(64, width=2, layers=2, classes=CLASSES)
    same = np.repeat(LATENTS[:1], 4, axis=0)
    out, _ = started(gen, same, LABELS)
    assert np.abs(out[0] - out[1]).max() > 0
    np.testing.assert_allclose(out[0], out[3], atol=1e-6)


def test_a_critic_gives_one_logit_each_and_draws_in_training_only():
    critic = wave.Critic(width=2, layers=2)
    logits, variables = started(critic, WAVES)
    assert logits.shape == (4,)
    assert np.ptp(logits) > 0
    assert variables["params"]["Dense_0"]["kernel"].shape == (4 * 4, 1)  # 64 samples, two layers, 4 channels
    runs = [trained(critic, variables, WAVES, jax.random.key(i)) for i in (0, 1, 0)]
    assert (np.abs(runs[0] - runs[1]) > 1e-6).any()
    np.testing.assert_array_equal(runs[0], runs[2])
    plain = wave.Critic(width=2, layers=2, shuffle=0)
    np.testing.assert_allclose(trained(plain, variables, WAVES), logits, rtol=1e-5, atol=1e-6)


def test_a_critic_listens_to_the_label():
    critic = wave.Critic(width=2, layers=2, classes=CLASSES)
    same = np.repeat(WAVES[:1], 4, axis=0)
    logits, _ = started(critic, same, LABELS)
    assert abs(logits[0] - logits[1]) > 1e-6
    assert logits[0] == pytest.approx(float(logits[3]), abs=1e-6)


def test_the_draws_do_not_depend_on_the_number_of_devices():
    critic = wave.Critic(width=2, layers=2)
    x = RNG.uniform(-1, 1, size=(8, 64, 1)).astype(np.float32)
    _, variables = started(critic, x)
    key = jax.random.key(3)
    whole = trained(critic, variables, x, key)
    shared = wave.Critic(width=2, layers=2, axis_name="data")
    run = jax.pmap(lambda x: shared.apply(variables, x, train=True, rngs={"example": key}), axis_name="data")
    np.testing.assert_allclose(run(x.reshape(4, 2, 64, 1)).ravel(), whole, rtol=1e-4, atol=1e-6)


def shifted(x, by):
    """x [T, C]: what stood `by` places further on, the gap filled by reflection about the last entry."""
    n = len(x)
    places = np.abs(np.arange(n) + by)
    return x[np.where(places > n - 1, 2 * (n - 1) - places, places)]


@pytest.mark.parametrize("most", [1, 2])
def test_each_example_is_shifted_by_one_of_the_shifts(most):
    h = RNG.normal(size=(40, 7, 2)).astype(np.float32)
    out = np.asarray(wave.phase_shuffle(jnp.asarray(h), keys(40), most))
    found = []
    for x, y in zip(h, out, strict=True):
        same = [by for by in range(-most, most + 1) if np.array_equal(shifted(x, by), y)]
        assert len(same) == 1
        found += same
    assert set(found) == set(range(-most, most + 1))


def test_a_shift_by_hand():
    x = np.arange(5.0)[:, None]
    np.testing.assert_array_equal(shifted(x, 2).ravel(), [2, 3, 4, 3, 2])
    np.testing.assert_array_equal(shifted(x, -1).ravel(), [1, 0, 1, 2, 3])


def test_the_gradient_of_a_shuffle_goes_back_where_it_came_from():
    h = RNG.normal(size=(6, 5, 2)).astype(np.float32)
    weight = RNG.normal(size=h.shape).astype(np.float32)
    grads = jax.grad(lambda h: (wave.phase_shuffle(h, keys(6), 2) * weight).sum())(jnp.asarray(h))
    moved = wave.phase_shuffle(jnp.asarray(h), keys(6), 2)
    np.testing.assert_allclose((grads * h).sum(), (moved * weight).sum(), rtol=1e-4)  # it is linear


def test_the_penalty_has_a_finite_gradient_and_so_has_the_generator():
    gen, critic = wave.Generator(64, width=2, layers=2), wave.Critic(width=2, layers=2)
    variables, z_variables = (started(*pair)[1]["params"] for pair in ((critic, WAVES), (gen, LATENTS)))

    def judged(params, x) -> jax.Array:
        return critic.apply({"params": params}, x, train=True, rngs={"example": jax.random.key(0)})  # pyright: ignore[reportReturnType]

    def penalty(params):
        x = jnp.asarray(WAVES)
        return r1(lambda x: judged(params, x), x, x, keys(4)).mean()

    both = jax.jit(jax.value_and_grad(penalty))
    value, grads = both(variables)
    assert value > 0
    to_gen = jax.jit(jax.grad(lambda p: judged(variables, gen.apply({"params": p}, LATENTS, train=True)).sum()))
    for leaf in jax.tree.leaves((grads, to_gen(z_variables))):
        assert np.isfinite(leaf).all()
    assert np.abs(grads["Conv_0"]["kernel"]).max() > 0
    # All but the biases is homogeneous: twice the last layer's kernel is four times the penalty.
    doubled = {**variables, "Dense_0": jax.tree.map(lambda a: 2 * a, variables["Dense_0"])}
    assert both(doubled)[0] == pytest.approx(4 * float(value), rel=1e-4)
