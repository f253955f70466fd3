"""Whole games on problems whose answer is known: a Gaussian to be matched, a linear VAE with a closed form."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.stats
from flax import linen as nn

from jaxgen.latent import numbered_keys
from jaxgen.losses.adversarial import nonsaturating
from jaxgen.losses.elbo import gaussian
from jaxgen.losses.penalties import r1
from jaxgen.steps import gan, vae


def scan(train_step, state, batches, game, steps):
    """`steps` steps on batches drawn by `batches(step)`, in one compiled call."""

    @partial(jax.jit, static_argnums=1)
    def run(state, steps):
        return jax.lax.scan(lambda s, i: train_step(s, {"image": batches(i)}, game), state, jnp.arange(steps))[0]

    return run(state, steps)


class Gen(nn.Module):
    @nn.compact
    def __call__(self, z, *, train):
        h = nn.tanh(nn.Dense(16)(z))
        return nn.Dense(1)(h)


class Disc(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        h = nn.tanh(nn.Dense(32)(x))
        h = nn.tanh(nn.Dense(32)(h))
        return nn.Dense(1)(h)[:, 0]


def cosine(lr, steps):
    return optax.adam(optax.cosine_decay_schedule(lr, steps), b1=0.5)


def test_a_gan_finds_a_gaussian():
    """N(3, 0.5^2). Over six seeds, mean and standard deviation came within 0.04 (jax 0.10.2, CPU)."""
    steps = 1000
    txs = cosine(2e-3, steps), cosine(1e-2, steps)  # the critic the faster: the two-timescale rule
    game = gan.GAN(Gen(), Disc(), nonsaturating, *txs, 1, (r1,), penalty_weight=0.05, ema_decay=0.99)

    def batches(i):
        return 3.0 + 0.5 * jax.random.normal(jax.random.fold_in(jax.random.key(1), i), (128, 1))

    state = gan.init(jax.random.key(0), {"image": jnp.zeros((1, 1))}, game)
    keys = numbered_keys(jax.random.key(2), 4000)
    before = np.asarray(gan.sample(state, keys, game))
    x = np.asarray(gan.sample(scan(gan.train_step, state, batches, game, steps), keys, game))
    assert abs(before.mean() - 3) > 1
    assert abs(x.mean() - 3) < 0.15
    assert abs(x.std() - 0.5) < 0.15


class LinearEncoder(nn.Module):
    """As in the closed form: a linear mean, one variance for all x."""

    @nn.compact
    def __call__(self, x, *, train):
        mu = nn.Dense(2)(x)
        logvar = self.param("logvar", nn.initializers.zeros, (1, 2))
        return mu, jnp.broadcast_to(logvar, mu.shape)


class LinearDecoder(nn.Module):
    @nn.compact
    def __call__(self, z, *, train):
        return nn.Dense(4)(z)


SCALE = 0.5
likelihood = partial(gaussian, scale=SCALE)


def test_a_linear_vae_reaches_probabilistic_pca():
    """Its best ELBO is pPCA's largest likelihood, and closed (Tipping & Bishop 1999; Lucas et al. 2019, section 4)."""
    rng = np.random.default_rng(0)
    loadings, centre = np.array([[1.5, 0.5, -1.0, 0.0], [0.3, 0.8, 0.8, -0.6]]), np.array([1.0, -2.0, 0.5, 0.0])
    x = centre + rng.normal(size=(500, 2)) @ loadings + SCALE * rng.normal(size=(500, 4))
    x = x.astype(np.float32)
    # The optimum for a known noise: the sample mean, the principal axes, their variances less the noise's.
    values, axes = np.linalg.eigh(np.cov(x.T, bias=True).astype(np.float64))
    best = SCALE**2 * np.eye(4) + (axes[:, 2:] * (values[2:] - SCALE**2)) @ axes[:, 2:].T
    optimum = scipy.stats.multivariate_normal(x.mean(0), best).logpdf(x).mean()

    tx = optax.adam(optax.cosine_decay_schedule(5e-2, 3000), b1=0.9)
    game = vae.VAE(LinearEncoder(), LinearDecoder(), likelihood, tx, 2, ema_decay=0.99)
    data = jnp.array(x)
    state = vae.init(jax.random.key(0), {"image": data}, game)
    bounds = jax.jit(vae.bounds, static_argnums=(3, 4))

    def measured(state):
        found = bounds(state, {"image": data}, numbered_keys(jax.random.key(3), len(x)), game, 200)
        return {name: float(found[name].mean()) for name in ("elbo", "log_likelihood")}

    before = measured(state)
    state = scan(vae.train_step, state, lambda i: data, game, 3000)
    after = measured(state)
    assert before["elbo"] < optimum - 5
    # 200 latents for each of 500 examples leave about 0.005 nats of noise.
    assert optimum - 0.05 < after["elbo"] < optimum + 0.015
    assert optimum - 0.05 < after["log_likelihood"] < optimum + 0.015
    params = state.ema[0]["decoder"]["Dense_0"]
    covariance = np.asarray(params["kernel"]).T @ np.asarray(params["kernel"]) + SCALE**2 * np.eye(4)
    np.testing.assert_allclose(covariance, best, atol=0.1 * np.abs(best).max())
    np.testing.assert_allclose(params["bias"], x.mean(0), atol=0.05)
