"""The translation step with a user's own modules: under every runner, and on mappings that are known."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxgen.augment import augmentation
from jaxgen.degrade import degradation
from jaxgen.latent import numbered_keys
from jaxgen.losses.adversarial import least_squares, nonsaturating
from jaxgen.losses.penalties import r1
from jaxgen.models.layers import Dropout
from jaxgen.steps.translate import Paired, Unpaired, init, train_step, translate

QUICK = {"xla_backend_optimization_level": 0}  # small networks: the compiler's time is what counts
STEPS, B, SHAPE, Z = 20, 8, (4, 4, 1), 2
RNG = np.random.default_rng(0)
FEED = {name: RNG.uniform(-1, 1, (STEPS, B, *SHAPE)).astype(np.float32) for name in ("source", "image")}


class Gen(nn.Module):
    """Flax's convolution and batch normalisation, and noise where there is some."""

    axis_name: str | None

    @nn.compact
    def __call__(self, x, z=None, *, train):
        h = nn.Conv(4, (3, 3), use_bias=False)(x)
        h = nn.tanh(nn.BatchNorm(not train, momentum=0.9, axis_name=self.axis_name)(h))
        if z is not None:
            h = h + nn.Dense(4)(z)[:, None, None]
        return nn.Dense(1)(h)


class Disc(nn.Module):
    """Four logits an example. Dropout by example, or Flax's, by device."""

    axis_name: str | None
    flax: bool = False

    @nn.compact
    def __call__(self, y, x=None, *, train):
        h = y if x is None else jnp.concatenate([y, x], axis=-1)
        h = nn.leaky_relu(nn.Conv(4, (3, 3), (2, 2))(h))
        h = nn.Dropout(0.3, deterministic=not train)(h) if self.flax else Dropout(0.3, self.axis_name)(h, train=train)
        return nn.Dense(1)(h)


def paired(axis_name):
    """Inputs made at each step, noise, augmentation, a lazy penalty."""
    nets, txs = (Gen(axis_name), Disc(axis_name)), (optax.sgd(0.02), optax.sgd(0.02))
    rules = {"z_dim": Z, "degrade": degradation("noise-25"), "augment": augmentation("translation+cutout+flip")}
    return Paired(*nets, nonsaturating, *txs, l1=1.0, augment_p=0.6, penalties=(r1,), penalty_every=4, **rules)


def unpaired(axis_name):
    """Pools that are full in the middle of the third step."""
    nets, txs = (Gen(axis_name), Disc(axis_name)), (optax.sgd(0.02), optax.sgd(0.02))
    return Unpaired(*nets, least_squares, *txs, cycle=2.0, identity=1.0, pool=20)


every_game = pytest.mark.parametrize("make", [paired, unpaired])


@cache
def start(make):
    first = {name: a[0] for name, a in FEED.items()}
    return jax.jit(partial(init, game=make(None)), compiler_options=QUICK)(jax.random.key(0), first)


def plain(tree):
    """As NumPy arrays."""
    return jax.tree.map(np.asarray, tree)


@cache
def played(make, mode, n=1):
    """(state without its key, the metrics of the last step) after STEPS steps."""
    mesh = Mesh(np.array(jax.devices()[:n]), ("data",))
    whole, parts = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))
    game, state, feed = make("data" if mode == "pmap" else None), start(make), FEED
    if mode == "pmap":
        feed = {name: a.reshape(STEPS, n, B // n, *SHAPE) for name, a in FEED.items()}
        step = partial(train_step, game=game, axis_name="data")
        run = jax.pmap(step, "data", in_axes=(None, 0), out_axes=None, devices=jax.devices()[:n])
    else:
        run = jax.jit(partial(train_step, game=game), out_shardings=whole)
    state = jax.device_put(state, whole)
    run = run.lower(state, jax.device_put({name: a[0] for name, a in feed.items()}, parts)).compile(QUICK)
    for i in range(STEPS):
        state, metrics = run(state, jax.device_put({name: a[i] for name, a in feed.items()}, parts))
    return plain((state.replace(key=()), metrics))


def distance(a, b):
    return max(jax.tree.leaves(jax.tree.map(lambda a, b: float(np.abs(np.asarray(a) - b).max()), a, b)))


def assert_everything_moved(make, state):
    old = start(make)
    for before, after in ((old, state), (old.back, state.back)) if make is unpaired else ((old, state),):
        for name in ("gen", "disc"):
            params = getattr(before, name).params, getattr(after, name).params
            assert min(jax.tree.leaves(jax.tree.map(distance, *params))) > 1e-5
    assert distance(old.ema, state.ema) > 1e-3


@every_game
def test_twenty_steps_are_finite_and_move_every_parameter(make):
    state, metrics = played(make, "single")
    assert all(np.isfinite(a).all() for a in jax.tree.leaves((state, metrics)))
    assert int(state.step) == STEPS
    assert_everything_moved(make, state)
    if make is unpaired:
        assert [int(pool.held) for pool in state.back.pools] == [20, 20]


@every_game
@pytest.mark.parametrize(("mode", "n"), [("pmap", 4), ("jit", 2)])
def test_every_runner_comes_to_the_state_of_one_device(make, mode, n):
    """The pools too: they hold what all devices made, in the order of the global batch."""
    assert distance(played(make, mode, n), played(make, "single")) <= 1e-6


def test_plain_pmap_with_flax_dropout_of_which_each_device_has_its_own():
    nets, txs = (Gen("data"), Disc("data", flax=True)), (optax.sgd(0.1), optax.sgd(0.1))
    game, feed = Paired(*nets, nonsaturating, *txs), {name: a[0].reshape(4, 2, *SHAPE) for name, a in FEED.items()}
    state = jax.jit(partial(init, game=game), compiler_options=QUICK)(
        jax.random.key(0), {n: a[0] for n, a in feed.items()}
    )
    run = jax.pmap(partial(train_step, game=game, axis_name="data"), "data", in_axes=(None, 0))  # out: a copy a device
    run = run.lower(state, feed).compile(QUICK)
    new, metrics = plain([part.replace(key=()) if i == 0 else part for i, part in enumerate(run(state, feed))])
    for a in jax.tree.leaves((new, metrics)):
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(a, np.broadcast_to(a[:1], a.shape))
    for name in ("gen", "disc"):
        before, after = getattr(state, name).params, getattr(new, name).params
        assert min(jax.tree.leaves(jax.tree.map(lambda a, b: distance(a, b[0]), before, after))) > 1e-5


class Pixel(nn.Module):
    """The same map of each pixel, near the identity at first."""

    @nn.compact
    def __call__(self, x, *, train):
        h = nn.tanh(nn.Dense(8)(x))
        return x + nn.Dense(1, kernel_init=nn.initializers.normal(0.01))(h)


class Judge(nn.Module):
    """A logit for each pixel, of it and of its partner."""

    @nn.compact
    def __call__(self, y, x=None, *, train):
        h = y if x is None else jnp.concatenate([y, x], axis=-1)
        return nn.Dense(1)(nn.tanh(nn.Dense(8)(h)))


def learnt(game, batch, steps):
    """The state after some steps on one batch."""
    state = jax.jit(partial(init, game=game), compiler_options=QUICK)(jax.random.key(0), batch)

    def run(state):
        return jax.lax.fori_loop(0, steps, lambda _, state: train_step(state, batch, game)[0], state)

    return state, jax.jit(run, compiler_options=QUICK)(state)


def test_pairs_of_opposites_are_learnt():
    x = jnp.asarray(RNG.uniform(-1, 1, (32, *SHAPE)), jnp.float32)
    adam = optax.adam(0.01), optax.adam(0.01)
    game = Paired(Pixel(), Judge(), nonsaturating, *adam, l1=20.0, ema_decay=0.9)
    before, after = learnt(game, {"source": x, "image": -x}, 400)
    new = jnp.asarray(RNG.uniform(-1, 1, (16, *SHAPE)), jnp.float32)
    keys = numbered_keys(jax.random.key(0), 16)
    away = [float(jnp.abs(translate(state, new, keys, game) + new).mean()) for state in (before, after)]
    assert away[0] > 0.9
    assert away[1] < away[0] / 10


def test_a_shift_between_two_sets_is_learnt_without_pairs():
    x = jnp.asarray(RNG.normal(-0.4, 0.1, (32, *SHAPE)), jnp.float32)
    y = jnp.asarray(RNG.normal(0.5, 0.1, (32, *SHAPE)), jnp.float32)
    adam = optax.adam(0.005, b1=0.5), optax.adam(0.005, b1=0.5)
    rules = {"identity": 0.0, "pool": 20, "ema_decay": 0.99}
    game = Unpaired(Pixel(), Judge(), nonsaturating, *adam, cycle=5.0, **rules)
    _, state = learnt(game, {"source": x, "image": y}, 400)
    keys = numbered_keys(jax.random.key(0), 32)
    there, back = (np.asarray(translate(state, a, keys, game, way)) for a, way in ((x, False), (y, True)))
    assert abs(there.mean() - 0.5) < 0.1
    assert abs(back.mean() + 0.4) < 0.1
    # And each picture to one of its own: there and back again is where it began, the order of pixels kept.
    np.testing.assert_allclose(translate(state, there, keys, game, True), x, atol=0.15)
    assert np.corrcoef(np.ravel(x), there.ravel())[0, 1] > 0.9
