"""Generators of tokens against all texts that there are of three tokens, and against a loop over their own steps."""

import dataclasses
import itertools
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.latent import numbered_keys
from jaxgen.models.tokens import Critic, Generator, draw

pytestmark = pytest.mark.usefixtures("compiled_quickly")

V, T, CLASSES = 3, 3, 2
KEY = jax.random.key(3)
TEXTS = np.array(list(itertools.product(range(V), repeat=T)), np.int32)  # all 27
GIVEN = {"label": np.arange(27, dtype=np.int32) % CLASSES, "prompt": TEXTS[::-1, :2].copy()}
GENERATORS = {
    "lstm": Generator(V, 4, 5),
    "endless": Generator(V, 4, 5, ends=False),
    "memory": Generator(V, 4, 4, core="memory", slots=2, heads=2),
    "label": Generator(V, 4, 5, classes=CLASSES),
    "prompt": Generator(V, 4, 5, prompted=True),
    "both": Generator(V, 4, 4, core="memory", classes=CLASSES, prompted=True),
}


compiled_draw = jax.jit(draw)


def random_params(module, *inputs):
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(lambda: module.init(KEY, *inputs, train=False))["params"]
    return jax.tree.map(lambda a: rng.normal(size=a.shape, scale=0.8).astype(np.float32), shapes)


@cache
def params(name):
    return random_params(GENERATORS[name], TEXTS, GIVEN)


@cache
def compiled(name, method="__call__", **options):
    """(inputs) -> outputs; a length or a number of rollouts is static."""

    def run(params, *inputs):
        return GENERATORS[name].apply({"params": params}, *inputs, method=method, **options)

    return partial(jax.jit(run, static_argnums={"sample": 2, "relax": 2, "rollouts": 3}.get(method, ())), params(name))


@cache
def log_p(name):
    """Of each token of `TEXTS` after those before it [27, T]."""
    logits = compiled(name, train=False)(TEXTS, GIVEN)
    return np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), TEXTS[:, :, None], axis=2)[..., 0]


def inside(texts):
    """1 for each token, its end among them; 0 after that."""
    return np.cumprod(np.pad(texts != 0, ((0, 0), (1, 0)), constant_values=True)[:, :-1], axis=1)


@cache
def probabilities(name):
    """Of each of `TEXTS`; 0 of those that have something after their end, where texts end."""
    if name == "endless":
        return np.exp(log_p(name).sum(1))
    whole = ((TEXTS != 0) <= inside(TEXTS)).all(1)
    return np.exp((log_p(name) * inside(TEXTS)).sum(1)) * whole


def shares(texts):
    """How often each of `TEXTS` is among them."""
    return np.bincount(np.asarray(texts) @ [V * V, V, 1], minlength=27) / len(texts)


def assert_drawn_from(share, expected, n):
    np.testing.assert_allclose(expected.sum(), 1, rtol=1e-5)
    assert ((share > 0) <= (expected > 0)).all()
    assert (np.abs(share - expected) <= 4.5 * np.sqrt(expected * (1 - expected) / n) + 1e-3).all()


def part(given, row, n):
    """What text `row` goes with, n times."""
    return {name: np.repeat(a[row : row + 1], n, axis=0) for name, a in given.items()}


@pytest.mark.parametrize("name", GENERATORS)
def test_teacher_forcing_is_one_step_after_the_other(name):
    module = GENERATORS[name]

    @jax.jit
    def stepped(params):
        bound = module.bind({"params": params})
        core, told = bound.cell.core(), bound._told(GIVEN, 27)
        memory, shown, out = core.start(27), jnp.zeros(27, jnp.int32), []
        for t in range(T):
            memory, logits = bound._next(core, memory, bound.embed[shown], told)
            out.append(logits)
            shown = TEXTS[:, t]
        return jnp.stack(out, axis=1)

    logits = compiled(name, train=False)(TEXTS, GIVEN)
    assert logits.shape == (27, T, V)
    np.testing.assert_allclose(logits, stepped(params(name)), rtol=1e-4, atol=1e-5)
    for t in range(T):  # a token is not seen before it is made
        same = np.asarray(logits)[(TEXTS[:, :t] == TEXTS[0, :t]).all(1), t]
        if name in ("lstm", "endless", "memory"):
            np.testing.assert_allclose(same, np.broadcast_to(same[:1], same.shape), rtol=1e-5)
    assert np.ptp(np.asarray(logits)[:, T - 1], axis=0).min() > 0.05


@pytest.mark.parametrize("name", ["lstm", "endless", "memory"])
def test_texts_are_drawn_by_their_probabilities(name):
    n = 20_000
    texts = compiled(name, "sample")(numbered_keys(KEY, n), T)
    assert texts.dtype == jnp.int32
    assert_drawn_from(shares(texts), probabilities(name), n)


@pytest.mark.parametrize("name", ["label", "prompt", "both"])
def test_what_is_given_is_told(name):
    """To teacher forcing and to samples alike. Rows differ in label, prompt and text; so take one row's, for all."""
    n, row = 8_000, 7
    logits = compiled(name, train=False)(TEXTS, part(GIVEN, row, 27))
    each = np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), TEXTS[:, :, None], axis=2)[..., 0]
    whole = ((TEXTS != 0) <= inside(TEXTS)).all(1)
    expected = np.exp((each * inside(TEXTS)).sum(1)) * whole
    texts = compiled(name, "sample")(numbered_keys(KEY, n), T, part(GIVEN, row, n))
    assert_drawn_from(shares(texts), expected, n)
    other = compiled(name, train=False)(TEXTS, part(GIVEN, row + 3, 27))
    assert np.abs(other - logits).max() > 0.1


def test_a_prompt_is_also_told_as_its_words_in_any_order():
    gen = Generator(7, embedding=3, width=2, prompted=True)
    prompt = jnp.array([[4, 2, 0, 0], [2, 4, 0, 0], [0, 0, 0, 0]])
    weights = random_params(gen, jnp.ones((3, 2), jnp.int32), {"prompt": prompt})
    told = np.asarray(gen.apply({"params": weights}, {"prompt": prompt}, 3, method="_told"))
    embed = np.asarray(weights["embed"])
    np.testing.assert_allclose(told[0, 2:], (embed[4] + embed[2]) / np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(told[1, 2:], told[0, 2:], rtol=1e-6)
    assert np.abs(told[1, :2] - told[0, :2]).max() > 1e-3  # the reader hears the order
    np.testing.assert_array_equal(told[2, 2:], 0)


def test_a_sample_is_its_own_keys():
    sample, keys = compiled("lstm", "sample"), numbered_keys(KEY, 100)
    np.testing.assert_array_equal(sample(keys[:3], T), sample(keys, T)[:3])
    calm = np.asarray(compiled("lstm", "sample", temperature=1e-4)(keys, T))
    np.testing.assert_array_equal(calm, np.tile(TEXTS[greedy()], (100, 1)))


def greedy():
    """Which of `TEXTS` has the likeliest token at each place."""
    logits, text = np.asarray(compiled("lstm", train=False)(TEXTS, GIVEN)), []
    for t in range(T):
        row = int(np.flatnonzero((TEXTS[:, :t] == text).all(1))[0])
        text.append(0 if 0 in text else int(logits[row, t].argmax()))
    return int(np.flatnonzero((np.array(text) == TEXTS).all(1))[0])


def test_a_token_can_be_ruled_out():
    n, never = 8_000, 2
    texts = np.asarray(compiled("lstm", "sample", never=never)(numbered_keys(KEY, n), T))
    assert not (texts == never).any()
    logits = np.asarray(compiled("lstm", train=False)(TEXTS, GIVEN)).copy()
    logits[..., never] = -np.inf
    each = np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), TEXTS[:, :, None], axis=2)[..., 0]
    whole = ((TEXTS != 0) <= inside(TEXTS)).all(1)
    total = np.where(inside(TEXTS) == 1, each, 0).sum(1)
    assert_drawn_from(shares(texts), np.exp(total) * whole, n)


@pytest.mark.parametrize("name", ["lstm", "endless"])
def test_relaxed_texts_are_texts(name):
    n = 20_000
    soft, tokens = compiled(name, "relax")(numbered_keys(KEY, n), T, np.float32(0.3))
    np.testing.assert_array_equal(soft, np.eye(V)[np.asarray(tokens)])  # to the bit, lest a maximum be undecided
    assert_drawn_from(shares(tokens), probabilities(name), n)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_the_gradient_of_a_relaxed_token_by_hand(temperature):
    """That of softmax((logits + Gumbel) / temperature), for one token, in the logits' bias."""
    n = 6
    keys, weights = numbered_keys(KEY, n), np.random.default_rng(0).normal(size=(n, 1, V)).astype(np.float32)
    module = GENERATORS["lstm"]

    def loss(bias, others):
        out = module.apply({"params": others | {"bias": bias}}, keys, 1, temperature, method="relax")
        return (weights * out.soft).sum()

    found = jax.jit(jax.grad(loss))(params("lstm")["bias"], params("lstm"))
    logits = np.asarray(compiled("lstm", train=False)(TEXTS, GIVEN))[0, 0]
    expected = np.zeros(V)
    for key, (weight,) in zip(keys, weights, strict=True):
        raw = np.exp((logits + np.asarray(jax.random.gumbel(key, (1, V)))[0]) / temperature)
        soft = raw / raw.sum()
        expected += soft * (weight - soft @ weight) / temperature
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_a_relaxed_token_carries_the_gradient_of_the_one_behind_it():
    """In the bias, of the second token: its own choice is moved, and what it is shown, as far as the first one is soft.
    Against finite differences of that in float64."""
    temperature, weight = 0.5, np.array([1.0, -2.0, 0.5], np.float32)
    module, keys = GENERATORS["lstm"], numbered_keys(KEY, 16)

    def second(bias, key, others):
        out = module.apply({"params": others | {"bias": bias}}, key[None], 2, temperature, method="relax")
        return (out.soft[0, 1] * weight).sum(), out.tokens[0]

    each = jax.jit(jax.vmap(jax.grad(second, has_aux=True), (None, 0, None)))
    grads, tokens = (np.asarray(a) for a in each(params("lstm")["bias"], keys, params("lstm")))
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params("lstm"))

    def lstm(shown, h, c):
        raw = shown @ p["cell"]["kernel"] + h @ p["cell"]["recurrent"] + p["cell"]["bias"]
        i, f, o, u = (*np.split(1 / (1 + np.exp(-raw)), 4)[:3], np.tanh(raw[-5:]))
        c = f * c + i * u
        return o * np.tanh(c), c

    def relaxed(h, bias, gumbel):
        raw = np.exp((h @ p["kernel"] + bias + gumbel) / temperature)
        return raw / raw.sum()

    for key, grad, (token, _) in zip(keys, grads, tokens, strict=True):
        if token == 0:  # a text that has ended is what it is
            assert not grad.any()
            continue
        gumbel = np.asarray(jax.random.gumbel(key, (2, V)), np.float64)
        h, c = lstm(p["embed"][0], np.zeros(5), np.zeros(5))
        fixed = np.eye(V)[token] - relaxed(h, p["bias"], gumbel[0])

        def value(bias, h=h, c=c, gumbel=gumbel, fixed=fixed):
            shown = (fixed + relaxed(h, bias, gumbel[0])) @ p["embed"]
            return relaxed(lstm(shown, h, c)[0], bias, gumbel[1]) @ weight

        steps = 1e-5 * np.eye(V)
        expected = [(value(p["bias"] + step) - value(p["bias"] - step)) / 2e-5 for step in steps]
        np.testing.assert_allclose(grad, expected, rtol=1e-3, atol=1e-5)
    assert 0 < (tokens[:, 0] == 0).sum() < 12


@pytest.mark.parametrize(("name", "row"), [("lstm", 14), ("endless", 3), ("memory", 22), ("both", 14)])
def test_rollouts_complete_every_prefix_by_its_probabilities(name, row):
    n, other = 6_000, 2  # the second text ends at once
    tokens = TEXTS[[row, other]]
    given = {k: a[[row, row]] for k, a in GIVEN.items()} if name == "both" else None
    logits = compiled(name, train=False)(TEXTS, part(GIVEN, row, 27))
    each = np.take_along_axis(np.asarray(jax.nn.log_softmax(logits)), TEXTS[:, :, None], axis=2)[..., 0]
    drawn = np.asarray(compiled(name, "rollouts")(numbered_keys(KEY, 2), tokens, n, given))
    assert drawn.shape == (T - 1, n, 2, T)
    for prefix in (1, 2):
        for i, text in enumerate(tokens):
            made = drawn[prefix - 1, :, i]
            np.testing.assert_array_equal(made[:, :prefix], np.tile(text[:prefix], (n, 1)))
            follows = (TEXTS[:, :prefix] == text[:prefix]).all(1)
            if name == "endless":
                expected = follows * np.exp(each[:, prefix:].sum(1))
            else:
                whole = (((TEXTS != 0) <= inside(TEXTS)) | (np.arange(T) < prefix)).all(1)
                expected = follows * whole * np.exp((each * inside(TEXTS))[:, prefix:].sum(1))
            assert_drawn_from(shares(made), expected, n)


def test_rollouts_are_independent_of_each_other():
    """Of one prefix and of two prefixes, in each of many texts: no two have the same random numbers."""
    texts = np.ones((400, T), np.int32)
    drawn = np.asarray(compiled("endless", "rollouts")(numbered_keys(KEY, 400), texts, 2))[..., -1]  # [prefix, 2, 400]
    columns = np.stack([drawn[0, 0], drawn[0, 1], drawn[1, 0], drawn[1, 1]])
    same = np.array([[(a == b).mean() for a in columns] for b in columns])
    assert same[~np.eye(4, dtype=bool)].max() < 0.9


@pytest.mark.parametrize("size", [1, 3, 16, 17, 50, 200])
def test_draw_has_the_exact_shares(size):
    """Numbers evenly spread over [0, 1) hit each token as often as its probability says, or once more or less."""
    n, rng = 5_000, np.random.default_rng(size)
    logits = 3 * rng.normal(size=size).astype(np.float32)
    logits[rng.uniform(size=size) < 0.4] = -np.inf
    logits[size // 2] = 0
    tokens = np.asarray(compiled_draw(jnp.tile(logits[None], (n, 1)), (jnp.arange(n) + 0.5) / n))
    assert tokens.dtype == np.int32
    p = np.exp(logits.astype(np.float64))
    expected = n * p / p.sum()
    counts = np.bincount(tokens, minlength=size)
    assert len(counts) == size
    assert (np.abs(counts - expected) <= 1.05).all()
    assert (np.diff(tokens) >= 0).all()


def test_draw_never_takes_a_token_that_is_impossible():
    """Where rounding decides: numbers at the borders of all tokens, and next to them."""
    rng, sizes, found = np.random.default_rng(0), (17, 40, 100, 500), 0
    for size in sizes:
        for _ in range(6):
            logits = 2 * rng.normal(size=size).astype(np.float32)
            logits[rng.uniform(size=size) < 0.6] = -np.inf
            logits[rng.integers(size)] = 0
            p = np.exp(logits.astype(np.float64))
            borders = (np.cumsum(p) / p.sum() / (1 - 1e-6)).astype(np.float32)
            near = [borders]
            for towards in (np.float32(0), np.float32(1)):
                for _ in range(6):
                    near.append(np.nextafter(near[-1] if len(near) % 7 else borders, towards))
            uniform = np.append(np.concatenate(near), [0, 1 - 2**-24]).astype(np.float32).clip(0, 1 - 2**-24)
            tokens = np.asarray(compiled_draw(jnp.tile(logits[None], (len(uniform), 1)), uniform))
            assert np.isfinite(logits[tokens]).all()
            found += len(tokens)
    assert found > 10_000


def test_draw_of_extreme_logits():
    logits = jnp.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4], [-3e38, -np.inf, -3e38], [80.0, 100.0, -100.0]])
    for u, expected in ((0.0, [0, 1, 0, 0]), (0.25, [0, 1, 0, 1]), (0.75, [0, 2, 2, 1]), (1 - 2**-24, [0, 2, 2, 1])):
        np.testing.assert_array_equal(compiled_draw(logits, jnp.full(4, u)), expected)


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
@pytest.mark.parametrize("name", ["lstm", "both"])
def test_logits_are_fp32_and_bf16_is_used_within_where_asked_for(name, dtype):
    """Traced alone: a scan whose memory changed its type would not be."""
    module = dataclasses.replace(GENERATORS[name], dtype=dtype, dropout=0.5)
    keys = numbered_keys(KEY, 27)

    def all_of_it(params):
        variables = {"params": params}
        logits = module.apply(variables, TEXTS, GIVEN, train=True, rngs={"example": KEY})
        drawn = module.apply(variables, keys, T, GIVEN, method="sample")
        relaxed = module.apply(variables, keys, T, 0.5, GIVEN, method="relax")
        return (logits, relaxed.soft), (drawn, module.apply(variables, keys, TEXTS, 2, GIVEN, method="rollouts"))

    floats, whole = jax.eval_shape(all_of_it, params(name))
    assert {a.dtype for a in floats} == {jnp.dtype(jnp.float32)}
    assert {a.dtype for a in whole} == {jnp.dtype(jnp.int32)}
    assert ("bf16" in str(jax.make_jaxpr(all_of_it)(params(name)))) == (dtype is not None)


CRITICS = {
    "plain": Critic(V, 4, (3, 2)),
    "label": Critic(V, 4, (3,), classes=CLASSES),
    "prompt": Critic(V, 4, (3,), prompted=True),
    "both-dropout": Critic(V, 4, (3,), classes=CLASSES, prompted=True, dropout=0.5),
}


@pytest.mark.parametrize("name", CRITICS)
def test_a_critic_judges_tokens_and_their_one_hot_alike(name):
    module = CRITICS[name]
    variables = {"params": random_params(module, TEXTS, GIVEN)}
    judge = partial(jax.jit(partial(module.apply, train=False)), variables)
    logits = judge(TEXTS, GIVEN)
    assert logits.shape == (27,)
    np.testing.assert_allclose(judge(np.eye(V, dtype=np.float32)[TEXTS], GIVEN), logits, rtol=1e-5, atol=1e-6)
    assert np.ptp(logits) > 0.1
    for changed in GIVEN:
        others = judge(TEXTS, GIVEN | {changed: np.roll(GIVEN[changed], 1, axis=0)})
        assert (np.abs(others - logits).max() > 1e-3) == (changed in name or "both" in name)
    trained = jax.jit(partial(module.apply, train=True, rngs={"example": KEY}))(variables, TEXTS, GIVEN)
    assert (np.abs(trained - logits).max() > 1e-3) == ("dropout" in name)


def test_a_critic_by_hand():
    """One span of two tokens, one channel: the largest leaky product of a pair, by label."""
    module, text = Critic(V, 2, (1,), classes=2), np.array([[1, 2, 0]], np.int32)
    embed = np.array([[0, 0], [1, 2], [3, -1]], np.float32)
    params = {
        "embed": embed,
        "text_2": {"kernel": np.array([[1], [1], [1], [-2]], np.float32), "bias": np.array([-10], np.float32)},
        "logit": {"kernel": np.array([[3]], np.float32), "bias": np.array([0.5], np.float32)},
        "label": np.array([[7], [-1]], np.float32),
    }
    # Pairs: (1, 2): 1 + 2 + 3 + 2 - 10 = -2; (2, 0): 3 - 1 - 10 = -8. A fifth of the larger: -0.4.
    for label, of_label in ((0, 7), (1, -1)):
        given = {"label": jnp.array([label])}
        logit = module.apply({"params": params}, text, given, train=False)
        np.testing.assert_allclose(logit, [0.5 - 0.4 * (3 + of_label)], rtol=1e-5)


@pytest.mark.parametrize(("name", "missing"), [("label", "label"), ("prompt", "prompt")])
def test_what_networks_were_built_for_must_be_given(name, missing):
    message = f"built for texts with a {missing}; give them one"
    others = {key: a for key, a in GIVEN.items() if key != missing}
    for given in (None, others):
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(compiled(name, train=False), TEXTS, given)
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(lambda given=given: CRITICS[name].init(KEY, TEXTS, given, train=False))
