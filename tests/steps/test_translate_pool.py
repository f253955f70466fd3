"""The pool of earlier fakes: what comes out of it, when, and on how many devices."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxgen.latent import numbered_keys
from jaxgen.losses.adversarial import least_squares
from jaxgen.steps.translate import Pool, Unpaired, _pooled

QUICK = {"xla_backend_optimization_level": 0}  # it runs a few times: the compiler's time is what counts


def drawn(game, fakes, rounds, axis_name=None):
    """(what the critic sees [rounds, n, 1], the pool at the end), of a pool that was empty."""
    pool = Pool(jnp.zeros((game.pool, 1)), jnp.zeros((), jnp.int32))

    def one(pool, given):
        fakes, key = given
        seen, pool = _pooled(pool, fakes, key, game, axis_name)
        return pool, seen

    pool, seen = jax.lax.scan(one, pool, (fakes, numbered_keys(jax.random.key(0), rounds)))
    return seen, pool


ROUNDS, N = 100, 8
NUMBERED = np.arange(1.0, ROUNDS * N + 1, dtype=np.float32).reshape(ROUNDS, N, 1)  # every fake another number


@cache
def from_pool(size, devices=1):
    game = Unpaired(nn.Dense(1), nn.Dense(1), least_squares, optax.sgd(1.0), optax.sgd(1.0), pool=size)
    if devices == 1:
        return jax.jit(partial(drawn, game, rounds=ROUNDS), compiler_options=QUICK)(NUMBERED)
    mapped = jax.pmap(partial(drawn, game, rounds=ROUNDS, axis_name="data"), "data", out_axes=(0, None))
    seen, pool = mapped(NUMBERED.reshape(ROUNDS, devices, N // devices, 1).swapaxes(0, 1))
    return seen.swapaxes(0, 1).reshape(NUMBERED.shape), pool


def test_a_pool_fills_and_then_half_of_what_is_seen_is_old():
    seen, pool = (np.asarray(a) for a in (from_pool(20)[0], from_pool(20)[1].images))
    fakes, seen = NUMBERED.ravel(), seen.ravel()
    np.testing.assert_array_equal(seen[:20], fakes[:20])
    old = seen[20:] < fakes[20:]
    np.testing.assert_array_equal(seen[20:][~old], fakes[20:][~old])
    assert abs(old.mean() - 0.5) < 3 * 0.5 / np.sqrt(old.size)
    # What is taken out is replaced, and never seen again: a fake is seen at once, or later, or is still there.
    shown, counts = np.unique(seen[20:][old], return_counts=True)
    assert (counts == 1).all()
    kept = np.concatenate([fakes[:20], fakes[20:][old]])
    assert sorted(pool.ravel()) == sorted(set(kept) - set(shown))
    assert len(np.unique(pool)) == 20
    age = fakes[20:][old] - seen[20:][old]
    assert 25 < age.mean() < 60  # one in forty of the pool's places is taken at each fake: 40 on average


def test_the_pool_is_the_same_for_any_number_of_devices():
    for a, b in zip(jax.tree.leaves(from_pool(20)), jax.tree.leaves(from_pool(20, 4)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_a_pool_fakes_are_shown_as_they_are():
    seen, pool = from_pool(0)
    np.testing.assert_array_equal(seen, NUMBERED)
    assert (pool.images.size, int(pool.held)) == (0, 0)
