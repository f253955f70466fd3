"""Residual networks: what they start as, what they listen to, and one-hot outputs by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.models import residual
from jaxgen.models.layers import ConditionalBatchNorm

Z = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)


def test_a_block_is_the_identity_at_first():
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 6)).astype(np.float32)
    out, _ = residual.Block().init_with_output(jax.random.key(0), x, train=False)
    np.testing.assert_array_equal(out, x)


def test_resolutions_and_widths():
    gen = residual.Generator((16, 24, 3), (8, 6, 4), blocks=(2,))
    shapes = jax.eval_shape(lambda: gen.init(jax.random.key(0), Z, train=False))["params"]
    assert shapes["Dense_0"]["kernel"].shape == (5, 4 * 6 * 8)
    assert [shapes[f"Block_{i}"]["Dense_0"]["kernel"].shape for i in range(6)] == [
        *[(8, 4)] * 2,
        *[(6, 3)] * 2,
        *[(4, 2)] * 2,
    ]
    critic = residual.Critic((8, 6, 4), blocks=(2, 1, 0))
    x = jnp.zeros((1, 16, 24, 3))
    shapes = jax.eval_shape(lambda: critic.init(jax.random.key(0), x, train=False))["params"]
    assert shapes["where"].shape == (4, 6, 8)
    assert shapes["Conv_0"]["kernel"].shape == (3, 3, 3, 4)
    assert [shapes[f"Block_{i}"]["Dense_0"]["kernel"].shape for i in range(3)] == [(6, 3), (8, 4), (8, 4)]
    assert "Block_3" not in shapes


def test_one_hot_outputs_by_hand():
    logits = jnp.array([[1.0, 2.0, 9.0], [3.0, 1.0, 2.0]])
    np.testing.assert_allclose(residual.straight_through(logits), [[0, 0, 1], [1, 0, 0]], atol=1e-6)


def test_maps_take_different_cells_of_the_ground():
    """Of three cells all maps prefer the first, which is no ground; two find room, the third does not."""
    cells = [[9.0, 9.0, 9.0], [3.0, 3.0, 3.0], [1.0, 2.0, 2.0]]
    logits = jnp.array([[cells]])  # [1, 1, 3, 3]
    ground = jnp.array([[[0.0, 1.0, 1.0]]])
    expected = [[[[0, 0, 1], [1, 0, 0], [0, 1, 0]]]]
    np.testing.assert_allclose(residual.place(logits, ground), expected, atol=1e-6)


def test_kinds_that_are_placed_stand_nowhere_else():
    logits = jnp.array([[[[1.0, 2.0, 9.0], [3.0, 1.0, 9.0]]]])
    np.testing.assert_allclose(residual.others(logits, (2,)), [[[[0, 1, 0], [1, 0, 0]]]], atol=1e-6)


def test_a_generator_places_as_many_as_it_is_told():
    gen = residual.Generator((6, 4, 5), (4, 4), output="one_hot", placed=(4, 3, 3))
    z = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    x, _ = jax.jit(lambda key: gen.init_with_output(key, z, train=False))(jax.random.key(0))
    np.testing.assert_allclose(x.sum(-1), 1, atol=1e-6)
    np.testing.assert_allclose(x[..., 3:].sum((1, 2)), [[2, 1]] * 20, atol=1e-6)
    assert len(set(np.argmax(np.asarray(x)[..., 4].reshape(20, -1), axis=1).tolist())) > 5  # many places
    assert len(np.unique(np.argmax(np.asarray(x)[..., :3], axis=-1).reshape(20, -1), axis=0)) == 20


def test_the_gradient_of_a_one_hot_output_is_the_softmaxs():
    logits, weight = np.random.default_rng(1).normal(size=(2, 2, 2, 2, 3)).astype(np.float32)
    hard = jax.grad(lambda x: (residual.straight_through(x) * weight).sum())(jnp.asarray(logits))
    soft = jax.grad(lambda x: (jax.nn.softmax(x) * weight).sum())(jnp.asarray(logits))
    np.testing.assert_allclose(hard, soft, atol=1e-6)
    warm = jax.grad(lambda x: (residual.straight_through(x, 4.0) * weight).sum())(jnp.asarray(logits))
    np.testing.assert_allclose(warm, jax.grad(lambda x: (jax.nn.softmax(x / 4) * weight).sum())(logits), atol=1e-6)
    placed = jax.grad(lambda x: (residual.place(x, jnp.ones((2, 2, 2))) * weight).sum())(jnp.asarray(logits))
    assert np.isfinite(placed).all()
    assert np.abs(placed[..., 0]).min() > 0  # every cell hears what placing something there would do


def test_a_critic_with_totals_counts():
    """Two boards with the same neighbourhoods everywhere a small filter looks, but not as many pieces."""
    few, many = np.zeros((1, 12, 12, 2), np.float32), np.zeros((1, 12, 12, 2), np.float32)
    few[0, 0, 0, 1] = many[0, 0, 0, 1] = many[0, 11, 11, 1] = 1
    critic = residual.Critic((4,), totals=True)
    variables = critic.init(jax.random.key(0), few, train=False)
    variables["params"]["where"] = jnp.zeros_like(variables["params"]["where"])  # only the totals are left
    logits = critic.apply(variables, np.concatenate([few, many, few[:, ::-1]]), train=False)
    assert abs(logits[0] - logits[1]) > 1e-3
    assert logits[0] == pytest.approx(float(logits[2]), abs=1e-6)


def test_conditional_normalisation_by_hand():
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, size=(6, 2, 2, 3)).astype(np.float32)
    condition = rng.normal(size=(6, 5)).astype(np.float32)
    norm = ConditionalBatchNorm()
    variables = norm.init(jax.random.key(0), x, condition, train=True)
    weights = {name: rng.normal(size=(5, 3)).astype(np.float32) for name in ("scale", "shift")}
    biases = {"scale": np.full(3, 0.5, np.float32), "shift": np.full(3, -1, np.float32)}
    for name in weights:
        variables["params"][name] = {"kernel": jnp.asarray(weights[name]), "bias": jnp.asarray(biases[name])}
    out, _ = norm.apply(variables, x, condition, train=True, mutable=["batch_stats"])
    standard = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)
    scale, shift = ((condition @ weights[name] + biases[name])[:, None, None] for name in weights)
    np.testing.assert_allclose(out, standard * (1 + scale) + shift, atol=1e-5)


def test_batch_normalisation_takes_a_condition():
    with pytest.raises(ValueError, match=r"a condition \[B, F\]"):
        residual.Block("batch").init(jax.random.key(0), jnp.ones((2, 4, 4, 8)), train=True)


def test_a_style_enters_the_blocks_in_the_place_of_latents_and_class():
    module = residual.Generator((4, 4, 1), (4, 4), norm="batch", classes=3)
    z, label, style = jnp.ones((2, 6)), jnp.array([0, 2]), jnp.ones((2, 5))
    without = module.init(jax.random.key(0), z, label, train=False)["params"]
    params = module.init(jax.random.key(0), z, label, style, train=False)["params"]
    for found, width in ((without, 6 + 3), (params, 5)):
        assert found["Dense_0"]["kernel"].shape[0] == 6 + 3
        assert found["Block_0"]["ConditionalBatchNorm_0"]["scale"]["kernel"].shape[0] == width


def test_one_hot_outputs_have_no_patches():
    gen = residual.Generator((8, 12, 3), (4, 4), output="one_hot", patch=2)
    with pytest.raises(ValueError, match="patch must be 1, not 2"):
        gen.init(jax.random.key(0), jnp.ones((1, 5)), train=False)


def test_patches_of_pixels_become_channels_and_back():
    x = jnp.arange(2 * 4 * 6 * 3.0).reshape(2, 4, 6, 3)
    deep = residual.space_to_depth(x, 2)
    assert deep.shape == (2, 2, 3, 12)
    np.testing.assert_array_equal(deep[0, 1, 2, 4:8], x[0, 2:4, 4:6, 1].ravel())
    np.testing.assert_array_equal(residual.depth_to_space(deep, 2), x)
    gen, critic = residual.Generator((8, 12, 1), (4, 4), patch=2), residual.Critic((4, 4), patch=2)
    made, variables = gen.init_with_output(jax.random.key(0), jnp.ones((3, 5)), train=False)
    assert made.shape == (3, 8, 12, 1)
    assert variables["params"]["Conv_0"]["kernel"].shape[-1] == 4
    logits, variables = critic.init_with_output(jax.random.key(0), made, train=False)
    assert logits.shape == (3,)
    assert variables["params"]["Conv_0"]["kernel"].shape[2] == 4
