"""The step of sequence VAEs on a model whose bound and gradient are known by hand; what the game shows of real ones."""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgen.latent import line, numbered_keys
from jaxgen.models.passages import PassageModel
from jaxgen.models.slices import Bound, SliceModel
from jaxgen.steps import sequence_vae
from jaxgen.steps.sequence_vae import SequenceVAE, bounds, encode, init, sample, show, shuffled, train_step

pytestmark = pytest.mark.usefixtures("compiled_quickly")

B, T, P, LR = 3, 4, 7, 0.1
RNG = np.random.default_rng(0)
BATCH = {
    "sequence": jnp.array(RNG.integers(0, 2, (B, T, P)), jnp.float32),
    "length": jnp.array([4, 2, 1], jnp.int32),
    "given": jnp.array(RNG.integers(0, 2, (B, T, P)), jnp.float32),
}
SLICES = 7 / 3  # in an example
step = jax.jit(train_step, static_argnames=("game", "axis_name"))


class Toy(nn.Module):
    """log p of a slice: what its entries weigh, and what is given; the KL of each latent k^2 / 2."""

    passages: bool = False

    @nn.compact
    def __call__(self, x, length, given, *, train):
        w, v = (self.param(name, nn.initializers.normal(), (P,)) for name in "wv")
        k = self.param("k", nn.initializers.constant(2.0), ())
        inside = (jnp.arange(x.shape[1])[None] < length[:, None]).astype(jnp.float32)
        log_likelihood = ((x * w[None, None] + given * v[None, None]).sum(-1)) * inside
        return Bound(log_likelihood, k**2 / 2 * (jnp.ones((len(x), 1)) if self.passages else inside))


GAME = SequenceVAE(Toy(), optax.sgd(LR), T)
PASSAGES = dataclasses.replace(GAME, model=Toy(passages=True))


@pytest.fixture(scope="module")
def start():
    return jax.jit(partial(init, game=GAME))(jax.random.key(0), BATCH)


def inside_sum(name):
    """Of each entry, over all slices that count."""
    return sum(np.asarray(BATCH[name][i, :n]).sum(0) for i, n in enumerate((4, 2, 1)))


@pytest.mark.parametrize(("game", "latents"), [(GAME, SLICES), (PASSAGES, 1)], ids=["slices", "passages"])
@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_one_update_by_hand(start, game, latents, beta):
    """In nats a slice: all that weighs is divided by the slices of the batch, 7."""
    old = start.model.params
    new, metrics = step(start, BATCH, dataclasses.replace(game, beta=beta))
    weights = old["w"] @ inside_sum("sequence") + old["v"] @ inside_sum("given")
    kl = 2 * latents / SLICES
    expected = {"kl": kl, "bound": kl - weights / 7, "loss": beta * kl - weights / 7, "beta": beta}
    assert metrics.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5)
    params = {
        "w": old["w"] + LR * inside_sum("sequence") / 7,
        "v": old["v"] + LR * inside_sum("given") / 7,
        "k": 2 - LR * beta * 2 * latents / SLICES,
    }
    for name, value in params.items():
        np.testing.assert_allclose(new.model.params[name], value, rtol=1e-5)
        # The average at step 0 has decay (1 + 0) / (10 + 0).
        np.testing.assert_allclose(new.ema[0][name], 0.1 * old[name] + 0.9 * value, rtol=1e-5)
    assert int(new.step) == 1
    assert new.key == start.key


@pytest.mark.parametrize("game", [GAME, PASSAGES], ids=["slices", "passages"])
def test_free_nats_are_of_each_latent_and_cost_nothing(start, game):
    """Each latent has 2 nats."""
    latents = SLICES if game is GAME else 1
    for free, over in ((1.9, True), (2.1, False)):
        new, metrics = step(start, BATCH, dataclasses.replace(game, free_nats=free, beta=0.5))
        assert (float(new.model.params["k"]) < 2) == over
        likelihood = metrics["kl"] - metrics["bound"]
        paid = 0.5 * max(2, free) * latents / SLICES
        np.testing.assert_allclose(metrics["loss"], paid - likelihood, rtol=1e-5)
        np.testing.assert_allclose(metrics["kl"], 2 * latents / SLICES, rtol=1e-6)
        assert float(jnp.abs(new.model.params["w"] - start.model.params["w"]).max()) > 0.01


def test_free_nats_fall_to_nothing(start):
    game = dataclasses.replace(GAME, free_nats=4.0, free_until=100)
    for at, over in ((0, False), (49, False), (51, True), (100, True), (1000, True)):  # 4, 2.04, 1.96, 0, 0
        new, metrics = step(start.replace(step=jnp.int32(at)), BATCH, game)
        assert (float(new.model.params["k"]) < 2) == over
        expected = max(2, 4 * (1 - at / 100)) - (metrics["kl"] - metrics["bound"])
        np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)


def test_beta_warms_up(start):
    game = dataclasses.replace(GAME, beta=0.5, beta_warmup=10)
    for at, beta in ((0, 0.0), (5, 0.25), (10, 0.5), (1000, 0.5)):
        new, metrics = step(start.replace(step=jnp.int32(at)), BATCH, game)
        assert float(metrics["beta"]) == pytest.approx(beta)
        np.testing.assert_allclose(metrics["loss"] - metrics["bound"], (beta - 1) * metrics["kl"], rtol=1e-4)
        np.testing.assert_allclose(new.model.params["k"], 2 - LR * beta * 2, rtol=1e-6)


def test_an_example_is_shifted_as_a_whole_anew_at_each_step(start):
    """The weights' updates tell by how much: all slices, and what is given, alike."""
    game, one = dataclasses.replace(GAME, transpose=2), {name: a[:1] for name, a in BATCH.items()}
    seen = set()
    for at in range(20):
        new, _ = step(start.replace(step=jnp.int32(at)), one, game)
        moved = {name: (new.model.params[name] - start.model.params[name]) * T / LR for name in "wv"}
        found = [
            by
            for by in range(-3, 4)
            if all(
                np.allclose(moved[short], np.roll(np.asarray(one[name][0]).sum(0), by), atol=1e-4)
                for short, name in (("w", "sequence"), ("v", "given"))
            )
        ]
        assert len(found) == 1
        seen.add(found[0])
    assert seen == {-2, -1, 0, 1, 2}


def test_a_nonfinite_step_is_left_out_where_asked(start):
    game = dataclasses.replace(GAME, skip_nonfinite=True)
    bad = BATCH | {"sequence": BATCH["sequence"].at[0, 0, 0].set(jnp.inf)}
    kept, metrics = step(start, bad, game)
    assert (int(kept.step), int(kept.skipped), float(metrics["skipped"])) == (1, 1, 1.0)
    jax.tree.map(np.testing.assert_array_equal, (kept.model, kept.ema), (start.model, start.ema))
    after, metrics = step(kept, BATCH, game)
    assert (int(after.skipped), float(metrics["skipped"])) == (1, 1.0)
    assert float(after.model.params["k"]) < 2
    assert not np.isfinite(step(start, bad, GAME)[1]["loss"])


def test_a_fresh_state_may_be_donated(start):
    donated = init(jax.random.key(0), BATCH, GAME)
    new, _ = jax.jit(train_step, static_argnames="game", donate_argnums=0)(donated, BATCH, GAME)
    assert donated.model.params["w"].is_deleted()
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6), new.model, step(start, BATCH, GAME)[0].model)


MODELS = {
    "slices": SliceModel(P, 2, 3, 3),
    "accompaniment": SliceModel(P, 2, 3, 3, given=P),
    "passages": PassageModel(P, 2, 3, 3),
}


def batch(name):
    return BATCH if name == "accompaniment" else {k: a for k, a in BATCH.items() if k != "given"}


def game(name):
    return SequenceVAE(MODELS[name], optax.sgd(LR), T)


@cache
def averaged(name):
    """A state whose average is not what it has learned."""
    state = jax.jit(partial(init, game=game(name)))(jax.random.key(0), batch(name))
    return state.replace(ema=jax.tree.map(lambda a: a + 0.3, state.ema))


@cache
def of(function, name):
    return jax.jit(partial(function, game=game(name)))


@pytest.mark.parametrize("name", MODELS)
def test_samples_are_the_averaged_models_by_key(name):
    keys, state = numbered_keys(jax.random.key(1), 3), averaged(name)
    given = {"given": BATCH["given"]} if name == "accompaniment" else {}
    x = of(sample, name)(state, keys, given=given, temperature=0.8)
    assert x.shape == (3, T, P)

    def expected(params):
        return MODELS[name].apply({"params": params}, keys, T, *given.values(), temperature=0.8, method="sample")

    np.testing.assert_array_equal(x, jax.jit(expected)(state.ema[0]))


@pytest.mark.parametrize("name", ["slices", "passages"])
def test_bounds_are_the_averaged_models_of_whole_sequences(name):
    key, state = jax.random.key(2), averaged(name)

    def expected(params):
        return MODELS[name].apply({"params": params}, *batch(name).values(), train=False, rngs={"example": key})

    bound = jax.jit(expected)(state.ema[0])
    found = of(bounds, name)(state, batch(name), key)
    np.testing.assert_allclose(found["kl"], bound.kl.sum(1), rtol=1e-5)
    np.testing.assert_allclose(found["bound"], bound.log_likelihood.sum(1) - bound.kl.sum(1), rtol=1e-5)
    if name == "slices":
        other = of(shuffled, name)(state, batch(name), key)
        assert {n: a.shape for n, a in other.items()} == dict.fromkeys(("own", "other", "prior", "slices"), (B,))
        np.testing.assert_allclose(other["own"][1], bound.log_likelihood[1].sum(), rtol=1e-5)


def test_a_passage_is_encoded_and_made_anew():
    state, x = averaged("passages"), BATCH["sequence"]
    mu = of(encode, "passages")(state, {"sequence": x})
    expected, _ = MODELS["passages"].apply({"params": state.ema[0]}, x, method="encode")
    np.testing.assert_allclose(mu, expected, rtol=1e-5, atol=1e-6)
    assert mu.shape == (B, 2)
    with pytest.raises(TypeError, match="a SliceModel has a latent a slice, none of a passage"):
        encode(averaged("slices"), {"sequence": x}, game("slices"))


def test_what_is_shown_of_passages():
    state, key = averaged("passages"), jax.random.key(3)
    wide = {k: jnp.concatenate([a, a]) for k, a in batch("passages").items()}
    shown = of(show, "passages")(state, key, batch=wide)
    shapes = {"samples": 8, "originals": 4, "reconstructions": 4, "interpolations": 6}
    assert {k: a.shape for k, a in shown.items()} == {k: (n, T, P) for k, n in shapes.items()}
    keys = numbered_keys(key, 8)
    np.testing.assert_array_equal(shown["samples"], of(sample, "passages")(state, keys))
    np.testing.assert_array_equal(shown["originals"], wide["sequence"][:4])
    mu = of(encode, "passages")(state, {"sequence": wide["sequence"][:4]})
    calm = of(sample, "passages")
    np.testing.assert_array_equal(shown["reconstructions"], calm(state, keys[:4], given={"z": mu}, temperature=0.5))
    between = line(mu[:1], mu[1:2], 6)[0]
    expected = calm(state, keys[jnp.zeros(6, int)], given={"z": between}, temperature=0.5)
    np.testing.assert_array_equal(shown["interpolations"], expected)
    assert show(state, key, game("passages")).keys() == {"samples"}


def test_what_is_shown_of_accompaniment_fits_what_is_given():
    state, key = averaged("accompaniment"), jax.random.key(3)
    longer = {k: a if k == "length" else jnp.concatenate([a, a], axis=1) for k, a in BATCH.items()}
    shown = of(show, "accompaniment")(state, key, batch=longer)
    assert {k: a.shape for k, a in shown.items()} == dict.fromkeys(("samples", "given", "originals"), (B, T, P))
    np.testing.assert_array_equal(shown["given"], BATCH["given"])
    np.testing.assert_array_equal(shown["originals"], BATCH["sequence"])
    expected = of(sample, "accompaniment")(state, numbered_keys(key, B), given={"given": BATCH["given"]})
    np.testing.assert_array_equal(shown["samples"], expected)


def test_what_is_shown_of_slices():
    state, key = averaged("slices"), jax.random.key(3)
    (name, x), *others = show(state, key, game("slices"), batch("slices")).items()
    assert (name, others) == ("samples", [])
    np.testing.assert_array_equal(x, of(sample, "slices")(state, numbered_keys(key, 8)))


def test_music_in_another_key_keeps_its_chords():
    """All of an example moves by one whole number, evenly drawn from those allowed, by its own key."""
    rng, keys = np.random.default_rng(0), jax.random.split(jax.random.key(0), 64)
    x, given = (jnp.asarray(rng.integers(0, 2, (64, 5, 12)), jnp.float32) for _ in range(2))
    run = jax.jit(lambda keys, *sequences: sequence_vae.transposed(keys, sequences, 3))
    y, other = run(keys, x, given)
    shifts = []
    for i in range(64):
        found = [by for by in range(-6, 6) if (np.roll(x[i], by, axis=-1) == y[i]).all()]
        assert len(found) == 1
        np.testing.assert_array_equal(other[i], np.roll(given[i], found[0], axis=-1))
        shifts += found
    assert set(shifts) == set(range(-3, 4))
    (many,) = run(jax.random.split(keys[0], 3500), jnp.broadcast_to(jnp.eye(1, 12)[None], (3500, 1, 12)))
    share = np.asarray(many).mean((0, 1))
    assert not share[4:9].any()
    np.testing.assert_allclose(share[[9, 10, 11, 0, 1, 2, 3]], 1 / 7, atol=0.025)  # 4 deviations
    (first,) = run(keys[:2], x[:2])
    np.testing.assert_array_equal(first, y[:2])
