"""Recurrent cores against NumPy in float64, and their scans, with the LSTM's own gradient, against their steps."""

import dataclasses
import itertools
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.models.recurrent import LSTM, RelationalMemory

pytestmark = pytest.mark.usefixtures("compiled_quickly")

B, T, FEATURES, WIDTH, SLOTS, HEADS = 3, 5, 4, 6, 3, 2
RNG = np.random.default_rng(0)
X = RNG.normal(size=(B, T, FEATURES)).astype(np.float32)
CORES = {
    "lstm": LSTM(FEATURES, WIDTH),
    "memory": RelationalMemory(FEATURES, WIDTH, SLOTS, HEADS),
}


def random_params(module, seed=1):
    """Of the shapes of its `init`, none zero or one."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), X))["params"]
    return jax.tree.map(lambda a: rng.normal(size=a.shape, scale=0.5).astype(np.float32), shapes)


def bound(module, params):
    return module.bind({"params": params}).core()


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(params, x):
    """h [T, H] of one sequence x [T, I]; gates i, f, o, u."""
    p = {name: np.asarray(a, np.float64) for name, a in params.items()}
    h = c = np.zeros(WIDTH)
    out = []
    for row in x.astype(np.float64):
        raw = row @ p["kernel"] + h @ p["recurrent"] + p["bias"]
        i, f, o, u = (raw[n * WIDTH : (n + 1) * WIDTH] for n in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(u)
        h = sigmoid(o) * np.tanh(c)
        out.append(h)
    return np.stack(out)


def normalised(x, scale):
    x = x - x.mean()
    return x / np.sqrt((x**2).mean() + 1e-6) * scale


def memory(params, x):
    """Memories [T, slots * width] of one sequence x [T, I]: Santoro et al. 2018, one slot and one head at a time."""
    p = {name: np.asarray(a, np.float64) for name, a in params.items()}
    slots, size = np.eye(SLOTS, WIDTH), WIDTH // HEADS
    out = []
    for row in x.astype(np.float64):
        seen = np.concatenate([slots, (row @ p["input"] + p["input_bias"])[None]])
        new = np.zeros_like(slots)
        for s, slot in enumerate(slots):
            attended = []
            for head in range(HEADS):
                part = slice(head * size, (head + 1) * size)
                query = (slot @ p["query"])[part]
                keys, values = (seen @ p["keys"])[:, :WIDTH][:, part], (seen @ p["keys"])[:, WIDTH:][:, part]
                weights = np.exp(keys @ query / np.sqrt(size))
                attended.append(weights / weights.sum() @ values)
            h = normalised(slot + np.concatenate(attended), p["attended_scale"])
            thought = np.maximum(h @ p["mlp"] + p["mlp_bias"], 0) @ p["out"] + p["out_bias"]
            h = normalised(h + thought, p["thought_scale"])
            gates = sigmoid(row @ p["input_gates"] + np.tanh(slot) @ p["memory_gates"] + p["gate_bias"])
            new[s] = gates[WIDTH:] * slot + gates[:WIDTH] * np.tanh(h)
        slots = new
        out.append(slots.ravel())
    return np.stack(out)


@cache
def scanned(name):
    """params -> h [B, T, H] of X."""
    return jax.jit(lambda params: CORES[name].apply({"params": params}, X))


REFERENCES = {"lstm": lstm, "memory": memory}


def unrolled(core, x):
    """All h, by a plain loop over `core.step`."""
    carry, out = core.start(len(x)), []
    for t in range(x.shape[1]):
        carry, h = core.step(carry, core.inputs(x[:, t]))
        out.append(h)
    return jnp.stack(out, axis=1)


@pytest.mark.parametrize("name", CORES)
def test_a_core_is_its_numpy_loop(name):
    params = random_params(CORES[name])
    h = scanned(name)(params)
    assert h.shape == (B, T, WIDTH * (SLOTS if name == "memory" else 1))
    expected = np.stack([REFERENCES[name](params, x) for x in X])
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(h, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CORES)
def test_a_scan_is_its_steps(name):
    params = random_params(CORES[name])
    steps = jax.jit(lambda params: unrolled(bound(CORES[name], params), X))(params)
    np.testing.assert_allclose(scanned(name)(params), steps, rtol=1e-5, atol=1e-6)


def test_the_lstms_own_gradient_is_that_of_its_steps():
    """In kernel, recurrent kernel, bias, inputs and the first memory; every h and the last ones alike matter."""
    module, weights = LSTM(FEATURES, WIDTH), RNG.normal(size=(B, T, WIDTH)).astype(np.float32)
    start = tuple(RNG.normal(size=(B, WIDTH)).astype(np.float32) for _ in range(2))

    def scanned(core, x, carry):
        return core.scan(carry, core.inputs(x))

    def stepped(core, x, carry):
        out = []
        for t in range(T):
            carry, h = core.step(carry, core.inputs(x[:, t]))
            out.append(h)
        return jnp.stack(out, axis=1)

    def gradients(run):
        def loss(params, x, carry):
            return (weights * run(bound(module, params), x, carry) ** 2).sum()

        return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))(random_params(module), X, start)

    (value, grads), (expected, by_steps) = gradients(scanned), gradients(stepped)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    leaves = jax.tree_util.tree_leaves_with_path(by_steps)
    assert len(leaves) == 6
    for (path, theirs), ours in zip(leaves, jax.tree.leaves(grads), strict=True):
        assert np.abs(theirs).max() > 0.1, path
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5, err_msg=str(path))


def test_reverse_reads_from_the_end():
    params = random_params(LSTM(FEATURES, WIDTH))
    backward = jax.jit(LSTM(FEATURES, WIDTH, reverse=True).apply)({"params": params}, X)
    expected = np.stack([lstm(params, x[::-1])[::-1] for x in X])
    np.testing.assert_allclose(backward, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(backward - scanned("lstm")(params)).max() > 0.1


@pytest.mark.parametrize("name", CORES)
def test_bf16_within_fp32_parameters(name):
    rounded = dataclasses.replace(CORES[name], dtype="bfloat16")
    params = random_params(rounded)
    assert {a.dtype for a in jax.tree.leaves(params)} == {np.dtype(np.float32)}
    h = jax.jit(rounded.apply)({"params": params}, X)
    assert h.dtype == jnp.bfloat16
    assert 1e-6 < np.abs(h.astype(jnp.float32) - scanned(name)(params)).max() < 0.15


def test_the_gradient_in_bf16_is_nearly_that_in_fp32():
    params = random_params(CORES["lstm"])

    def gradient(dtype):
        module = dataclasses.replace(CORES["lstm"], dtype=dtype)
        grads = jax.jit(jax.grad(lambda p: (module.apply({"params": p}, X).astype(jnp.float32) ** 2).sum()))(params)
        return np.concatenate([a.ravel() for a in jax.tree.leaves(grads)])

    exact, rounded = gradient(None), gradient("bfloat16")
    assert rounded.dtype == np.float32
    assert np.linalg.norm(exact - rounded) < 0.1 * np.linalg.norm(exact)


def test_an_lstm_begins_with_an_open_forget_gate_and_orthogonal_gates():
    params = jax.jit(CORES["lstm"].init)(jax.random.key(0), X)["params"]
    i, f, o, u = np.split(np.asarray(params["bias"]), 4)
    np.testing.assert_array_equal([i, o, u], np.zeros((3, WIDTH)))
    np.testing.assert_array_equal(f, np.ones(WIDTH))
    gates = np.split(np.asarray(params["recurrent"]), 4, axis=1)
    for gate in gates:
        np.testing.assert_allclose(gate.T @ gate, np.eye(WIDTH), atol=1e-5)
    assert min(np.abs(a - b).max() for a, b in itertools.pairwise(gates)) > 0.1


def test_a_memory_begins_by_keeping_slots_that_differ():
    module = CORES["memory"]
    params = jax.jit(module.init)(jax.random.key(0), X)["params"]
    take, keep = np.split(np.asarray(params["gate_bias"]), 2)
    assert (take == 0).all()
    assert (keep == 1).all()
    np.testing.assert_array_equal(bound(module, params).start(2), np.stack([np.eye(SLOTS, WIDTH)] * 2))


def test_a_width_that_heads_cannot_share_is_refused():
    with pytest.raises(ValueError, match="a width of 6 can't be shared among 4 heads"):
        RelationalMemory(FEATURES, WIDTH, SLOTS, heads=4).init(jax.random.key(0), X)
