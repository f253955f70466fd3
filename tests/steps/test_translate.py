"""The translation step: against whole losses written anew, under every runner, and on mappings that are known."""

import dataclasses
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxgen.augment import augmentation
from jaxgen.axes import example_keys
from jaxgen.degrade import degradation
from jaxgen.latent import numbered_keys, prior
from jaxgen.losses.adversarial import least_squares, nonsaturating, relativistic
from jaxgen.losses.penalties import r1, r2
from jaxgen.models.layers import Dropout
from jaxgen.steps import translate as module
from jaxgen.steps.translate import Paired, Pool, Unpaired, init, show, sources, train_step, translate

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
PAIRED = Paired(Gen(), Disc(), relativistic, *SGD, l1=2.0, adversarial=0.7, skip_nonfinite=True)
NOISY = dataclasses.replace(PAIRED, loss=nonsaturating, z_dim=Z, penalties=(r1, r2), penalty_weight=0.3)
UNPAIRED = Unpaired(Gen(), Disc(), least_squares, *SGD, cycle=3.0, identity=0.6, adversarial=0.8, pool=0)
UNPAIRED = dataclasses.replace(UNPAIRED, skip_nonfinite=True)
FREE = dataclasses.replace(UNPAIRED, loss=relativistic, identity=0.0, penalties=(r1,), pool=3 * B)
GAMES = {"paired": (PAIRED, PAIRS), "noisy": (NOISY, PAIRS), "unpaired": (UNPAIRED, SETS), "free": (FREE, SETS)}


@cache
def start(name):
    game, batch = GAMES[name]
    return jax.jit(partial(init, game=game), compiler_options=QUICK)(jax.random.key(0), batch)


def softplus(x):
    return jnp.logaddexp(0.0, x)


LOSSES = {
    nonsaturating: (lambda r, f: softplus(-r) + softplus(f), lambda r, f: softplus(-f)),
    relativistic: (lambda r, f: softplus(f - r), lambda r, f: softplus(r - f)),
    least_squares: (lambda r, f: ((r - 1) ** 2 + f**2) / 2, lambda r, f: (f - 1) ** 2 / 2),
}


def descend(params, objective, lr):
    return jax.tree.map(lambda p, g: p - lr * g, params, jax.grad(objective)(params))


def critic_objective(params, real, fake, given, game):
    """What the critic makes small."""
    value = LOSSES[game.loss][0](run(game.disc, params, real, *given), run(game.disc, params, fake, *given)).mean()
    for penalty in game.penalties:
        slope = jax.vmap(jax.grad(lambda y, *x: run(game.disc, params, y[None], *(a[None] for a in x)).mean()))(
            real if penalty is r1 else fake, *given
        )
        value += game.penalty_weight * 0.5 * (slope**2).sum((1, 2, 3)).mean()
    return value


def run(net, params, *inputs):
    return net.apply({"params": params}, *inputs, train=False)


@partial(jax.jit, static_argnames="game", compiler_options=QUICK)
def paired_reference(state, batch, game):
    """(critic, generator, generator judged by the old critic) after one step."""
    x, y = batch["source"], batch["image"]
    z_key = jax.random.split(jax.random.fold_in(state.key, state.step), 4)[1]
    noise = (prior(example_keys(z_key, B, None), game.z_dim),) if game.z_dim else ()
    fake = run(game.gen, state.gen.params, x, *noise)
    disc = descend(state.disc.params, lambda p: critic_objective(p, y, fake, (x,), game), DISC_LR)

    def objective(params, judge):
        made = run(game.gen, params, x, *noise)
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


@pytest.mark.parametrize("name", ["paired", "noisy"])
def test_one_paired_update_against_the_whole_loss(name):
    game, batch = GAMES[name]
    state = start(name)
    new, metrics = step(state, batch, game)
    disc, gen, judged_by_the_old = paired_reference(state, batch, game)
    assert distance(new.disc.params, disc) < 2e-6
    assert distance(new.gen.params, gen) < 2e-6
    # The test sees which critic judged, and that both moved.
    assert distance(gen, judged_by_the_old) > 1e-3
    assert min(distance(state.gen.params, gen), distance(state.disc.params, disc)) > 1e-2
    assert (int(new.step), new.key, new.back) == (1, state.key, ())
    assert metrics.keys() == {"loss/disc", "loss/gen", "l1", "logit/real", "logit/fake", "skipped"}
    if name == "paired":
        away = jnp.abs(run(game.gen, state.gen.params, batch["source"]) - batch["image"]).mean()
        np.testing.assert_allclose(metrics["l1"], away, rtol=1e-5)
        real = run(game.disc, state.disc.params, batch["image"], batch["source"])
        np.testing.assert_allclose(metrics["logit/real"], real.mean(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["unpaired", "free"])
def test_one_unpaired_update_against_the_whole_loss(name):
    """Also with an empty pool, which shows the first fakes as they are."""
    game, batch = GAMES[name]
    state = start(name)
    new, metrics = step(state, batch, game)
    disc, other, gens, judged_by_the_old = unpaired_reference(state, batch, game)
    assert distance(new.disc.params, disc) < 2e-6
    assert distance(new.back.disc.params, other) < 2e-6
    assert distance((new.gen.params, new.back.gen.params), gens) < 2e-6
    assert distance(gens, judged_by_the_old) > 1e-3
    assert min(distance(gens[0], state.gen.params), distance(gens[1], state.back.gen.params)) > 1e-2
    assert distance(gens[0], gens[1]) > 1e-2  # each has its own parameters
    ways = {f"{name}{way}" for name in ("loss/disc", "loss/gen", "logit/real", "logit/fake") for way in ("", "/back")}
    assert metrics.keys() == ways | {"cycle", "skipped"} | ({"identity"} if game.identity else set())
    if name == "free":
        np.testing.assert_allclose(new.back.pools[0].images[:B], run(game.gen, state.gen.params, batch["source"]), 1e-5)
        assert [int(pool.held) for pool in new.back.pools] == [B, B]


def test_a_critic_without_a_say_learns_but_does_not_teach():
    game, state = dataclasses.replace(PAIRED, adversarial=0.0), start("paired")
    new, metrics = step(state, PAIRS, game)
    disc, gen, _ = paired_reference(state, PAIRS, game)
    assert distance(new.gen.params, gen) < 2e-6
    assert distance(new.disc.params, disc) < 2e-6
    assert metrics["loss/gen"] == 0
    other = state.replace(disc=state.disc.replace(params=jax.tree.map(lambda a: 3 * a + 1, state.disc.params)))
    assert distance(step(other, PAIRS, game)[0].gen.params, new.gen.params) == 0
    assert distance(step(other, PAIRS, PAIRED)[0].gen.params, step(state, PAIRS, PAIRED)[0].gen.params) > 1e-3


@pytest.mark.parametrize("name", GAMES)
def test_the_average_follows_the_generators(name):
    game, batch = GAMES[name]
    state = start(name).replace(step=jnp.array(100_000))
    new, _ = step(state, batch, game)

    def averaged(s):
        return ((s.gen.params, {}), (s.back.gen.params, {})) if isinstance(game, Unpaired) else (s.gen.params, {})

    assert distance(state.ema, averaged(state)) == 0
    expected = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b, averaged(state), averaged(new))
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
    game = dataclasses.replace(PAIRED, gen=NormGen(), disc=NormDisc(), penalties=(r1,))
    state = jax.jit(partial(init, game=game), compiler_options=QUICK)(jax.random.key(0), SETS)
    new, _ = step(state, SETS, game)
    x, y = (np.asarray(SETS[name]) for name in ("source", "image"))
    mean = new.gen.stats["batch_stats"]["BatchNorm_0"]["mean"]
    np.testing.assert_allclose(mean, 0.1 * x.mean((0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(new.ema[1]["batch_stats"]["BatchNorm_0"]["mean"], 0.9 * mean, atol=1e-6)
    # The critic's: real, then fake, whose mean is 0; neither the penalty nor the generator's update moves them.
    expected = 0.8 * 0.2 * y.mean((0, 1, 2))
    np.testing.assert_allclose(new.disc.stats["batch_stats"]["BatchNorm_0"]["mean"], expected, atol=1e-6)


@pytest.mark.parametrize("name", ["paired", "free"])
def test_a_nonfinite_step_is_left_out(name):
    game, batch = GAMES[name]
    state = step(start(name), batch, game)[0]
    kept, metrics = step(state, batch | {"source": batch["source"].at[0, 0].set(jnp.nan)}, game)
    assert_same(kept, state.replace(step=state.step + 1, skipped=state.skipped + 1))
    assert kept.key == state.key
    assert metrics["skipped"] == 1
    assert step(kept, batch, game)[1]["skipped"] == 1


@pytest.mark.parametrize("name", ["noisy", "free"])
def test_the_state_is_all_that_decides_the_future(name):
    game, batch = GAMES[name]
    one, _ = step(start(name), batch, game)
    two, expected = step(one, batch, game)
    step(two, batch, game)
    again = jax.tree.map(jnp.asarray, jax.tree.map(np.array, one.replace(key=jax.random.key_data(one.key))))
    again, metrics = step(again.replace(key=jax.random.wrap_key_data(again.key)), batch, game)
    assert_same(again, two)
    assert metrics == expected
    if game is NOISY:  # neither the noise of one step nor that of one seed is that of another
        for other in (one.replace(step=jnp.array(5)), one.replace(key=jax.random.key(1))):
            assert distance(step(other, batch, game)[0].gen.params, two.gen.params) > 1e-3


def test_a_fresh_state_may_be_donated_and_a_game_is_static():
    for name in ("paired", "free"):
        game, batch = GAMES[name]
        state = jax.tree.map(jnp.copy, start(name).replace(key=())).replace(key=jax.random.clone(start(name).key))
        leaves = [id(a) for a in jax.tree.leaves(init(jax.random.key(0), batch, game))]
        assert len(leaves) == len(set(leaves))
        donating = jax.jit(train_step, static_argnames="game", donate_argnums=0, compiler_options=QUICK)
        new, _ = donating(state, batch, dataclasses.replace(game))
        assert all(a.is_deleted() for a in jax.tree.leaves(state.gen.params))
        assert_same(new, step(start(name), batch, game)[0], 1e-7)
        assert hash(game) == hash(dataclasses.replace(game))


# Under every runner.
STEPS, SIZE = 20, 8
FEED = {n: RNG.uniform(-1, 1, (STEPS, SIZE, 4, 4, 1)).astype(np.float32) for n in ("source", "image")}


class NormedGen(nn.Module):
    """A user's own: Flax's convolution and batch normalisation, and noise where there is some."""

    axis_name: str | None

    @nn.compact
    def __call__(self, x, z=None, *, train):
        h = nn.Conv(4, (3, 3))(x)
        h = nn.tanh(nn.BatchNorm(not train, momentum=0.9, axis_name=self.axis_name)(h))
        if z is not None:
            h = h + nn.Dense(4)(z)[:, None, None]
        return nn.Dense(1)(h)


class DroppingDisc(nn.Module):
    axis_name: str | None
    own: bool = True  # dropout by example; or Flax's, by device

    @nn.compact
    def __call__(self, y, x=None, *, train):
        h = y if x is None else jnp.concatenate([y, x], axis=-1)
        h = nn.leaky_relu(nn.Conv(4, (3, 3), (2, 2))(h))
        h = Dropout(0.3, self.axis_name)(h, train=train) if self.own else nn.Dropout(0.3, deterministic=not train)(h)
        return nn.Dense(1)(h)


def restored(axis_name):
    """Holes, noise, augmentation, a lazy penalty."""
    nets = NormedGen(axis_name), DroppingDisc(axis_name)
    rules = {"z_dim": Z, "degrade": degradation("holes-20"), "augment": augmentation("translation+cutout+flip")}
    lazy = {"augment_p": 0.6, "penalties": (r1,), "penalty_every": 4}
    return Paired(*nets, relativistic, optax.sgd(0.02), optax.sgd(0.02), l1=1.0, **rules, **lazy)


def both_ways(axis_name):
    """A pool that is full after two steps of three."""
    nets = NormedGen(axis_name), DroppingDisc(axis_name)
    return Unpaired(*nets, least_squares, optax.sgd(0.02), optax.sgd(0.02), cycle=2.0, identity=1.0, pool=20)


RUNNERS = {"restored": restored, "both_ways": both_ways}


@cache
def played(name, mode, n=1):
    """The state after STEPS steps as NumPy arrays, and the metrics of the last."""
    game = RUNNERS[name]("data" if mode == "pmap" else None)
    devices = jax.devices()[:n]
    replicated = NamedSharding(Mesh(np.array(devices), ("data",)), PartitionSpec())
    start = partial(init, game=RUNNERS[name](None))
    state = jax.jit(start, compiler_options=QUICK)(jax.random.key(0), {n: a[0] for n, a in FEED.items()})
    feed = FEED
    if mode == "pmap":
        feed = {name: a.reshape(STEPS, n, SIZE // n, *a.shape[2:]) for name, a in FEED.items()}
        play = jax.pmap(
            partial(train_step, game=game, axis_name="data"), "data", in_axes=(None, 0), out_axes=None, devices=devices
        )
    else:
        play = jax.jit(partial(train_step, game=game), out_shardings=replicated)
    if mode == "jit":
        state = jax.device_put(state, replicated)
        feed = {
            name: jax.device_put(a, NamedSharding(replicated.mesh, PartitionSpec(None, "data")))
            for name, a in FEED.items()
        }
    for i in range(STEPS):
        state, metrics = play(state, {name: a[i] for name, a in feed.items()})
    return jax.tree.map(np.asarray, (state.replace(key=jax.random.key_data(state.key)), metrics))


@pytest.mark.parametrize("name", RUNNERS)
def test_twenty_steps_are_finite_and_move_every_parameter(name):
    state, metrics = played(name, "single")
    assert all(np.isfinite(a).all() for a in jax.tree.leaves((state, metrics)))
    first = init(jax.random.key(0), {n: a[0] for n, a in FEED.items()}, RUNNERS[name](None))
    players = [(first.gen, state.gen), (first.disc, state.disc)]
    if name == "both_ways":
        players += [(first.back.gen, state.back.gen), (first.back.disc, state.back.disc)]
        assert [int(pool.held) for pool in state.back.pools] == [20, 20]
    for old, new in players:
        moved = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), old.params, new.params)
        moved = {k: v for k, v in jax.tree_util.tree_leaves_with_path(moved)}
        # A bias before a normalisation does nothing.
        assert min(v for k, v in moved.items() if "Conv_0" not in str(k) or "kernel" in str(k)) > 1e-5, moved


@pytest.mark.parametrize(("name", "mode", "n"), [(name, *how) for name in RUNNERS for how in (("pmap", 4), ("jit", 2))])
def test_every_runner_comes_to_the_state_of_one_device(name, mode, n):
    """The pools too: they hold what all devices made, in the order of the global batch."""
    assert distance(played(name, mode, n), played(name, "single")) <= 1e-6
