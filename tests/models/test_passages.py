"""A latent a passage, and chords entry by entry, against NumPy in float64 with the same noise."""

import dataclasses
import itertools
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.axes import example_keys
from jaxgen.latent import numbered_keys
from jaxgen.models.passages import CLOCK, MOST, Chain, PassageModel

pytestmark = pytest.mark.usefixtures("compiled_quickly")

B, T, P, Z, ENCODER, WIDTH = 3, 18, 3, 2, 4, 5
RNG = np.random.default_rng(0)
X = RNG.integers(0, 2, size=(B, T, P)).astype(np.float32)
LENGTH = np.array([T, 11, 1], np.int32)
KEY = jax.random.key(3)


class Model(PassageModel):
    """Its keys, too."""

    def keys(self, n):
        return jax.random.key_data(example_keys(self.make_rng("example"), n, None))


MODELS = {
    "plain": Model(P, Z, ENCODER, WIDTH),
    "conductor": Model(P, Z, ENCODER, WIDTH, conductor=6, every=6),
    "blind": Model(P, Z, ENCODER, WIDTH, blind=0.5),
    "dropout": Model(P, Z, ENCODER, WIDTH, dropout=0.5),
}


def random_params(init):
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(init)["params"]
    return jax.tree.map(lambda a: rng.normal(size=a.shape, scale=0.7).astype(np.float32), shapes)


@cache
def params(name):
    return random_params(lambda: MODELS[name].init({"params": KEY, "example": KEY}, X, LENGTH, train=False))


@cache
def compiled(name, method="__call__", **options):
    def run(params, *inputs):
        return MODELS[name].apply({"params": params}, *inputs, rngs={"example": KEY}, method=method, **options)

    return partial(jax.jit(run, static_argnums={"sample": 2, "keys": 1}.get(method, ())), params(name))


def doubles(tree):
    return jax.tree.map(lambda a: np.asarray(a, np.float64), tree)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def dense(p, x):
    return x @ p["kernel"] + p.get("bias", 0)


def lstm_step(p, x, h, c):
    i, f, o, u = np.split(dense(p, x) + h @ p["recurrent"], 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(u)
    return sigmoid(o) * np.tanh(c), c


def lstm(p, x):
    h = c = np.zeros(len(p["recurrent"]))
    out = []
    for row in x:
        h, c = lstm_step(p, row, h, c)
        out.append(h)
    return np.stack(out)


def before(x):
    return np.concatenate([np.zeros((1, P)), x[:-1]])


def entries(p, h, last, choose):
    """(a slice, log p of it): `choose(entry, probability)` -> 0 or 1, from the last entry to the first."""
    logits = dense(p["condition"], h) + dense(p["sustain"], last)
    x, total = np.zeros(len(logits)), 0.0
    for entry in reversed(range(len(logits))):
        linked = sum(p["links"][above, entry] * x[above] for above in range(entry + 1, len(x)))
        on = sigmoid(logits[entry] + linked + p["counted"][entry, min(int(x.sum()), MOST)])
        x[entry] = choose(entry, on)
        total += np.log(on if x[entry] else 1 - on)
    return x, total


def decoded(p, module, z, choose, shown=None):
    """(x [T, P], log p of each slice [T]) of a latent [Z]; `choose(t, entry, probability)`. In place of the slices
    before, the decoder may be `shown` others [T, P]."""
    every = module.every if module.conductor else T
    plan = lstm(p["conducting"], np.tile(z, (T // every, 1))) if module.conductor else [z]
    x, found = np.zeros((T + 1, P)), []
    for t in range(T):
        told = plan[t // every]
        if t % every == 0:
            h, c = np.split(np.tanh(dense(p["first"], told)), 2)
        clock = np.eye(CLOCK)[t % every % CLOCK]
        last = x[t] if shown is None else shown[t]
        h, c = lstm_step(p["core"], np.concatenate([last, clock, told]), h, c)
        x[t + 1], log_p = entries(p["chain"], h, last, lambda entry, on, t=t: choose(t, entry, on))
        found.append(log_p)
    return x[1:], np.array(found)


def encoded(p, x):
    """(mu, logvar) [Z] of a passage [T, P]."""
    ends = [lstm(p["ways_0"], x)[-1], lstm(p["ways_1"], x[::-1])[-1]]
    return np.split(dense(p["posterior"], np.concatenate(ends)), 2)


@pytest.mark.parametrize(("name", "train"), [("plain", False), ("conductor", False), ("blind", True)])
def test_the_bound_is_numpys(name, train):
    found = compiled(name, train=train)(X, LENGTH)
    assert found.kl.shape == (B, 1)
    keys = jax.random.wrap_key_data(compiled(name, "keys")(B))
    for i in range(B):
        p, x = doubles(params(name)), doubles(X[i])
        mu, logvar = encoded(p, x)
        z = mu + np.exp(logvar / 2) * np.asarray(jax.random.normal(keys[i], (Z,)))
        shown = None
        if train:
            seen = np.asarray(jax.random.uniform(jax.random.fold_in(keys[i], 1), (T, 1))) >= 0.5
            assert 0.2 < seen.mean() < 0.8
            shown = before(x) * seen
        _, log_p = decoded(p, MODELS[name], z, lambda t, entry, _, x=x: x[t, entry], shown)
        log_p[LENGTH[i] :] = 0
        np.testing.assert_allclose(found.log_likelihood[i], log_p, rtol=1e-4, atol=1e-4)
        deviation = np.exp(logvar / 2)
        np.testing.assert_allclose(
            found.kl[i], (-np.log(deviation) + (deviation**2 + mu**2) / 2 - 0.5).sum(), rtol=1e-4
        )


def test_the_decoder_is_blind_and_drops_out_in_training_alone():
    plain = compiled("plain", train=False)(X, LENGTH)
    for name in ("blind", "dropout"):
        jax.tree.map(np.testing.assert_array_equal, params(name), params("plain"))
        jax.tree.map(np.testing.assert_array_equal, compiled(name, train=False)(X, LENGTH), plain)
        trained = compiled(name, train=True)(X, LENGTH)
        moved = np.abs(trained.log_likelihood - plain.log_likelihood).max(1)
        assert moved[:2].min() > 0.01  # of the last one there is the first slice alone


@pytest.mark.parametrize("name", ["plain", "conductor"])
def test_samples_are_numpys_one_step_after_the_other(name):
    temperature, n = 0.7, 3
    keys, z = numbered_keys(KEY, n), RNG.normal(size=(n, Z)).astype(np.float32)
    x = np.asarray(compiled(name, "sample", temperature=temperature)(keys, T, z))
    assert set(np.unique(x)) == {0, 1}
    for i in range(n):
        uniform = [np.asarray(jax.random.uniform(jax.random.fold_in(keys[i], t), (P,))) for t in range(T)]

        def choose(t, entry, on, uniform=uniform):
            logit = np.log(on / (1 - on)) / temperature
            return uniform[t][entry] < sigmoid(logit)

        np.testing.assert_array_equal(x[i], decoded(doubles(params(name)), MODELS[name], doubles(z[i]), choose)[0])


def test_a_sample_is_its_own_keys():
    keys, sample = numbered_keys(KEY, 64), compiled("plain", "sample")
    x = np.asarray(sample(keys, T))
    np.testing.assert_array_equal(sample(keys[:2], T), x[:2])
    assert len(np.unique(x.reshape(64, -1), axis=0)) == 64
    z = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, T), (Z,)))(keys)  # of the prior
    np.testing.assert_array_equal(sample(keys, T, z), x)
    calm = np.asarray(compiled("plain", "sample", temperature=1e-4)(keys, T, np.zeros((64, Z), np.float32)))
    np.testing.assert_array_equal(calm, np.broadcast_to(calm[:1], calm.shape))


def test_a_passage_must_be_whole_segments():
    with pytest.raises(ValueError, match="a passage of 17 slices can't be shared among segments of 6"):
        jax.eval_shape(compiled("conductor", train=False), X[:, :17], LENGTH)
    with pytest.raises(ValueError, match="a passage of 20 slices"):
        compiled("conductor", "sample")(numbered_keys(KEY, 2), 20)
    assert jax.eval_shape(compiled("plain", train=False), X[:, :17], LENGTH).log_likelihood.shape == (B, 17)


def test_nothing_can_be_given():
    with pytest.raises(ValueError, match="takes nothing given"):
        jax.eval_shape(compiled("plain", train=False), X, LENGTH, X)


def test_bf16_is_within():
    """Traced alone: a scan whose memory changed its type would not be."""
    module = dataclasses.replace(MODELS["conductor"], dtype="bfloat16", dropout=0.5)

    def all_of_it(params):
        variables = {"params": params}
        found = module.apply(variables, X, LENGTH, train=True, rngs={"example": KEY})
        return found, module.apply(variables, numbered_keys(KEY, B), T, method="sample")

    assert {a.dtype for a in jax.tree.leaves(jax.eval_shape(all_of_it, params("conductor")))} == {
        jnp.dtype(jnp.float32)
    }
    assert "bf16" in str(jax.make_jaxpr(all_of_it)(params("conductor")))


ENTRIES, H = MOST + 2, 3  # so that more are on than are counted
CHAIN = Chain(ENTRIES)
ALL = np.array(list(itertools.product((0, 1), repeat=ENTRIES)), np.float32)  # [2^P, P]
CONDITION = RNG.normal(size=H).astype(np.float32)
LAST = (np.arange(ENTRIES) % 3 > 0).astype(np.float32)


@cache
def chain():
    """(its parameters, log p of each of all slices)."""
    wide = [np.tile(a, (len(ALL), 1, 1)) for a in (CONDITION, LAST)]
    p = random_params(lambda: CHAIN.init(KEY, *wide, ALL[:, None]))
    return p, np.asarray(jax.jit(CHAIN.apply)({"params": p}, *wide, ALL[:, None]))[:, 0]


def test_a_chain_is_a_distribution_and_numpys():
    p, log_p = chain()
    np.testing.assert_allclose(np.exp(log_p).sum(), 1, rtol=1e-5)
    for x, value in zip(ALL, log_p, strict=True):
        expected = entries(doubles(p), doubles(CONDITION), doubles(LAST), lambda entry, _, x=x: x[entry])[1]
        np.testing.assert_allclose(value, expected, rtol=1e-4)


def test_a_chain_draws_by_its_probabilities():
    p, log_p = chain()
    n = 40_000
    uniform = jnp.asarray(np.random.default_rng(2).uniform(size=(n, ENTRIES)), jnp.float32)
    wide = [np.tile(a, (n, 1)) for a in (CONDITION, LAST)]
    draw = partial(jax.jit(partial(CHAIN.apply, method="draw")), {"params": p}, *wide, uniform)
    share = np.bincount((np.asarray(draw(1.0)) @ 2 ** np.arange(ENTRIES)[::-1]).astype(int), minlength=len(ALL)) / n
    expected = np.exp(log_p)
    assert (np.abs(share - expected) < 4 * np.sqrt(expected / n) + 1e-4).all()
    calm = np.asarray(draw(1e-4))  # each entry the likelier of the two
    likeliest, _ = entries(doubles(p), doubles(CONDITION), doubles(LAST), lambda _, on: on > 0.5)
    np.testing.assert_array_equal(calm, np.tile(likeliest, (n, 1)))
