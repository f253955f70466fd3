"""A latent a slice, against NumPy in float64 with the same noise, one sequence and one slice at a time."""

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.axes import example_keys
from jaxgen.latent import numbered_keys
from jaxgen.models.slices import NARROW, Bound, SliceModel

pytestmark = pytest.mark.usefixtures("compiled_quickly")

B, T, P, Q, Z, WIDTH, HIDDEN = 3, 5, 3, 2, 2, 4, 6
RNG = np.random.default_rng(0)
X = RNG.integers(0, 2, size=(B, T, P)).astype(np.float32)
GIVEN = RNG.integers(0, 2, size=(B, T, Q)).astype(np.float32)
LENGTH = np.array([5, 3, 1], np.int32)
KEY = jax.random.key(3)


class Model(SliceModel):
    """Its noise [B, T, Z], too."""

    def noise(self, x):
        keys = example_keys(self.make_rng("example"), len(x), None)
        return jax.vmap(lambda key: jax.random.normal(key, (x.shape[1], self.z_dim)))(keys)


MODELS = {
    "alone": Model(P, Z, WIDTH, HIDDEN),
    "given": Model(P, Z, WIDTH, HIDDEN, given=Q),
    "dropout": Model(P, Z, WIDTH, HIDDEN, dropout=0.5),
}


def given(name):
    return GIVEN if name == "given" else None


@cache
def params(name):
    """Random: no bias is 0, as after training."""
    rng = np.random.default_rng(1)
    inputs = {"params": KEY, "example": KEY}, X, LENGTH, given(name)
    shapes = jax.eval_shape(lambda: MODELS[name].init(*inputs, train=False))["params"]
    return jax.tree.map(lambda a: rng.normal(size=a.shape, scale=0.7).astype(np.float32), shapes)


@cache
def compiled(name, method="__call__", **options):
    def run(*inputs):
        return MODELS[name].apply({"params": params(name)}, *inputs, rngs={"example": KEY}, method=method, **options)

    return jax.jit(run, static_argnums=1 if method == "sample" else ())


def bound(name, x=X, length=LENGTH, g=None, train=False):
    g = given(name) if g is None else g
    return compiled(name, train=train)(x, length, *(() if g is None else (g,)))


def inferred(name, x=X, g=None):
    """(z, d, KL) as if all slices counted."""
    g = given(name) if g is None else g
    out = compiled(name, "infer", train=False)(x, np.ones((B, T), np.float32), *(() if g is None else (g,)))
    return [np.asarray(a) for a in out]


# The reference, for one sequence; p is a tree of float64.
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(p, x):
    h = c = np.zeros(WIDTH)
    out = []
    for row in x:
        i, f, o, u = np.split(row @ p["kernel"] + h @ p["recurrent"] + p["bias"], 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(u)
        h = sigmoid(o) * np.tanh(c)
        out.append(h)
    return np.stack(out)


def transition(p, z, context):
    hidden = np.tanh(context @ p["of_context"]["kernel"] + p["of_context"]["bias"] + z @ p["of_latent"])
    return np.split(hidden @ p["out"], 2)


def emitted(p, z, d, before):
    """Logits of a slice."""
    hidden = np.maximum(np.concatenate([z, d]) @ p["hidden_layer"]["kernel"] + p["hidden_layer"]["bias"], 0)
    linear = z @ p["direct"]["kernel"] + before @ p["sustain"]["kernel"]
    return hidden @ p["logits"]["kernel"] + p["logits"]["bias"] + linear


def before(x):
    return np.concatenate([np.zeros((1, P)), x[:-1]])


def context(p, g):
    return np.concatenate([g, lstm(p["ahead"], g[::-1])[::-1]], axis=1)


def reference(p, x, length, g, noise):
    """(log p(x_t | z), KL_t) of the slices that count, with Gaussians' KL as textbooks have it."""
    seen = before(x)
    d = lstm(p["forward"], seen if g is None else np.concatenate([seen, context(p, g)], axis=1))
    read = np.concatenate([d, x], axis=1)
    read[length:] = 0
    a = lstm(p["backward"], read[::-1])[::-1]
    z, found = np.zeros(Z), []
    for t in range(length):
        mu, logvar = transition(p["prior"], z, d[t])
        shift, ratio = transition(p["posterior"], z, a[t])
        mean, deviation, prior_deviation = mu + shift, np.exp((logvar + ratio - NARROW) / 2), np.exp(logvar / 2)
        z = mean + deviation * noise[t]
        kl = np.log(prior_deviation / deviation) + (deviation**2 + (mean - mu) ** 2) / (2 * prior_deviation**2) - 0.5
        on = sigmoid(emitted(p, z, d[t], seen[t]))
        found.append((np.log(np.where(x[t] == 1, on, 1 - on)).sum(), kl.sum()))
    return np.pad(np.array(found), ((0, T - length), (0, 0)))


def doubles(tree):
    return jax.tree.map(lambda a: np.asarray(a, np.float64), tree)


@pytest.mark.parametrize("name", ["alone", "given"])
def test_the_bound_is_numpys(name):
    found = bound(name)
    assert isinstance(found, Bound)
    noise = doubles(compiled(name, "noise")(X))
    g = [None] * B if name == "alone" else doubles(GIVEN)
    for i in range(B):
        expected = reference(doubles(params(name)), doubles(X)[i], LENGTH[i], g[i], noise[i])
        np.testing.assert_allclose(found.log_likelihood[i], expected[:, 0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.kl[i], expected[:, 1], rtol=1e-4, atol=1e-5)
        assert (expected[: LENGTH[i], 1] > 0.1).all()


def test_what_comes_after_the_end_counts_for_nothing():
    other = np.where(np.arange(T)[None, :, None] < LENGTH[:, None, None], X, 1 - X)
    assert (other != X).any()
    for a, b in zip(bound("alone"), bound("alone", other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    for a in bound("alone"):
        assert (np.asarray(a) != 0).sum(1).tolist() == LENGTH.tolist()


def test_a_slice_is_not_seen_before_it_is_made():
    """With fixed latents, a change in slice 2 changes the logits of those behind it alone."""
    x = X.copy()
    x[:, 2] = 1 - x[:, 2]
    (z, d, _), (other_z, other_d, _) = inferred("alone"), inferred("alone", x)
    logits, changed = (compiled("alone", "emit", train=False)(z, a, X) for a in (d, other_d))
    np.testing.assert_array_equal(logits[:, :3], changed[:, :3])
    assert (np.abs(logits - changed)[:, 3:].max(-1) > 1e-4).all()
    assert (np.abs(z - other_z)[:, :3].max(-1) > 1e-4).all()  # the posterior reads from the end


def test_what_is_given_is_known_as_a_whole():
    g = GIVEN.copy()
    g[:, 2] = 1 - g[:, 2]
    (_, d, _), (_, other, _) = inferred("given"), inferred("given", g=g)
    assert (np.abs(d - other).max(-1) > 1e-6).all()


def test_dropout_is_of_training_alone():
    assert len({float(bound("dropout").log_likelihood.sum()) for _ in range(2)}) == 1
    for a, b in zip(bound("dropout"), bound("dropout", train=True), strict=True):
        assert np.abs(np.asarray(a) - b)[:, 0].min() > 1e-6


@pytest.mark.parametrize("name", ["alone", "given"])
def test_samples_are_numpys(name):
    temperature, n = 0.7, 4
    keys = numbered_keys(KEY, n)
    g = [] if name == "alone" else [np.concatenate([GIVEN, GIVEN[:1]])]
    x = np.asarray(compiled(name, "sample", temperature=temperature)(keys, T, *g))
    assert x.shape == (n, T, P)
    assert set(np.unique(x)) == {0, 1}
    p = doubles(params(name))
    for i in range(n):
        known = np.zeros((T, 0)) if name == "alone" else context(p, doubles(g[0][i]))
        z, made = np.zeros(Z), np.zeros((T + 1, P))
        for t in range(T):
            normal, uniform = jax.random.split(jax.random.fold_in(keys[i], t))
            d = lstm(p["forward"], np.concatenate([made[: t + 1], known[: t + 1]], axis=1))[-1]
            mu, logvar = transition(p["prior"], z, d)
            z = mu + temperature * np.exp(logvar / 2) * np.asarray(jax.random.normal(normal, (Z,)))
            on = sigmoid(emitted(p, z, d, made[t]) / temperature)
            made[t + 1] = np.asarray(jax.random.uniform(uniform, (P,))) < on
        np.testing.assert_array_equal(x[i], made[1:])


def test_a_sample_is_its_own_keys_and_the_first_slices_stay():
    sample = compiled("alone", "sample")
    keys = numbered_keys(KEY, 64)
    x = sample(keys, T)
    np.testing.assert_array_equal(sample(keys[:2], T), x[:2])
    np.testing.assert_array_equal(sample(keys, T - 2), x[:, : T - 2])
    assert len(np.unique(np.asarray(x).reshape(64, -1), axis=0)) > 40


def test_without_heat_all_samples_are_one():
    x = np.asarray(compiled("alone", "sample", temperature=1e-4)(numbered_keys(KEY, 32), T))
    np.testing.assert_array_equal(x, np.broadcast_to(x[:1], x.shape))


def test_a_neighbours_latents():
    found = compiled("alone", "shuffled")(X, LENGTH)
    np.testing.assert_array_equal(found["slices"], [1, 3, 1])  # with the one before, of the first the last
    own = bound("alone").log_likelihood
    np.testing.assert_allclose(found["own"], [own[0, 0], own[1].sum(), own[2].sum()], rtol=1e-5)
    z, d, _ = (np.asarray(a) for a in compiled("alone", "infer", train=False)(X, np.arange(T) < LENGTH[:, None]))
    p = doubles(params("alone"))
    for i in range(B):
        total = 0
        for t in range(int(found["slices"][i])):
            on = sigmoid(emitted(p, z[i - 1, t], d[i, t], before(X[i])[t]))
            total += np.log(np.where(X[i, t] == 1, on, 1 - on)).sum()
        np.testing.assert_allclose(found["other"][i], total, rtol=1e-4)
    alone = compiled("alone", "shuffled")(X[:1], LENGTH[:1])
    np.testing.assert_array_equal(alone["own"], alone["other"])


def test_bf16_is_within():
    """Traced alone: a scan whose memory changed its type would not be."""
    module = dataclasses.replace(MODELS["given"], dtype="bfloat16", dropout=0.5)
    variables = {"params": params("given")}

    def all_of_it():
        found = module.apply(variables, X, LENGTH, GIVEN, train=True, rngs={"example": KEY})
        return found, module.apply(variables, numbered_keys(KEY, B), T, GIVEN, 0.5, method="sample")

    assert {a.dtype for a in jax.tree.leaves(jax.eval_shape(all_of_it))} == {jnp.dtype(jnp.float32)}
    assert "bf16" in str(jax.make_jaxpr(all_of_it)())
