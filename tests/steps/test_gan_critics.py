"""The GAN step with several critics in one network: each counts the same, and penalties are on their sum."""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgen.axes import example_keys
from jaxgen.latent import prior
from jaxgen.losses.adversarial import nonsaturating, relativistic
from jaxgen.losses.penalties import r1, r2
from jaxgen.models.layers import Dropout
from jaxgen.steps.gan import GAN, criticise, init, train_step

QUICK = {"xla_backend_optimization_level": 0}  # they run a few times: the compiler's time is what counts
B, Z = 8, 2
GEN_LR, DISC_LR = 0.3, 0.5
BATCH = {"image": jnp.asarray(np.random.default_rng(0).normal(size=(B, 2)) + 1, jnp.float32)}
step = jax.jit(train_step, static_argnames=("game", "axis_name"), compiler_options=QUICK)


class Gen(nn.Module):
    @nn.compact
    def __call__(self, z, *, train):
        return nn.Dense(2)(nn.tanh(nn.Dense(3)(z)))


class Critics(nn.Module):
    """x [B, 2] -> logits [B, 3] and [B]."""

    dropout: float = 0.0
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, *, train):
        h = nn.tanh(nn.Dense(3)(x))
        h = Dropout(self.dropout, self.axis_name)(h, train=train)
        return nn.Dense(3)(h), nn.Dense(1)(h)[:, 0]


GAME = GAN(Gen(), Critics(), relativistic, optax.sgd(GEN_LR), optax.sgd(DISC_LR), Z)
GAMES = {
    "relativistic": dataclasses.replace(GAME, penalties=(r1, r2), penalty_weight=0.3),
    "nonsaturating": dataclasses.replace(GAME, loss=nonsaturating, penalties=(r1,)),
}


@cache
def start():
    return jax.jit(partial(init, game=GAME), compiler_options=QUICK)(jax.random.key(0), BATCH)


def softplus(x):
    return jnp.logaddexp(0.0, x)


LOSSES = {
    relativistic: (lambda r, f: softplus(f - r), lambda r, f: softplus(r - f)),
    nonsaturating: (lambda r, f: softplus(-r) + softplus(f), lambda r, f: softplus(-f)),
}


def run(net, params, x):
    return net.apply({"params": params}, x, train=False)


def halves(side, real, fake):
    """Half of each critic's mean."""
    (frames, clips), (fake_frames, fake_clips) = real, fake
    return 0.5 * side(frames, fake_frames).mean() + 0.5 * side(clips, fake_clips).mean()


def slopes(params, x):
    """The squared slope [B] of the sum of an example's four logits, by central differences."""

    def height(x):
        frames, clips = run(Critics(), params, x)
        return frames[:, 0] + frames[:, 1] + frames[:, 2] + clips

    def across(d):
        return height(x + d) - height(x - d)

    eps = 0.05  # with five points, whose error is of the fourth order, it need not be small
    return sum(((8 * across(d) - across(2 * d)) / (12 * eps)) ** 2 for d in eps * jnp.eye(2)[:, None])


@partial(jax.jit, static_argnames="game", compiler_options=QUICK)
def reference(state, game):
    """(generator, critics, what the losses were) after one step."""
    z_key = jax.random.split(jax.random.fold_in(jax.random.fold_in(state.key, state.step), 0), 3)[0]
    z = prior(example_keys(jax.random.split(z_key)[0], B, None), Z)
    x, fake = BATCH["image"], run(Gen(), state.gen.params, z)
    disc_loss, gen_loss = LOSSES[game.loss]

    def disc_objective(params):
        value = halves(disc_loss, run(Critics(), params, x), run(Critics(), params, fake))
        places = [x if penalty is r1 else fake for penalty in game.penalties]
        return value + game.penalty_weight * sum(0.5 * slopes(params, place).mean() for place in places), value

    grads, value = jax.grad(disc_objective, has_aux=True)(state.disc.params)
    disc = jax.tree.map(lambda p, g: p - DISC_LR * g, state.disc.params, grads)

    def gen_objective(params):
        return halves(gen_loss, run(Critics(), disc, x), run(Critics(), disc, run(Gen(), params, z)))

    fooled, grads = jax.value_and_grad(gen_objective)(state.gen.params)
    gen = jax.tree.map(lambda p, g: p - GEN_LR * g, state.gen.params, grads)
    logits = {
        name: 0.5 * a.mean() + 0.5 * b.mean()
        for name, (a, b) in (
            ("logit/real", run(Critics(), state.disc.params, x)),
            ("logit/fake", run(Critics(), state.disc.params, fake)),
        )
    }
    return gen, disc, {"loss/disc": value, "loss/gen": fooled, **logits}


def distance(a, b):
    return max(jax.tree.leaves(jax.tree.map(lambda a, b: float(np.abs(np.asarray(a) - b).max()), a, b)))


@pytest.mark.parametrize("name", GAMES)
def test_one_update_against_the_whole_loss(name):
    game, state = GAMES[name], start()
    new, metrics = step(state, BATCH, game)
    gen, disc, expected = reference(state, game)
    assert distance(new.disc.params, disc) < 2e-5  # as differences have it
    assert distance(new.gen.params, gen) < 2e-5
    assert min(distance(state.gen.params, gen), distance(state.disc.params, disc)) > 1e-3
    assert metrics.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(metrics[key], value, rtol=1e-3, atol=1e-5)
    # The test sees the penalty: without it the critics are elsewhere.
    bare, _ = step(state, BATCH, dataclasses.replace(game, penalties=()))
    assert distance(bare.disc.params, disc) > 1e-2


def test_asked_afterwards_they_give_their_sum():
    state, x = start(), BATCH["image"]
    frames, clips = run(Critics(), state.disc.params, x)
    np.testing.assert_allclose(criticise(state, x, GAME), np.asarray(frames).sum(1) + clips, atol=1e-6)


class Wrong(nn.Module):
    """One logit for the whole batch, beside one each."""

    @nn.compact
    def __call__(self, x, *, train):
        logits = nn.Dense(1)(x)[:, 0]
        return logits, logits.sum(keepdims=True)


class Wide(nn.Module):
    """No tuple, and more than one logit each."""

    @nn.compact
    def __call__(self, x, *, train):
        return nn.Dense(3)(x)


@pytest.mark.parametrize(
    ("disc", "words"),
    [
        (Wrong(), r"critic gives \(\(8,\), \(1,\)\) for 8 examples; it must give one logit each"),
        (Wide(), r"critic gives \(8, 3\) for 8 examples; it must give one logit each"),
    ],
)
def test_logits_that_are_not_of_examples_are_refused(disc, words):
    game = dataclasses.replace(GAME, disc=disc)
    state = jax.eval_shape(partial(init, game=game), jax.random.key(0), BATCH)
    with pytest.raises(ValueError, match=words):
        jax.eval_shape(partial(train_step, game=game), state, BATCH)


def test_four_devices_come_to_the_state_of_one():
    """With dropout, by the example's place in the global batch, and a lazy penalty."""
    rules = {"penalties": (r1, r2), "penalty_every": 2, "disc_tx": optax.sgd(0.1), "gen_tx": optax.sgd(0.1)}
    alone, shared = (dataclasses.replace(GAME, disc=Critics(0.3, axis), **rules) for axis in (None, "data"))
    feed = np.random.default_rng(1).normal(size=(5, B, 2)).astype(np.float32)
    devices = jax.devices()[:4]
    split = partial(train_step, game=shared, axis_name="data")
    four = jax.pmap(split, "data", in_axes=(None, 0), out_axes=None, devices=devices)
    one_state = four_state = start()
    metrics = others = {}
    for x in feed:
        one_state, metrics = step(one_state, {"image": x}, alone)
        four_state, others = four(four_state, {"image": x.reshape(4, B // 4, 2)})
    assert distance(one_state.replace(key=()), four_state.replace(key=())) < 1e-6
    assert distance(metrics, others) < 1e-6
    assert distance(one_state.disc.params, start().disc.params) > 1e-2
