"""The paired game that compares what it is told and matches its critic's features, against losses written anew."""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgen.losses.adversarial import least_squares, relativistic
from jaxgen.losses.penalties import r1, r2
from jaxgen.models.layers import Dropout
from jaxgen.steps.translate import Paired, init, train_step

QUICK = {"xla_backend_optimization_level": 0}  # they run a few times: the compiler's time is what counts
B = 8
GEN_LR, DISC_LR = 0.3, 0.5
RNG = np.random.default_rng(0)
PAIRS = {
    "source": jnp.asarray(RNG.uniform(-1, 1, (B, 2, 3, 2)), jnp.float32),
    "image": jnp.asarray(RNG.uniform(-1, 1, (B, 2, 3, 1)), jnp.float32),
}
step = jax.jit(train_step, static_argnames=("game", "axis_name"), compiler_options=QUICK)


class Gen(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        return nn.Dense(1)(nn.tanh(nn.Dense(3)(x)))


class Disc(nn.Module):
    """Two critics, of pixels and of the whole, and the features of both: nested, and of several sizes."""

    features: bool = True
    dropout: float = 0.0
    axis_name: str | None = None

    @nn.compact
    def __call__(self, y, x, *, train):
        h = nn.tanh(nn.Dense(3)(jnp.concatenate([y, x], axis=-1)))
        h = Dropout(self.dropout, self.axis_name)(h, train=train)
        whole = nn.tanh(nn.Dense(2)(h.mean((1, 2))))
        logits = nn.Dense(1)(h)[..., 0], nn.Dense(2)(whole)
        return (logits, ((h, h[:, 0, 0]), (whole,))) if self.features else logits


@dataclasses.dataclass(frozen=True)
class Views:
    """The image, some of it larger, and a number for each."""

    scale: float

    def __call__(self, images):
        return images[:, ::2] * self.scale, images.sum((1, 2, 3))


SGD = optax.sgd(GEN_LR), optax.sgd(DISC_LR)
GAME = Paired(
    Gen(),
    Disc(),
    relativistic,
    *SGD,
    l1=0.5,
    compare=Views(2.0),
    adversarial=0.7,
    matching=1.5,
    penalties=(r1, r2),
    penalty_weight=0.3,
)
GAMES = {
    "all": GAME,
    "least squares, no penalty": dataclasses.replace(GAME, loss=least_squares, penalties=()),
    "no adversarial loss": dataclasses.replace(GAME, adversarial=0.0),
}


@cache
def start():
    return jax.jit(partial(init, game=GAME), compiler_options=QUICK)(jax.random.key(0), PAIRS)


def softplus(x):
    return jnp.logaddexp(0.0, x)


LOSSES = {
    relativistic: (lambda r, f: softplus(f - r), lambda r, f: softplus(r - f)),
    least_squares: (lambda r, f: ((r - 1) ** 2 + f**2) / 2, lambda r, f: (f - 1) ** 2 / 2),
}


def run(net, params, *inputs):
    return net.apply({"params": params}, *inputs, train=False)


def critic_objective(params, fake, game):
    x, y = PAIRS["source"], PAIRS["image"]
    (pixels, wholes), _ = run(Disc(), params, y, x)
    (fake_pixels, fake_wholes), _ = run(Disc(), params, fake, x)
    side = LOSSES[game.loss][0]
    value = (side(pixels, fake_pixels).mean() + side(wholes, fake_wholes).mean()) / 2

    def height(y, x):
        """The sum of the six logits of one example's pixels, and the two of the whole."""
        (pixels, wholes), _ = run(Disc(), params, y[None], x[None])
        return pixels.sum() + wholes.sum()

    for penalty in game.penalties:
        slope = jax.vmap(jax.grad(height))(y if penalty is r1 else fake, x)
        value += game.penalty_weight * 0.5 * (slope**2).sum((1, 2, 3)).mean()
    return value


@partial(jax.jit, static_argnames="game", compiler_options=QUICK)
def reference(state, game):
    """(critic, generator, metrics) after one step."""
    x, y = PAIRS["source"], PAIRS["image"]
    fake = run(Gen(), state.gen.params, x)
    grads = jax.grad(critic_objective)(state.disc.params, fake, game)
    disc = jax.tree.map(lambda p, g: p - DISC_LR * g, state.disc.params, grads)
    (pixels, wholes), ((h, corner), (whole,)) = run(Disc(), disc, y, x)

    def objective(params):
        made = run(Gen(), params, x)
        (fake_pixels, fake_wholes), ((fake_h, fake_corner), (fake_whole,)) = run(Disc(), disc, made, x)
        side = LOSSES[game.loss][1]
        fooled = (side(pixels, fake_pixels).mean() + side(wholes, fake_wholes).mean()) / 2
        apart = [jnp.abs(a - b).mean() for a, b in ((fake_h, h), (fake_corner, corner), (fake_whole, whole))]
        away = jnp.abs(2 * (made - y)[:, ::2]).mean() + jnp.abs((made - y).sum((1, 2, 3))).mean()
        found = {"l1": away / 2, "loss/gen": fooled, "matching": sum(apart) / 3}
        return game.l1 * found["l1"] + game.adversarial * fooled + game.matching * found["matching"], found

    grads, found = jax.grad(objective, has_aux=True)(state.gen.params)
    return disc, jax.tree.map(lambda p, g: p - GEN_LR * g, state.gen.params, grads), found


def distance(a, b):
    return max(jax.tree.leaves(jax.tree.map(lambda a, b: float(np.abs(np.asarray(a) - b).max()), a, b)))


@pytest.mark.parametrize("name", GAMES)
def test_one_update_against_the_whole_loss(name):
    game, state = GAMES[name], start()
    new, metrics = step(state, PAIRS, game)
    disc, gen, expected = reference(state, game)
    assert distance(new.disc.params, disc) < 2e-6
    assert distance(new.gen.params, gen) < 2e-6
    assert min(distance(state.gen.params, gen), distance(state.disc.params, disc)) > 1e-2
    assert metrics.keys() == {"loss/disc", "loss/gen", "l1", "matching", "logit/real", "logit/fake"}
    for key, value in expected.items():
        np.testing.assert_allclose(metrics[key], value, rtol=1e-4, atol=1e-6)
    (pixels, wholes), _ = run(Disc(), state.disc.params, PAIRS["image"], PAIRS["source"])
    np.testing.assert_allclose(metrics["logit/real"], (pixels.mean() + wholes.mean()) / 2, rtol=1e-4, atol=1e-6)


def test_the_critic_does_not_learn_from_what_is_matched():
    """Its update is that of a game without, whose critic gives no features; the generator's is another."""
    state = start()
    matched, _ = step(state, PAIRS, GAME)
    alone, metrics = step(state, PAIRS, dataclasses.replace(GAME, disc=Disc(features=False), matching=0.0))
    assert "matching" not in metrics
    assert distance(matched.disc.params, alone.disc.params) < 1e-7
    assert distance(matched.gen.params, alone.gen.params) > 1e-3


def test_what_is_compared_is_of_the_games_choice():
    """A game that compares the images themselves is the one that is told nothing."""
    state = start()
    plain, _ = step(state, PAIRS, dataclasses.replace(GAME, compare=None))
    same, _ = step(state, PAIRS, dataclasses.replace(GAME, compare=jnp.asarray))
    other, _ = step(state, PAIRS, GAME)
    assert distance(plain.gen.params, same.gen.params) < 1e-7
    assert distance(plain.gen.params, other.gen.params) > 1e-3
    assert hash(GAME) == hash(dataclasses.replace(GAME, compare=Views(2.0)))
    assert dataclasses.replace(GAME, compare=Views(3.0)) != GAME


def test_four_devices_come_to_the_state_of_one():
    """With dropout, by the example's place in the global batch, and a lazy penalty."""
    rules = {"penalty_every": 2, "disc_tx": optax.sgd(0.05), "gen_tx": optax.sgd(0.05)}
    alone, shared = (dataclasses.replace(GAME, disc=Disc(True, 0.3, axis), **rules) for axis in (None, "data"))
    rng = np.random.default_rng(1)
    feed = {name: rng.uniform(-1, 1, (5, *a.shape)).astype(np.float32) for name, a in PAIRS.items()}
    split = partial(train_step, game=shared, axis_name="data")
    four = jax.pmap(split, "data", in_axes=(None, 0), out_axes=None, devices=jax.devices()[:4])
    one_state = four_state = start()
    metrics = others = {}
    for i in range(5):
        batch = {name: a[i] for name, a in feed.items()}
        one_state, metrics = step(one_state, batch, alone)
        four_state, others = four(four_state, {n: a.reshape(4, B // 4, *a.shape[1:]) for n, a in batch.items()})
    assert distance(one_state.replace(key=()), four_state.replace(key=())) < 1e-6
    assert distance(metrics, others) < 1e-6
    assert distance(one_state.gen.params, start().gen.params) > 1e-2
