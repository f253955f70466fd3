"""The same numbers on an accelerator as on CPU, in fp32. Needs one: `python -m pytest tests/test_accelerator.py`."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from benchmarks.ours.article import article
from benchmarks.ours.layer import operation
from benchmarks.ours.system import examples
from benchmarks.suites import layers, step
from jaxgen import assemble
from jaxgen.compiler import compiler_options

pytestmark = pytest.mark.skipif(jax.default_backend() == "cpu", reason="there is no accelerator here")

TOLERANCE = 1e-4  # orders of summation differ, no product is rounded to TF32 or bf16


def on_both(function, *args):
    """function(*args) computed on CPU and on the accelerator, with the options that it runs with and full products."""
    found = []
    for device, options in ((jax.devices("cpu")[0], {}), (jax.devices()[0], compiler_options())):
        with jax.default_matmul_precision("highest"), jax.default_device(device):
            found.append(jax.tree.map(np.asarray, jax.jit(function, compiler_options=options or None)(*args)))
    return found


def distance(a, b):
    """Of two trees of arrays, relative to the first's length."""
    a, b = (np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)]) for tree in (a, b))
    return np.linalg.norm(a - b) / (np.linalg.norm(a) or 1)  # a player that sits a phase out does not move


@pytest.mark.parametrize("name", layers.LAYERS)
def test_a_layer_and_its_gradients(name):
    op, shape, options, _ = layers.LAYERS[name]
    apply, shapes = operation({"op": op, "shape": shape} | options)
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=s).astype(np.float32) for s in ((2, *shape), *shapes)]

    def value_and_gradients(*inputs):
        y, pull = jax.vjp(apply, *inputs)
        return y, pull(jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape))

    for expected, got in zip(*map(jax.tree.leaves, on_both(value_and_gradients, *inputs)), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


@pytest.mark.parametrize("case", step.CASES, ids=lambda case: case.name)
def test_a_training_step(case):
    """Of SGD: Adam divides by the gradient's size, where there may be nothing but rounding.

    Rounding alone moves some of these gradients much (the article's generator: by 1%), so the updates may be ten times
    as far apart as one unit in the last place of all weights moves them.
    """
    config = dataclasses.replace(case.config, batch=8, parallel="single")
    game, init, train_step = article(config) if case.kind == "article" else assemble.build(config)
    names = [f.name for f in dataclasses.fields(game) if f.name in ("tx", "gen_tx", "disc_tx", "likelihood_tx")]
    game = dataclasses.replace(game, **dict.fromkeys(names, optax.sgd(1e-3)))
    batch = examples(config, 8)

    def one(batch, factor):
        before = init(jax.random.key(0), batch, game)
        before = jax.tree.map(lambda a: a * factor if a.dtype == jnp.float32 else a, before)
        after, metrics = train_step(before, batch, game)
        networks = {name: (a, vars(before)[name]) for name, a in vars(after).items() if hasattr(a, "opt")}
        updates = {
            name: jax.tree.map(jnp.subtract, (a.params, a.stats), (b.params, b.stats))
            for name, (a, b) in networks.items()
        }
        return metrics, updates

    with jax.default_matmul_precision("highest"), jax.default_device(jax.devices("cpu")[0]):
        _, moved = jax.jit(one)(batch, np.float32(1 + 2**-23))
    (metrics, updates), (their_metrics, theirs) = on_both(one, batch, np.float32(1))
    for name, value in metrics.items():
        np.testing.assert_allclose(their_metrics[name], value, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)
    for name, update in updates.items():
        assert distance(update, theirs[name]) <= max(TOLERANCE, 10 * distance(update, moved[name])), name
