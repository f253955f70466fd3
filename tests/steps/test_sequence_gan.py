"""The step of sequence GANs: its phases, and each gradient against what can be computed from all texts of 3 tokens."""

import dataclasses
import itertools
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgen.axes import example_keys
from jaxgen.latent import numbered_keys
from jaxgen.losses.adversarial import relativistic, wasserstein
from jaxgen.losses.penalties import r1
from jaxgen.models.tokens import Critic, Generator
from jaxgen.steps import sequence_gan
from jaxgen.steps.sequence_gan import SequenceGAN, init, log_likelihood, sample, show, train_step

pytestmark = pytest.mark.usefixtures("compiled_quickly")

B, T, V, LR = 4, 3, 3, 0.1
TEXTS = np.array(list(itertools.product(range(V), repeat=T)), np.int32)  # all 27
BATCH = {"tokens": jnp.array([[1, 2, 0], [2, 0, 0], [2, 2, 1], [0, 0, 0]])}
INSIDE = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 0, 0]])  # its tokens, ends among them
GIVEN = BATCH | {"label": jnp.array([0, 1, 1, 0]), "prompt": jnp.array([[1, 0, 0], [2, 2, 1], [1, 2, 0], [2, 1, 2]])}
step = jax.jit(train_step, static_argnames=("game", "axis_name"))


class Linear(nn.Module):
    """A critic whose logit is what a text's tokens weigh."""

    @nn.compact
    def __call__(self, text, given, *, train):
        w = self.param("w", nn.initializers.normal(), (T, V))
        soft = text if text.ndim == 3 else jax.nn.one_hot(text, V)
        return (soft * w[None]).sum((1, 2))


GEN, ENDLESS = Generator(V, 3, 4), Generator(V, 3, 4, ends=False)
TXS = optax.sgd(LR), optax.sgd(LR), optax.sgd(LR)
GAME = SequenceGAN(
    GEN,
    Linear(),
    wasserstein,
    *TXS,
    T,
    pretrain=10,
    critic_pretrain=10,
    mle=0.4,
    temperature=0.25,
    anneal=4,
    penalties=(r1,),
    penalty_weight=0.7,
    penalty_every=2,
    skip_nonfinite=True,
)
METRICS = {"nll", "loss/gen", "loss/disc", "logit/real", "logit/fake", "temperature"}


@pytest.fixture(scope="module")
def start():
    """With weights that matter."""
    state = jax.jit(partial(init, game=GAME))(jax.random.key(0), BATCH)
    louder = jax.tree.map(lambda a: 3 * a + 0.1, state.gen.params)
    w = np.random.default_rng(0).normal(size=(T, V)).astype(np.float32)
    gen, disc = state.gen.replace(params=louder), state.disc.replace(params={"w": jnp.asarray(w)})
    return state.replace(gen=gen, disc=disc, ema=(louder, {}))


def assert_close(tree, expected, **tolerance):
    jax.tree.map(partial(np.testing.assert_allclose, **({"rtol": 1e-4, "atol": 1e-6} | tolerance)), tree, expected)


def keys_of(state, n=B, parts=4):
    """(keys of the noise, of what follows) as a phase with so many keys draws them."""
    first, *others = jax.random.split(jax.random.fold_in(state.key, state.step), parts)
    return example_keys(first, n, None), others


def nll(params):
    """Nats a token of the batch."""
    logits = GEN.apply({"params": params}, BATCH["tokens"], train=False)
    each = jnp.take_along_axis(jax.nn.log_softmax(logits), BATCH["tokens"][..., None], axis=2)[..., 0]
    return -(each * INSIDE).sum() / INSIDE.sum()


def one_hot(tokens):
    return np.eye(V)[np.asarray(tokens)]


def descended(params, grads, lr=LR):
    return jax.tree.map(lambda a, g: a - lr * g, params, grads)


@cache
def drawn():
    return jax.jit(lambda params, keys: GEN.apply({"params": params}, keys, T, method="sample"))


def test_the_three_phases():
    """Who moves, whose optimiser counts, and what is measured, in steps 0 (likelihood), 1 (critic), 2 and 3 (both). Of
    texts without an end, all of whose tokens count."""
    adam = dict.fromkeys(("likelihood_tx", "gen_tx", "disc_tx"), optax.adam(0.01))
    game = SequenceGAN(ENDLESS, Linear(), wasserstein, **adam, length=T, pretrain=1, critic_pretrain=1, anneal=2)
    state = jax.jit(partial(init, game=game))(jax.random.key(0), BATCH)
    each = jax.jit(partial(log_likelihood, game=game))(state, BATCH)
    seen = []
    for _ in range(4):
        new, metrics = step(state, BATCH, game)
        assert metrics.keys() == METRICS
        if not seen:
            np.testing.assert_allclose(metrics["nll"], -each.mean(), rtol=1e-4)
        moved = [
            any(np.abs(a - b).max() > 0 for a, b in zip(*map(jax.tree.leaves, pair), strict=True))
            for pair in ((state.gen.params, new.gen.params), (state.disc.params, new.disc.params))
        ]
        opts = new.likelihood_opt, new.disc.opt, new.gen.opt
        counts = [int(optax.tree_utils.tree_get(opt, "count")) for opt in opts]
        zero = {name for name, value in metrics.items() if value == 0}
        seen.append((moved, counts, zero, float(metrics["temperature"])))
        state = new
    critics = {"loss/disc", "logit/real", "logit/fake"}
    assert seen[0][:3] == ([True, False], [1, 0, 0], critics | {"loss/gen"})
    assert seen[1][:3] == ([False, True], [1, 1, 0], {"nll", "loss/gen"})
    assert seen[2][:3] == ([True, True], [1, 2, 1], set())
    assert seen[3][:3] == ([True, True], [1, 3, 2], set())
    np.testing.assert_allclose([row[3] for row in seen], [1, 1, 1, 0.1], rtol=1e-5)  # to 0.01 in two steps
    assert int(state.step) == 4
    assert float(step(state, BATCH, game)[1]["temperature"]) == pytest.approx(0.01)


def test_likelihood_first(start):
    new, metrics = step(start, BATCH, GAME)
    value, grads = jax.jit(jax.value_and_grad(nll))(start.gen.params)
    np.testing.assert_allclose(metrics["nll"], value, rtol=1e-5)
    expected = descended(start.gen.params, grads)
    assert_close(new.gen.params, expected)
    assert_close(new.ema[0], jax.tree.map(lambda a, b: 0.1 * a + 0.9 * b, start.ema[0], expected))
    assert np.abs(grads["embed"]).max() > 1e-3


def test_then_the_critic_with_a_penalty_where_it_is_due(start):
    """The penalty's gradient is w itself: R1 is half of its square, for texts as they are seen, one-hot."""
    w = np.asarray(start.disc.params["w"])
    for at in (10, 11):
        state = start.replace(step=jnp.int32(at))
        new, metrics = step(state, BATCH, GAME)
        fake = drawn()(state.gen.params, keys_of(state, parts=2)[0])
        real = one_hot(BATCH["tokens"])
        grads = (one_hot(fake) - real).mean(0) + (2 * 0.7 * w if at == 10 else 0)
        np.testing.assert_allclose(new.disc.params["w"], w - LR * grads, rtol=1e-4, atol=1e-6)
        logits = {"logit/real": (real * w).sum((1, 2)).mean(), "logit/fake": (one_hot(fake) * w).sum((1, 2)).mean()}
        for name, value in (logits | {"loss/disc": logits["logit/fake"] - logits["logit/real"]}).items():
            np.testing.assert_allclose(metrics[name], value, rtol=1e-4)


def test_then_both_through_relaxed_texts(start):
    """The critic learns from the texts that the generator's gradient passes through, then judges them anew."""
    state = start.replace(step=jnp.int32(22))
    keys, temperature = keys_of(state)[0], 0.25**0.5

    def relaxed(params):
        return GEN.apply({"params": params}, keys, T, temperature, method="relax").soft

    @jax.jit
    def expected(gen, w):
        w = w - LR * ((relaxed(gen) - one_hot(BATCH["tokens"])).mean(0) + 2 * 0.7 * w)
        loss, grads = jax.value_and_grad(lambda gen: -(relaxed(gen) * w[None]).sum((1, 2)).mean())(gen)
        return w, loss, jax.tree.map(lambda a, b: a + 0.4 * b, grads, jax.grad(nll)(gen))

    w, loss, grads = expected(state.gen.params, state.disc.params["w"])
    new, metrics = step(state, BATCH, GAME)
    np.testing.assert_allclose(new.disc.params["w"], w, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(metrics["loss/gen"], loss, rtol=1e-4)
    np.testing.assert_allclose(metrics["nll"], nll(state.gen.params), rtol=1e-4)
    np.testing.assert_allclose(metrics["temperature"], temperature, rtol=1e-6)
    assert np.abs(grads["embed"]).max() > 1e-3
    assert_close(new.gen.params, descended(state.gen.params, grads), atol=2e-6)


def log_p(params, texts=TEXTS):
    """Of each of all texts, those impossible at -inf."""
    logits = GEN.apply({"params": params}, texts, train=False)
    each = jnp.take_along_axis(jax.nn.log_softmax(logits), texts[..., None], axis=2)[..., 0]
    before = np.pad(texts, ((0, 0), (1, 0)), constant_values=1)[:, :-1]
    inside = np.cumprod(before != 0, axis=1)
    whole = ((texts != 0) <= inside).all(1)
    return jnp.where(whole, (each * inside).sum(1), -jnp.inf)


def test_the_policys_gradient_is_that_of_the_expected_reward(start):
    """On average over many steps, against a sum over all texts. (B - 1) / B of it, as an example is in its baseline."""
    still = {"likelihood_tx": TXS[0], "disc_tx": optax.sgd(0.0), "gen_tx": optax.sgd(1.0)}
    game = SequenceGAN(GEN, Linear(), wasserstein, **still, length=T, estimator="reinforce", rollouts=2)
    n, w = 3000, np.asarray(start.disc.params["w"])

    @jax.jit
    def grads(keys):
        def one(key):
            new, metrics = train_step(start.replace(key=key), BATCH, game)
            return jax.tree.map(jnp.subtract, start.gen.params, new.gen.params), metrics["loss/gen"]

        return jax.vmap(one)(keys)

    def loss(params):  # the generator's is minus the critic's logit
        return -(jnp.exp(log_p(params)) * (one_hot(TEXTS) * w).sum((1, 2))).sum()

    value, exact = jax.jit(jax.value_and_grad(loss))(start.gen.params)
    found, losses = grads(jax.random.split(jax.random.key(7), n))
    assert abs(losses.mean() - value) < 4 * losses.std() / np.sqrt(n)
    assert float(losses.std()) > 0.05
    largest = 0.0
    for each, expected in zip(jax.tree.leaves(found), jax.tree.leaves(exact), strict=True):
        each, expected = np.asarray(each, np.float64).reshape(n, -1), np.asarray(expected).ravel() * (B - 1) / B
        error = each.std(0) / np.sqrt(n)
        assert (np.abs(each.mean(0) - expected) < 4.5 * error + 1e-6).all()
        largest = max(largest, (np.abs(expected) / (error + 1e-9)).max())
    assert largest > 20  # there is something to see, many times above the noise


def test_a_nonfinite_step_is_left_out_where_asked(start):
    bad = start.disc.replace(params={"w": start.disc.params["w"].at[0, 0].set(jnp.nan)})
    state = start.replace(disc=bad, step=jnp.int32(10))
    kept, metrics = step(state, BATCH, GAME)
    assert metrics.keys() == METRICS | {"skipped"}
    assert (int(kept.step), int(kept.skipped), float(metrics["skipped"])) == (11, 1, 1.0)
    jax.tree.map(np.testing.assert_array_equal, (kept.gen, kept.disc, kept.ema), (state.gen, bad, state.ema))
    after, _ = step(kept.replace(disc=start.disc), BATCH, GAME)
    assert int(after.skipped) == 1
    assert np.abs(after.disc.params["w"] - start.disc.params["w"]).max() > 0


def test_a_fresh_state_may_be_donated():
    """No array is in it twice."""
    state = init(jax.random.key(0), BATCH, GAME)  # not compiled, which would copy
    pointers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state.replace(key=()))]
    assert len(set(pointers)) == len(pointers)


class Pairs(nn.Module):
    @nn.compact
    def __call__(self, text, given, *, train):
        return jnp.zeros((len(text), 1)) * self.param("w", nn.initializers.ones, ())


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"length": 5}, "the texts have 3 tokens, the game 5"), ({"disc": Pairs()}, r"critic gives \(4, 1\)")],
)
def test_a_game_that_does_not_fit_the_batch_is_refused(changes, words):
    game = dataclasses.replace(GAME, **changes)
    state = jax.eval_shape(partial(init, game=game), jax.random.key(0), BATCH)
    with pytest.raises(ValueError, match=words):
        jax.eval_shape(partial(train_step, game=game), state, BATCH)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_likelihoods_are_the_averaged_generators_until_the_end(start, temperature):
    state = start.replace(ema=jax.tree.map(lambda a: 0.5 * a, start.ema))
    run = jax.jit(partial(log_likelihood, game=GAME))
    each = np.asarray(run(state, {"tokens": TEXTS}, temperature=temperature))
    before = np.pad(TEXTS, ((0, 0), (1, 0)), constant_values=1)[:, :-1]
    inside = np.cumprod(before != 0, axis=1)
    assert not each[inside == 0].any()
    assert (each[inside == 1] < 0).all()
    whole = ((TEXTS != 0) <= inside).all(1)
    np.testing.assert_allclose(np.exp(each.sum(1))[whole].sum(), 1, rtol=1e-5)
    if temperature == 1:
        np.testing.assert_allclose(each.sum(1)[whole], jax.jit(log_p)(state.ema[0])[whole], rtol=1e-4)
    # As many are drawn.
    n = 8000
    texts = np.asarray(jax.jit(partial(sample, game=GAME))(state, numbered_keys(state.key, n), temperature=temperature))
    share = np.bincount(texts @ [9, 3, 1], minlength=27) / n
    expected = np.exp(each.sum(1)) * whole
    assert (np.abs(share - expected) <= 4.5 * np.sqrt(expected / n) + 1e-4).all()


def test_texts_without_end_are_likely_as_a_whole(start):
    game = dataclasses.replace(GAME, gen=ENDLESS)
    each = np.asarray(jax.jit(partial(log_likelihood, game=game))(start, {"tokens": TEXTS}))
    assert (each < 0).all()
    np.testing.assert_allclose(np.exp(each.sum(1)).sum(), 1, rtol=1e-5)


def test_a_token_that_no_sample_has(start):
    game = dataclasses.replace(GAME, never=1)
    keys = numbered_keys(start.key, 500)
    run = jax.jit(sample, static_argnames="game")
    texts, others = np.asarray(run(start, keys, game)), np.asarray(run(start, keys, GAME))
    assert set(np.unique(texts)) == {0, 2}
    assert set(np.unique(others)) == {0, 1, 2}
    np.testing.assert_array_equal(run(start, keys[:2], GAME), others[:2])


CONDITIONED = dataclasses.replace(
    GAME, gen=Generator(V, 3, 4, classes=2, prompted=True), disc=Critic(V, 3, (3,), classes=2, prompted=True)
)


def test_what_is_shown(start):
    key = jax.random.key(5)
    texts = jax.jit(partial(sample, game=GAME))(start, numbered_keys(key, 16))
    for batch in (None, BATCH):  # texts that go with nothing
        (name, shown), *others = show(start, key, GAME, batch).items()
        assert (name, others) == ("samples", [])
        np.testing.assert_array_equal(shown, texts)
    state = jax.jit(partial(init, game=CONDITIONED))(jax.random.key(0), GIVEN)
    wide = {name: jnp.concatenate([a] * 5) for name, a in GIVEN.items()}
    shown = jax.jit(partial(show, game=CONDITIONED))(state, key, batch=wide)
    given = {name: wide[name][:16] for name in ("label", "prompt")}
    assert shown.keys() == {"samples", "originals", "label", "prompt"}
    for name, a in (given | {"originals": wide["tokens"][:16]}).items():
        np.testing.assert_array_equal(shown[name], a)
    expected = jax.jit(partial(sample, game=CONDITIONED))(state, numbered_keys(key, 16), given=given)
    np.testing.assert_array_equal(shown["samples"], expected)


class Counting(nn.Module):
    """A critic whose logit is three times the share of token 1."""

    @nn.compact
    def __call__(self, text, given=None, *, train):
        self.param("nothing", nn.initializers.zeros, (1,))
        return 3 * (text == 1).mean(-1)


def test_judged_texts_have_the_density_of_the_generator_times_what_passes():
    """All nine texts of two tokens of three, by enumeration."""
    gen = Generator(3, 2, 2, ends=False)
    sgd = optax.sgd(0.1)
    game = SequenceGAN(gen, Counting(), relativistic, sgd, sgd, sgd, length=2)
    every = jnp.array([[a, b] for a in range(3) for b in range(3)], jnp.int32)
    state = sequence_gan.init(jax.random.key(0), {"tokens": every}, game)
    level = 1.0
    passes = np.exp(sequence_gan.passing(state, every, game, level))
    np.testing.assert_allclose(passes, np.exp(np.minimum(3 * (np.asarray(every) == 1).mean(-1) - 1, 0)), rtol=1e-6)
    p = np.exp(np.asarray(sequence_gan.log_likelihood(state, {"tokens": every}, game)).sum(1))
    expected = p * passes / (p * passes).sum()
    keys = jax.random.split(jax.random.key(1), 20_000)
    texts = np.asarray(jax.jit(lambda k: sequence_gan.judged(state, k, game, level))(keys))
    found = np.bincount(texts @ [3, 1], minlength=9) / len(texts)
    assert np.abs(expected - p).max() > 0.05  # the critic makes a difference
    np.testing.assert_allclose(found, expected, atol=4 * np.sqrt(0.25 / len(texts)))
    again = np.asarray(sequence_gan.judged(state, keys[:3], game, level))
    np.testing.assert_array_equal(again, texts[:3])  # whatever else is drawn beside it
    few = np.asarray(sequence_gan.judged(state, keys[:50], game, level, at_once=7))
    np.testing.assert_array_equal(few, texts[:50])
    never = np.asarray(sequence_gan.judged(state, keys[:9], game, 1e9, at_once=4))  # the last of as many as are drawn
    last = jax.vmap(lambda key: jax.random.split(jax.random.fold_in(key, sequence_gan.ROUNDS - 1))[0])(keys[:9])
    np.testing.assert_array_equal(never, sequence_gan.sample(state, last, game))


def test_the_average_stays_as_it_is_while_the_critic_judges_it():
    gen = Generator(4, 2, 2, ends=False)
    game = SequenceGAN(
        gen,
        Critic(4, 2, (2,)),
        relativistic,
        optax.sgd(0.5),
        optax.sgd(0.5),
        optax.sgd(0.5),
        length=3,
        pretrain=3,
        critic_pretrain=2,
    )
    batch = {"tokens": jnp.arange(12, dtype=jnp.int32).reshape(4, 3) % 4}
    step = jax.jit(train_step, static_argnames="game")
    states = [sequence_gan.init(jax.random.key(0), batch, game)]
    for _ in range(5):
        states.append(step(states[-1], batch, game=game)[0])
    same = [
        all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), a.ema, b.ema)))
        for a, b in itertools.pairwise(states)
    ]
    assert same == [False, False, False, True, True]
