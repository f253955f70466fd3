"""From a map to a picture: sizes, what is heard how far away, and the normalisation by hand."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.models import spade

QUICK = {"xla_backend_optimization_level": 0}  # they run once or twice: the compiler's time is what counts
GEN = spade.Generator(3, (6, 4), hidden=5, patch=2)
REACH = 5  # cells: a 3x3 convolution of the map and one a block, two of the condition, and part of one at the end


def given(*size, n=2, seed=0):
    """(one-hot maps of 3 kinds, noise)"""
    rng = np.random.default_rng(seed)
    maps = np.eye(3, dtype=np.float32)[rng.integers(0, 3, (n, *size))]
    return maps, rng.normal(size=(n, *size, 2)).astype(np.float32)


@cache
def variables():
    """Of the shapes of its `init`, by NumPy; nothing is 0, so that everything that could matter does."""
    rng = np.random.default_rng(2)
    shapes = jax.eval_shape(lambda: GEN.init(jax.random.key(0), *given(2, 2), train=False))
    made = jax.tree.map(lambda a: rng.normal(size=a.shape, scale=a.size**-0.25).astype(a.dtype), shapes)
    return {"params": made["params"], "batch_stats": jax.tree.map(lambda a: abs(a) + 0.5, made["batch_stats"])}


@cache
def jitted(gen, train=False):
    mutable = ["batch_stats"] if train else False
    return jax.jit(lambda v, x, z: gen.apply(v, x, z, train=train, mutable=mutable), compiler_options=QUICK)


@pytest.mark.parametrize("size", [(3, 3), (16, 4)])
def test_maps_of_any_size(size):
    made = jitted(GEN)(variables(), *given(*size))
    assert made.shape == (2, 4 * size[0], 4 * size[1], 3)
    assert made.dtype == jnp.float32
    assert 0.2 < abs(np.asarray(made)).max() <= 1
    assert np.asarray(made).std() > 0.05


@pytest.mark.parametrize(
    ("widths", "patch", "cell"), [((8, 6, 4), 2, 8), ((8, 6), 2, 4), ((8,), 1, 1), ((8, 6), 4, 8), ((8,) * 4, 1, 8)]
)
def test_the_size_of_a_cell(widths, patch, cell):
    gen = spade.Generator(1, widths, hidden=4, patch=patch)
    assert gen.cell == cell
    made = jax.eval_shape(lambda: gen.init_with_output(jax.random.key(0), *given(2, 3), train=False))[0]
    assert made.shape == (2, 2 * cell, 3 * cell, 1)


def test_resolutions_and_widths():
    gen = spade.Generator(3, (8, 6, 4), blocks=(2, 1), hidden=5, patch=2)
    params = jax.eval_shape(lambda: gen.init(jax.random.key(0), *given(2, 3), train=False))["params"]
    kernels = {name: params[name]["kernel"].shape for name in params if "Block" not in name}
    assert kernels == {
        "Conv_0": (3, 3, 5, 5),  # map and noise, made into the condition
        "Conv_1": (3, 3, 5, 5),
        "Conv_2": (3, 3, 5, 8),
        "Dense_0": (8, 4 * 6),
        "Dense_1": (6, 4 * 4),
        "Conv_3": (3, 3, 4, 3 * 2 * 2),
    }
    blocks = [params[f"SpadeBlock_{i}"]["Conv_0"]["kernel"].shape for i in range(4)]
    assert blocks == [(3, 3, 4, 4), (3, 3, 4, 4), (3, 3, 3, 3), (3, 3, 2, 2)]
    assert params["SpadeBlock_0"]["SpatialNorm_0"]["Dense_0"]["kernel"].shape == (5, 2 * 8)
    assert "SpadeBlock_4" not in params


@pytest.mark.parametrize("what", ["map", "noise"])
def test_what_is_far_does_not_matter_with_running_statistics(what):
    x, z = given(16, 4)
    other_x, other_z = x.copy(), z.copy()
    if what == "map":
        other_x[:, 0] = np.roll(x[:, 0], 1, axis=-1)
    else:
        other_z[:, 0] += 1
    changed = abs(np.asarray(jitted(GEN)(variables(), x, z) - jitted(GEN)(variables(), other_x, other_z)))
    changed = changed.max((0, 2, 3)).reshape(16, 4).max(1)  # by row of cells
    assert changed[0] > 1e-2
    assert changed[1] > 1e-4
    assert changed[REACH:].max() == 0


def test_batch_statistics_are_of_the_whole_picture():
    x, z = given(16, 4)
    other = x.copy()
    other[:, 0] = np.roll(x[:, 0], 1, axis=-1)
    (one, new), (two, _) = jitted(GEN, train=True)(variables(), x, z), jitted(GEN, train=True)(variables(), other, z)
    assert abs(np.asarray(one - two))[:, 4 * REACH :].max() > 1e-4
    before, after = jax.tree.leaves(variables()["batch_stats"]), jax.tree.leaves(new["batch_stats"])
    assert all(abs(np.asarray(a - b)).max() > 1e-4 for a, b in zip(before, after, strict=True))


def test_every_cell_of_an_endless_field_looks_the_same_and_has_a_picture():
    """Where map and noise are the same everywhere only the place within the cell tells pixels apart."""
    x, z = given(1, 1, n=1)
    x, z = (np.broadcast_to(a, (1, 16, 16, a.shape[-1])) for a in (x, z))
    made = np.asarray(jitted(GEN)(variables(), x, z))[0]
    cells = made.reshape(16, 4, 16, 4, 3).swapaxes(1, 2)
    inner = cells[REACH:-REACH, REACH:-REACH].reshape(-1, 4, 4, 3)
    np.testing.assert_allclose(inner, np.broadcast_to(inner[:1], inner.shape), atol=1e-5)
    assert inner[0].std((0, 1)).min() > 1e-2


def test_a_block_is_the_identity_at_first():
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 6)).astype(np.float32)
    condition = np.random.default_rng(1).normal(size=(2, 2, 2, 5)).astype(np.float32)

    def run(key):
        return spade.SpadeBlock().init_with_output(key, x, condition, train=False)

    out, made = jax.jit(run, compiler_options=QUICK)(jax.random.key(0))
    np.testing.assert_array_equal(out, x)
    assert abs(np.asarray(made["params"]["SpatialNorm_0"]["Dense_0"]["kernel"])).min() > 0  # the condition is heard


@pytest.fixture(scope="module")
def norm():
    """(SpatialNorm in training, x, condition, kernel [F, 2 C], bias [2 C])"""
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, size=(2, 4, 6, 3)).astype(np.float32)
    condition = rng.normal(size=(2, 2, 3, 5)).astype(np.float32)
    module = spade.SpatialNorm()
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), x, condition, train=True))
    made = jax.tree.map(lambda a: jnp.ones(a.shape), shapes)
    made["params"]["BatchNorm_0"]["bias"] *= 0

    @partial(jax.jit, compiler_options=QUICK)
    def run(x, condition, kernel, bias):
        params = made["params"] | {"Dense_0": {"kernel": kernel, "bias": bias}}
        return module.apply(made | {"params": params}, x, condition, train=True, mutable=["batch_stats"])[0]

    assert made["params"]["Dense_0"]["kernel"].shape == (5, 6)
    return run, x, condition, rng.normal(size=(5, 6)).astype(np.float32), rng.normal(size=6).astype(np.float32)


def test_normalisation_by_hand(norm):
    run, x, condition, kernel, bias = norm
    standard = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)
    read = np.repeat(np.repeat(condition @ kernel + bias, 2, axis=1), 2, axis=2)
    np.testing.assert_allclose(run(*norm[1:]), standard * (1 + read[..., :3]) + read[..., 3:], atol=1e-5)
    constant = np.array([0.5, -1, 2, 3, 0, -3], np.float32)  # whatever the map says
    expected = standard * [1.5, 0, 3] + [3, 0, -3]
    np.testing.assert_allclose(run(x, condition, 0 * kernel, constant), expected, atol=1e-5)
    np.testing.assert_allclose(run(x, condition, 0 * kernel, 0 * bias), standard, atol=1e-5)


def test_a_place_of_the_map_governs_its_own_block_of_pixels(norm):
    run, x, condition, kernel, bias = norm
    other = condition.copy()
    other[1, 1, 2] += 1
    changed = np.asarray(run(x, condition, kernel, bias) != run(x, other, kernel, bias)).any(-1)
    expected = np.zeros((2, 4, 6), bool)
    expected[1, 2:4, 4:6] = True
    np.testing.assert_array_equal(changed, expected)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_repetition(times):
    x = np.arange(2 * 2 * 3 * 2, dtype=np.float32).reshape(2, 2, 3, 2)
    np.testing.assert_array_equal(spade.repeated(x, times), np.repeat(np.repeat(x, times, axis=1), times, axis=2))


def test_batch_statistics_over_devices():
    x, z = given(3, 3, n=4)
    one = spade.Generator(2, (4,), hidden=3, patch=2)
    several = spade.Generator(2, (4,), hidden=3, patch=2, axis_name="data")
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: one.init(jax.random.key(0), x, z, train=False))
    made = jax.tree.map(lambda a: rng.uniform(0.1, 0.5, a.shape).astype(a.dtype), shapes)
    expected, stats = jitted(one, train=True)(made, x, z)
    run = jax.pmap(
        lambda x, z: several.apply(made, x, z, train=True, mutable=["batch_stats"]),
        axis_name="data",
        devices=jax.devices()[:2],
    )
    found, found_stats = run(*(a.reshape(2, 2, *a.shape[1:]) for a in (x, z)))
    np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-5)
    for a, b in zip(jax.tree.leaves(stats), jax.tree.leaves(found_stats), strict=True):
        np.testing.assert_allclose(b, np.stack([a, a]), rtol=1e-5, atol=1e-6)


def test_bfloat16_inside_and_float32_outside():
    x, z = given(3, 3)
    half = spade.Generator(3, (6, 4), hidden=5, patch=2, dtype="bfloat16")
    made, exact = (jitted(gen)(variables(), x, z) for gen in (half, GEN))
    assert made.dtype == jnp.float32
    away = abs(np.asarray(made - exact))
    assert 1e-4 < away.max() < 0.2
    assert away.mean() < 0.02
    shapes = jax.eval_shape(lambda: half.init(jax.random.key(0), x, z, train=False))
    _, stats = jax.eval_shape(lambda: half.apply(variables(), x, z, train=True, mutable=["batch_stats"]))
    assert {a.dtype for a in jax.tree.leaves((shapes, stats))} == {np.dtype("float32")}
