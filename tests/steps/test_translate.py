"""The translation step against whole losses written anew; its noise, and what it refuses."""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxgen.axes import example_keys
from jaxgen.latent import numbered_keys, prior
from jaxgen.losses.adversarial import least_squares, relativistic
from jaxgen.losses.penalties import r1, r2
from jaxgen.steps.translate import Paired, Unpaired, init, show, sources, train_step, translate

QUICK = {"xla_backend_optimization_level": 0}  # they run a few times: the compiler's time is what counts
B, Z = 4, 2
GEN_LR, DISC_LR = 0.3, 0.5
RNG = np.random.default_rng(0)
PAIRS = {"source": RNG.uniform(-1, 1, (B, 2, 3, 2)), "image": RNG.uniform(-1, 1, (B, 2, 3, 1))}
SETS = {"source": RNG.uniform(-1, 1, (B, 2, 3, 1)), "image": RNG.uniform(-1, 1, (B, 2, 3, 1))}
PAIRS, SETS = ({n: jnp.asarray(a, jnp.float32) for n, a in batch.items()} for batch in (PAIRS, SETS))
step = jax.jit(train_step, static_argnames=("game", "axis_name"), compiler_options=QUICK)


class Gen(nn.Module):
    @nn.compact
    def __call__(self, x, z=None, *, train):
        h = nn.Dense(3)(x)
        if z is not None:
            h = h + nn.Dense(3, name="noise")(z)[:, None, None]
        return nn.Dense(1)(nn.tanh(h))


class Disc(nn.Module):
    """A logit for each pixel."""

    @nn.compact
    def __call__(self, y, x=None, *, train):
        h = y if x is None else jnp.concatenate([y, x], axis=-1)
        return nn.Dense(1)(nn.tanh(nn.Dense(3)(h)))[..., 0]


SGD = optax.sgd(GEN_LR), optax.sgd(DISC_LR)
RULES = {"penalty_weight": 0.3, "skip_nonfinite": True}
PAIRED = Paired(Gen(), Disc(), relativistic, *SGD, l1=2.0, adversarial=0.7, z_dim=Z, penalties=(r1, r2), **RULES)
WEIGHTS = {"cycle": 3.0, "identity": 0.6, "adversarial": 0.8}
UNPAIRED = Unpaired(Gen(), Disc(), least_squares, *SGD, pool=3 * B, penalties=(r1,), **WEIGHTS, **RULES)
GAMES = {"paired": (PAIRED, PAIRS), "unpaired": (UNPAIRED, SETS)}
every_game = pytest.mark.parametrize("name", GAMES)


@cache
def start(name):
    game, batch = GAMES[name]
    return jax.jit(partial(init, game=game), compiler_options=QUICK)(jax.random.key(0), batch)


def softplus(x):
    return jnp.logaddexp(0.0, x)


LOSSES = {
    relativistic: (lambda r, f: softplus(f - r), lambda r, f: softplus(r - f)),
    least_squares: (lambda r, f: ((r - 1) ** 2 + f**2) / 2, lambda r, f: (f - 1) ** 2 / 2),
}


def descend(params, objective, lr):
    return jax.tree.map(lambda p, g: p - lr * g, params, jax.grad(objective)(params))


def critic_objective(params, real, fake, given, game):
    """What the critic makes small."""
    value = LOSSES[game.loss][0](run(game.disc, params, real, *given), run(game.disc, params, fake, *given)).mean()
    for penalty in game.penalties:
        slope = jax.vmap(jax.grad(lambda y, *x: run(game.disc, params, y[None], *(a[None] for a in x)).sum()))(
            real if penalty is r1 else fake, *given
        )
        value += game.penalty_weight * 0.5 * (slope**2).sum((1, 2, 3)).mean()
    return value


def run(net, params, *inputs):
    return net.apply({"params": params}, *inputs, train=False)


def step_noise(state):
    """The generator's, by the step's own keys."""
    z_key = jax.random.split(jax.random.fold_in(state.key, state.step), 4)[1]
    return prior(example_keys(z_key, B, None), Z)


@partial(jax.jit, static_argnames="game", compiler_options=QUICK)
def paired_reference(state, batch, game):
    """(critic, generator, generator judged by the old critic) after one step."""
    x, y = batch["source"], batch["image"]
    z = step_noise(state)
    fake = run(game.gen, state.gen.params, x, z)
    disc = descend(state.disc.params, lambda p: critic_objective(p, y, fake, (x,), game), DISC_LR)

    def objective(params, judge):
        made = run(game.gen, params, x, z)
        fooled = LOSSES[game.loss][1](run(game.disc, judge, y, x), run(game.disc, judge, made, x)).mean()
        return game.l1 * jnp.abs(made - y).mean() + game.adversarial * fooled

    return disc, *(descend(state.gen.params, partial(objective, judge=j), GEN_LR) for j in (disc, state.disc.params))


@partial(jax.jit, static_argnames="game", compiler_options=QUICK)
def unpaired_reference(state, batch, game):
    """(critic, critic back, (generator, generator back), the same judged by the old critics) after one step."""
    x, y, back = batch["source"], batch["image"], state.back
    g, f = (partial(run, game.gen) for _ in range(2))
    old = state.disc.params, back.disc.params
    disc = descend(old[0], lambda p: critic_objective(p, y, g(state.gen.params, x), (), game), DISC_LR)
    other = descend(old[1], lambda p: critic_objective(p, x, f(back.gen.params, y), (), game), DISC_LR)

    def objective(both, judges):
        there, home = both
        made = g(there, x), f(home, y)
        fooled = sum(
            LOSSES[game.loss][1](run(game.disc, judge, real), run(game.disc, judge, fake)).mean()
            for judge, real, fake in zip(judges, (y, x), made, strict=True)
        )
        cycle = jnp.abs(f(home, made[0]) - x).mean() + jnp.abs(g(there, made[1]) - y).mean()
        same = jnp.abs(g(there, y) - y).mean() + jnp.abs(f(home, x) - x).mean()
        return game.adversarial * fooled + game.cycle * cycle + game.identity * same

    both = state.gen.params, back.gen.params
    return disc, other, *(descend(both, partial(objective, judges=j), GEN_LR) for j in ((disc, other), old))


def distance(a, b):
    return max(jax.tree.leaves(jax.tree.map(lambda a, b: float(np.abs(np.asarray(a) - b).max()), a, b)))


def assert_same(a, b, tolerance=0.0):
    """Whether two states without their keys are the same."""
    assert distance(a.replace(key=()), b.replace(key=())) <= tolerance


def test_one_paired_update_against_the_whole_loss():
    state = start("paired")
    new, metrics = step(state, PAIRS, PAIRED)
    disc, gen, judged_by_the_old = paired_reference(state, PAIRS, PAIRED)
    assert distance(new.disc.params, disc) < 2e-6
    assert distance(new.gen.params, gen) < 2e-6
    # The test sees which critic judged, and that both moved.
    assert distance(gen, judged_by_the_old) > 1e-3
    assert min(distance(state.gen.params, gen), distance(state.disc.params, disc)) > 1e-2
    assert (int(new.step), new.key, new.back) == (1, state.key, ())
    assert metrics.keys() == {"loss/disc", "loss/gen", "l1", "logit/real", "logit/fake", "skipped"}
    real = run(Disc(), state.disc.params, PAIRS["image"], PAIRS["source"])
    np.testing.assert_allclose(metrics["logit/real"], real.mean(), rtol=1e-4, atol=1e-6)


def test_one_unpaired_update_against_the_whole_loss():
    """The pool is empty and shows the first fakes as they are."""
    state = start("unpaired")
    new, metrics = step(state, SETS, UNPAIRED)
    disc, other, gens, judged_by_the_old = unpaired_reference(state, SETS, UNPAIRED)
    assert distance(new.disc.params, disc) < 2e-6
    assert distance(new.back.disc.params, other) < 2e-6
    assert distance((new.gen.params, new.back.gen.params), gens) < 2e-6
    assert distance(gens, judged_by_the_old) > 1e-3
    assert min(distance(gens[0], state.gen.params), distance(gens[1], state.back.gen.params)) > 1e-2
    assert distance(gens[0], gens[1]) > 1e-2  # each has its own parameters
    ways = {f"{name}{way}" for name in ("loss/disc", "loss/gen", "logit/real", "logit/fake") for way in ("", "/back")}
    assert metrics.keys() == ways | {"cycle", "identity", "skipped"}
    for pool, player, x in zip(new.back.pools, (state.gen, state.back.gen), SETS.values(), strict=True):
        assert int(pool.held) == B
        np.testing.assert_allclose(pool.images[:B], run(Gen(), player.params, x), atol=1e-6)


def test_a_critic_without_a_say_learns_but_does_not_teach():
    game, state = dataclasses.replace(PAIRED, adversarial=0.0), start("paired")
    new, metrics = step(state, PAIRS, game)
    heard, _ = step(state, PAIRS, PAIRED)

    def away(params):
        made = run(Gen(), params, PAIRS["source"], step_noise(state))
        return 2.0 * jnp.abs(made - PAIRS["image"]).mean()

    gen = jax.jit(lambda params: descend(params, away, GEN_LR), compiler_options=QUICK)(state.gen.params)
    assert distance(new.gen.params, gen) < 2e-6
    assert distance(new.disc.params, heard.disc.params) < 2e-6
    assert metrics["loss/gen"] == 0
    other = state.replace(disc=state.disc.replace(params=jax.tree.map(lambda a: 3 * a + 1, state.disc.params)))
    assert distance(step(other, PAIRS, game)[0].gen.params, new.gen.params) == 0
    assert distance(step(other, PAIRS, PAIRED)[0].gen.params, heard.gen.params) > 1e-3


@every_game
def test_the_average_follows_the_generators(name):
    game, batch = GAMES[name]
    state = start(name)
    state = state.replace(step=state.step + 100_000)
    new, _ = step(state, batch, game)

    def averaged(s):
        return ((s.gen.params, {}), (s.back.gen.params, {})) if name == "unpaired" else (s.gen.params, {})

    assert distance(state.ema, averaged(state)) == 0
    expected = jax.tree.map(lambda a, b: 0.999 * np.asarray(a) + 0.001 * np.asarray(b), averaged(state), averaged(new))
    assert distance(new.ema, expected) < 1e-6
    assert distance(new.ema, state.ema) > 1e-5


class NormGen(nn.Module):
    """Its batch statistics are those of x."""

    @nn.compact
    def __call__(self, x, *, train):
        return nn.BatchNorm(not train, momentum=0.9)(x)


class NormDisc(nn.Module):
    """Its batch statistics are those of y."""

    @nn.compact
    def __call__(self, y, x, *, train):
        return nn.Dense(1)(nn.BatchNorm(not train, momentum=0.8)(y))[..., 0]


def test_batch_statistics_are_moved_once_by_each_pass_that_counts():
    game = dataclasses.replace(PAIRED, gen=NormGen(), disc=NormDisc(), z_dim=0, penalties=(r1,))
    state = jax.jit(partial(init, game=game), compiler_options=QUICK)(jax.random.key(0), SETS)
    new, _ = step(state, SETS, game)
    x, y = (np.asarray(SETS[name]) for name in ("source", "image"))
    mean = new.gen.stats["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(mean, 0.1 * x.mean((0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(new.ema[1]["batch_stats"]["BatchNorm_0"]["mean"], 0.9 * mean, atol=1e-6)
    # The critic's: real, then fake, whose mean is 0; neither the penalty nor the generator's update moves them.
    expected = 0.8 * 0.2 * y.mean((0, 1, 2))
    np.testing.assert_allclose(new.disc.stats["batch_stats"]["BatchNorm_0"]["mean"], expected, atol=1e-6)


@every_game
def test_a_nonfinite_step_is_left_out(name):
    game, batch = GAMES[name]
    state = step(start(name), batch, game)[0]
    kept, metrics = step(state, batch | {"source": batch["source"].at[0, 0].set(jnp.nan)}, game)
    assert_same(kept, state.replace(step=state.step + 1, skipped=state.skipped + 1))
    assert kept.key == state.key
    assert metrics["skipped"] == 1
    after, metrics = step(kept, batch, game)
    assert metrics["skipped"] == 1
    assert distance(after.gen.params, kept.gen.params) > 1e-3


@every_game
def test_the_state_is_all_that_decides_the_future(name):
    game, batch = GAMES[name]
    one, _ = step(start(name), batch, game)
    two, expected = step(one, batch, game)
    step(two, batch, game)
    again = jax.tree.map(jnp.asarray, jax.tree.map(np.array, one.replace(key=jax.random.key_data(one.key))))
    again, metrics = step(again.replace(key=jax.random.wrap_key_data(again.key)), batch, game)
    assert_same(again, two)
    assert metrics == expected
    if name == "paired":  # neither the noise of one step nor that of one seed is that of another
        for other in (one.replace(step=one.step + 5), one.replace(key=jax.random.key(1))):
            assert distance(step(other, batch, game)[0].gen.params, two.gen.params) > 1e-3


@every_game
def test_a_fresh_state_may_be_donated_and_a_game_is_static(name):
    game, batch = GAMES[name]
    state = init(jax.random.key(0), batch, game).replace(key=())
    expected = jax.tree.map(np.array, state)
    new = jax.jit(partial(jax.tree.map, lambda a: -a), donate_argnums=0)(state)  # fails where an array is in it twice
    assert all(a.is_deleted() for a in jax.tree.leaves(state) if a.size)
    assert distance(jax.tree.map(np.negative, new), expected) == 0
    assert hash(game) == hash(dataclasses.replace(game))
    assert game == dataclasses.replace(game)


def test_translations_are_the_averaged_generators():
    state = start("unpaired").replace(ema=jax.tree.map(lambda a: a + 0.1, start("unpaired").ema))
    keys, x = numbered_keys(jax.random.key(5), B), SETS["source"]
    for way, back in ((0, False), (1, True)):
        made = translate(state, x, keys, UNPAIRED, back)
        np.testing.assert_allclose(made, run(Gen(), state.ema[way][0], x), atol=1e-6)
    shown = show(state, jax.random.key(5), UNPAIRED, SETS)
    np.testing.assert_array_equal(shown["sources"], x)
    np.testing.assert_array_equal(shown["sources_back"], SETS["image"])
    np.testing.assert_allclose(shown["samples"], translate(state, x, keys, UNPAIRED), atol=1e-6)
    np.testing.assert_allclose(shown["samples_back"], translate(state, SETS["image"], keys, UNPAIRED, True), atol=1e-6)
    assert show(state, jax.random.key(5), UNPAIRED) == {}


def test_noise_is_the_keys():
    state, x = start("paired"), PAIRS["source"]
    keys = numbered_keys(jax.random.key(5), B)
    made = translate(state, x, keys, PAIRED)
    np.testing.assert_allclose(made, run(Gen(), state.ema[0], x, prior(keys, Z)), atol=1e-6)
    np.testing.assert_allclose(translate(state, x[:2], keys[:2], PAIRED), made[:2], atol=1e-6)
    assert distance(translate(state, x, keys[::-1], PAIRED), made) > 1e-2
    shown = show(state, jax.random.key(5), PAIRED, PAIRS)
    assert shown.keys() == {"sources", "samples", "targets"}
    np.testing.assert_allclose(shown["samples"], made, atol=1e-6)
    np.testing.assert_array_equal(shown["targets"], PAIRS["image"])


def halved(images, keys):
    return images[:, ::2, ::2] + keys.shape[0]


def test_sources_are_the_batchs_or_made_of_its_images():
    keys = numbered_keys(jax.random.key(0), B)
    game = dataclasses.replace(PAIRED, degrade=halved)
    np.testing.assert_array_equal(sources(PAIRS, keys, game), PAIRS["image"][:, ::2, ::2] + B)  # whatever it brings
    for other in (PAIRED, UNPAIRED):
        np.testing.assert_array_equal(sources(PAIRS, keys, other), PAIRS["source"])


def shifted(images, keys, p):
    """Stands for an augmentation: everything by an amount that the test knows."""
    assert keys.shape == images.shape[:1]
    return images + p


def test_both_of_a_pair_are_augmented_alike():
    game = dataclasses.replace(PAIRED, augment=shifted, augment_p=0.25)
    new, _ = step(start("paired"), PAIRS, game)
    expected, _ = step(start("paired"), {n: a + 0.25 for n, a in PAIRS.items()}, PAIRED)
    assert_same(new, expected, 1e-6)
    assert distance(new.gen.params, step(start("paired"), PAIRS, PAIRED)[0].gen.params) > 1e-3


class Wide(nn.Module):
    @nn.compact
    def __call__(self, x, z=None, *, train):
        return nn.Dense(2)(x)


@pytest.mark.parametrize(
    ("game", "batch", "words"),
    [
        (
            dataclasses.replace(PAIRED, gen=Wide()),
            PAIRS,
            r"generator makes \(4, 2, 3, 2\), the data are \(4, 2, 3, 1\)",
        ),
        (PAIRED, {"image": PAIRS["image"]}, "no `source`, and the game has no `degrade` to make it from"),
        (UNPAIRED, {"image": PAIRS["image"]}, "no `source`"),
        (
            dataclasses.replace(PAIRED, disc=NormDisc(), degrade=halved, augment=shifted),
            SETS,
            r"x \(4, 1, 2, 1\) and y \(4, 2, 3, 1\) must have one height and width",
        ),
        (UNPAIRED, PAIRS, r"must have one shape, not \(4, 2, 3, 2\) and \(4, 2, 3, 1\)"),
    ],
)
def test_a_game_that_does_not_fit_the_batch_is_refused(game, batch, words):
    def play(key):
        return train_step(init(key, batch, game), batch, game)

    with pytest.raises(ValueError, match=words):
        jax.eval_shape(play, jax.random.key(0))


def test_weights_of_0_leave_parts_out():
    game = dataclasses.replace(UNPAIRED, identity=0.0)
    _, metrics = jax.eval_shape(partial(train_step, game=game), start("unpaired"), SETS)
    assert "identity" not in metrics
    assert "cycle" in metrics
