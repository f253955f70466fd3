"""The benchmark's systems of sequences: their examples, their steps, what a peer is given, and what they cost."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import peers, suites
from benchmarks.ours import cost, system
from benchmarks.protocol import Kinds
from benchmarks.suites import Case, deterministic
from jaxgen.assemble import build
from jaxgen.config import AdversarialSequence, Config, PassageVAE, Recurrent, SliceVAE, VariationalSequence

pytestmark = pytest.mark.usefixtures("compiled_quickly")
build_job = Kinds("benchmarks.ours")
EVER = 1 << 30
MLE = AdversarialSequence(pretrain=EVER)
TEXT = Config(
    domain="text/tokens",
    model=Recurrent(12, embedding=4, width=6, critic=(4, 4), critic_embedding=4, critic_dropout=0.3),
    game=MLE,
    shape=(5,),
    batch=4,
)
GUMBEL = replace(TEXT, game=AdversarialSequence(pretrain=0, critic_pretrain=0, mle=1.0))
PROMPTED = replace(GUMBEL, domain="replies", shape=(5, 4))
LABELLED = replace(GUMBEL, domain="registers", game=replace(GUMBEL.game, classes=3))
REINFORCE = replace(TEXT, game=AdversarialSequence(pretrain=0, critic_pretrain=0, estimator="reinforce", rollouts=2))
MUSIC = VariationalSequence(transpose=3)
SLICES = Config("music/slices", SliceVAE(z_dim=3, width=5, hidden=4), MUSIC, shape=(6, 88), batch=4)
PASSAGES = Config("music/passages", PassageVAE(z_dim=3, encoder=5, decoder=4, blind=0.3), MUSIC, shape=(6, 88), batch=4)


def played(config, tmp_path, steps=2):
    """(losses, what a peer is given, the game)."""
    case = deterministic(Case("sequence", config))
    losses = build_job(case.job(check=True)).losses(steps, str(tmp_path / "given.npz"))
    return losses, dict(np.load(tmp_path / "given.npz")), build(system.config_of(case.job())).game


def nested(arrays, prefix):
    tree = {}
    for name, value in arrays.items():
        if name.startswith(prefix + "/"):
            *layers, leaf = name.removeprefix(prefix + "/").split("/")
            at = tree
            for layer in layers:
                at = at.setdefault(layer, {})
            at[leaf] = value
    return {"params": tree}


def test_examples_are_random_and_of_the_domain():
    roll = system.examples(SLICES, 50)
    assert roll["sequence"].shape == (50, 6, 88)
    assert set(np.unique(roll["sequence"])) == {0, 1}
    assert 2 < roll["sequence"].sum(-1).mean() < 6  # notes at a time
    np.testing.assert_array_equal(roll["length"], 6)
    tokens = system.examples(TEXT, 50)["tokens"]
    assert (tokens.shape, tokens.dtype) == ((50, 5), np.int32)
    assert set(np.unique(tokens)) == set(range(12))


def test_texts_that_end_go_with_random_prompts_and_with_labels_in_turn():
    pairs = system.examples(PROMPTED, 50)
    assert {name: a.shape for name, a in pairs.items()} == {"prompt": (50, 4), "tokens": (50, 5)}
    for tokens in pairs.values():
        places = (tokens > 0).sum(0)
        assert (places[:-1] > places[1:]).all()  # fewer and fewer are that long
        assert places[-1] > 0
        assert set(np.unique(tokens)) == set(range(12))
    np.testing.assert_array_equal(system.examples(LABELLED, 5)["label"], [0, 1, 2, 0, 1])


@pytest.mark.parametrize("config", [SLICES, PASSAGES, TEXT, GUMBEL, PROMPTED, LABELLED, REINFORCE])
def test_a_step_runs_in_the_phase_of_its_row(config):
    step = build_job(Case("sequence", config).job())
    assert step.unit == 1
    names = ("model",) if config in (SLICES, PASSAGES) else ("gen", "disc")
    before = {name: jax.tree.map(np.array, getattr(step._state, name).params) for name in names}
    step.run(2)
    assert int(step._state.step) == 2
    after = {name: getattr(step._state, name).params for name in names}
    moved = {name: not jax.tree.all(jax.tree.map(np.array_equal, before[name], after[name])) for name in names}
    assert moved == {name: config is not TEXT or name == "gen" for name in names}


def test_the_check_runs_without_noise_of_its_own():
    for config in (SLICES, PASSAGES, REINFORCE):
        quiet = deterministic(Case("sequence", config)).config
        assert all(getattr(quiet.model, name, 0) == 0 for name in ("dropout", "critic_dropout", "blind"))
        assert getattr(quiet.game, "transpose", 0) == 0


def test_a_peer_is_given_the_latents_noise(tmp_path):
    losses, given, game = played(PASSAGES, tmp_path)
    x, noise = given["x"], given["noise"]
    assert noise.shape == (2, 4, 3)
    assert np.abs(noise[0] - noise[1]).max() > 0.1
    params, model = nested(given, "model"), game.model
    mu, logvar = model.apply(params, x, method="encode")
    z = mu + np.exp(0.5 * logvar) * noise[0]
    before = jnp.pad(x, ((0, 0), (1, 0), (0, 0)))[:, :-1]
    likelihood = model.apply(params, z, before, x, method=lambda m, z, b, x: m.chain(m.unroll(z, b), b, x))
    kl = 0.5 * (np.exp(logvar) + mu**2 - 1 - logvar).sum()
    assert losses[0] == [pytest.approx(float(kl - likelihood.sum()) / (4 * 6), rel=1e-5)]


def test_a_peer_is_given_a_noise_for_each_slice(tmp_path):
    losses, given, game = played(SLICES, tmp_path)
    assert given["noise"].shape == (2, 4, 6, 3)
    # The first latent comes from z = 0 and a hidden layer: its noise by hand.
    params, model, x = nested(given, "model"), game.model, given["x"]
    inside = np.ones(x.shape[:2], np.float32)
    key = next(key for key in _keys(game, given))

    def first(model):
        z, d, _ = model.infer(x, inside, train=False)
        a = model.backward(jnp.concatenate([d, x], axis=-1))
        none = jnp.zeros((len(x), 3))
        mu, logvar = model.prior.step(none, model.prior.bind_inputs(d[:, 0]))
        shift, ratio = model.posterior.step(none, model.posterior.bind_inputs(a[:, 0]))
        return (z[:, 0] - mu - shift) * jnp.exp(-0.5 * (logvar + ratio - 2.0))

    found = model.apply(params, method=first, rngs={"example": key})
    np.testing.assert_allclose(found, given["noise"][0][:, 0], atol=1e-4)
    assert len(losses) == 2


def _keys(game, given):
    """The key of each step's noise, as the step derives it."""
    case = deterministic(Case("sequence", SLICES))
    state = build(system.config_of(case.job())).init(jax.random.key(0), system.examples(SLICES, 4), game)
    for step in range(2):
        yield jax.random.split(jax.random.fold_in(state.key, step))[1]


@pytest.mark.parametrize("config", [GUMBEL, PROMPTED, LABELLED])
def test_a_peer_is_given_gumbels_noise_and_what_texts_go_with(config, tmp_path):
    losses, given, game = played(config, tmp_path)
    noise, x = given["noise"], given["x"]
    assert noise.shape == (2, 4, 5, 12)
    beside = {name: given[name] for name in ("label", "prompt") if name in given} or None
    assert bool(beside) == (config is not GUMBEL)

    def inside(tokens):
        before = np.pad(tokens, ((0, 0), (1, 0)), constant_values=1)[:, :-1]
        return np.cumprod(before != 0, axis=1) if game.gen.ends else np.ones_like(tokens)

    params, tokens = nested(given, "gen"), np.zeros((4, 0), np.int64)
    for t in range(5):  # the texts that noise draws, token by token
        shown = np.pad(tokens, ((0, 0), (0, 5 - t)))
        logits = game.gen.apply(params, shown, beside, train=False)[:, t]
        tokens = np.concatenate([tokens, np.argmax(logits + noise[0][:, t], axis=-1)[:, None]], axis=1)
    tokens = tokens * inside(tokens)
    real, fake = (np.array(game.disc.apply(nested(given, "disc"), y, beside, train=False)) for y in (x, tokens))
    assert losses[0][0] == pytest.approx(np.log1p(np.exp(fake - real)).mean(), abs=1e-5)
    log_p = jax.nn.log_softmax(game.gen.apply(params, x, beside, train=False))
    nll = -np.take_along_axis(np.array(log_p), x[..., None], axis=-1)[..., 0]
    assert losses[0][2] == pytest.approx((nll * inside(x)).sum() / inside(x).sum(), abs=1e-5)


def test_products_count_a_loop_as_often_as_it_runs():
    a = jnp.ones((3, 4))

    def loop(x):
        body = lambda x, _: (x @ a.T @ a, None)  # noqa: E731
        return jax.lax.cond(x.sum() > 0, lambda x: jax.lax.scan(body, x, None, length=5)[0], lambda x: x, x)

    assert cost.products(jax.make_jaxpr(loop)(jnp.ones((2, 4))).jaxpr) == 5 * 2 * (2 * 2 * 4 * 3)


def test_products_of_a_phase_by_hand():
    """Teacher forcing: forward, and two products for each in the gradient, but none to the first embedding's inputs."""
    batch, length, v, e, w = 4, 5, 12, 4, 6
    once = 2 * batch * length * (e * 4 * w + w * 4 * w + w * v)
    assert cost.step_flops(TEXT) == 3 * once
    assert cost.step_flops(GUMBEL) > 2 * cost.step_flops(TEXT)


def test_torch_has_loops_for_completions_alone():
    torch = peers.PEERS["torch"].variants
    by_name = {case.name: case for case in suites.load("step")}
    assert torch(by_name["text_reinforce"], "cpu") == ("eager", "compile", "loops")
    for name in ("music_slices", "music_passages", "text_mle", "text_gumbel", "nlp_gan", "nlg_gan"):
        assert torch(by_name[name], "cpu") == ("eager", "compile")
        assert peers.PEERS["artifex"].variants(by_name[name], "cpu") == ()
    assert torch(suites.load("sampling")[0], "cpu") == ("eager", "compile")


def test_the_oracle_is_sampled_and_scored(tmp_path):
    job = Case("oracle", None, "sampling", {"vocabulary": 9, "batch": 6}).job(check=True)
    contestant = build_job(job)
    contestant.run(1)
    assert contestant.facts["items"] == "texts"
    losses = contestant.losses(2, str(tmp_path / "given.npz"))
    given = dict(np.load(tmp_path / "given.npz"))
    assert given["tokens"].shape == (2, 6, 20)
    assert given["gen/embed"].shape == (9, 32)
    assert 0 < losses[0][0] != losses[1][0]
