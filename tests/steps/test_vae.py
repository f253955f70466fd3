"""The VAE step against NumPy and SciPy in float64; its bounds against a linear-Gaussian model's exact likelihood."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
import scipy.stats
from flax import linen as nn

from jaxgen.axes import example_keys
from jaxgen.latent import numbered_keys
from jaxgen.losses.elbo import bernoulli, gaussian
from jaxgen.steps.vae import VAE, State, binarised, bounds, decode, draw, encode, init, sample, show, train_step

B, Z, D = 4, 2, 3
RNG = np.random.default_rng(0)
BATCH = {"image": jnp.array(RNG.uniform(size=(B, D)), jnp.float32)}
LR, SCALE = 0.1, 0.5
half_gaussian = partial(gaussian, scale=SCALE)
step = jax.jit(train_step, static_argnames=("game", "axis_name"))


class Encoder(nn.Module):
    @nn.compact
    def __call__(self, x, *, train):
        return tuple(jnp.split(nn.Dense(2 * Z)(x), 2, axis=-1))


class Decoder(nn.Module):
    size: int = D

    @nn.compact
    def __call__(self, z, *, train):
        return nn.Dense(self.size)(z)


GAME = VAE(Encoder(), Decoder(), half_gaussian, optax.sgd(LR), Z)


@pytest.fixture(scope="module")
def start():
    return jax.jit(partial(init, game=GAME))(jax.random.key(0), BATCH)


# The reference: parameters are [encoder W, encoder b, decoder W, decoder b].
def numbers(params):
    halves = (params["encoder"]["Dense_0"], params["decoder"]["Dense_0"])
    return [np.asarray(half[n], np.float64) for half in halves for n in ("kernel", "bias")]


def terms(p, x, noise, game, density=None):
    """(log likelihoods [B, K], KL [B], log weights [B, K]) of x [B, D] with noise [B, K, Z]; the weights' posterior
    density has the parameters `density`, p where there are none."""
    mu, logvar = posterior(p, x)
    z = mu + np.exp(logvar / 2) * noise
    out = z @ p[2] + p[3]
    if game.likelihood is bernoulli:
        log_likelihood = np.where(x[:, None] == 1, scipy.special.log_expit(out), scipy.special.log_expit(-out)).sum(-1)
    else:
        log_likelihood = scipy.stats.norm.logpdf(x[:, None], out, SCALE).sum(-1)
    kl = (0.5 * (np.exp(logvar) + mu**2) - 0.5 - logvar / 2).sum((1, 2))
    mu, logvar = posterior(density or p, x)
    ratio = scipy.stats.norm.logpdf(z) - scipy.stats.norm.logpdf(z, mu, np.exp(logvar / 2))
    return log_likelihood, kl, log_likelihood + ratio.sum(-1)


def posterior(p, x):
    return np.split((x @ p[0] + p[1])[:, None], 2, axis=-1)


def mean_bound(p, x, noise, game, beta):
    log_likelihood, kl, log_weights = terms(p, x, noise, game)
    if game.samples == 1:
        return (log_likelihood[:, 0] - beta * kl).mean()
    return (scipy.special.logsumexp(log_weights, axis=1) - np.log(game.samples)).mean()


def encoders_objective(p, x, noise, game, beta, old):
    """What the encoder's gradient at `old` is of: Tucker et al. (2019), equation 8, for several samples."""
    if game.samples == 1:
        return mean_bound(p, x, noise, game, beta)
    squares = scipy.special.softmax(terms(old, x, noise, game)[2], axis=1) ** 2
    return (squares * terms(p, x, noise, game, density=old)[2]).sum(1).mean()


def step_noise(state, game):
    """(x as the step sees it, noise [B, K, Z]), by the step's own keys."""
    keys = jax.random.split(jax.random.fold_in(state.key, state.step), 4)
    x = BATCH["image"]
    if game.binarise:
        x = binarised(example_keys(keys[0], B, None), x)
    zero = jnp.zeros((B, Z))
    noise = draw(example_keys(keys[1], B, None), zero, zero, game.samples)
    return np.asarray(x, np.float64), np.asarray(noise, np.float64)


@pytest.mark.parametrize(
    ("game", "beta"),
    [
        (dataclasses.replace(GAME, likelihood=bernoulli, binarise=True, beta=0.5), 0.5),
        (dataclasses.replace(GAME, samples=3), 1.0),
    ],
    ids=["bernoulli-binarised-beta", "gaussian-three-importance-samples"],
)
def test_one_update_against_numpy(start, game, beta):
    new, metrics = step(start, BATCH, game)
    x, noise = step_noise(start, game)
    old = numbers(start.vae.params)
    log_likelihood, kl, _ = terms(old, x, noise, game)
    expected = {"loss": -mean_bound(old, x, noise, game, beta), "kl": kl.mean(), "beta": beta}
    for name, value in (expected | {"reconstruction": -log_likelihood.mean()}).items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5)
    eps, moved = 1e-5, numbers(new.vae.params)
    for i, a in enumerate(old):
        grad = np.zeros_like(a)
        for index in np.ndindex(a.shape):
            ends = []
            for sign in (1, -1):
                params = [b.copy() for b in old]
                params[i][index] += sign * eps
                of = partial(encoders_objective, old=old) if i < 2 else mean_bound
                ends.append(-of(params, x, noise, game, beta))
            grad[index] = (ends[0] - ends[1]) / (2 * eps)
        assert np.abs(grad).max() > 1e-2
        np.testing.assert_allclose(moved[i], a - LR * grad, atol=5e-6)
    # The average at step 0 has decay (1 + 0) / (10 + 0).
    for average, a, b in zip(numbers(new.ema[0]), old, moved, strict=True):
        np.testing.assert_allclose(average, 0.1 * a + 0.9 * b, atol=1e-6)
    assert int(new.step) == 1
    assert new.key == start.key


def test_beta_follows_its_schedule(start):
    game = dataclasses.replace(GAME, beta=optax.linear_schedule(0.0, 0.5, 10))
    for t, beta in ((0, 0.0), (5, 0.25), (10, 0.5), (1000, 0.5)):
        _, metrics = step(start.replace(step=jnp.array(t)), BATCH, game)
        assert float(metrics["beta"]) == pytest.approx(beta)
        expected = metrics["reconstruction"] + beta * metrics["kl"]
        np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)


def test_the_importance_weighted_bound_has_no_beta():
    with pytest.raises(ValueError, match="no beta"):
        dataclasses.replace(GAME, samples=2, beta=0.5)


def test_a_nonfinite_step_is_left_out_where_asked(start):
    game = dataclasses.replace(GAME, skip_nonfinite=True)
    bad = {"image": BATCH["image"].at[0, 0].set(jnp.inf)}
    kept, metrics = step(start, bad, game)
    assert (int(kept.step), int(kept.skipped), float(metrics["skipped"])) == (1, 1, 1.0)
    jax.tree.map(np.testing.assert_array_equal, (kept.vae, kept.ema), (start.vae, start.ema))
    after, _ = step(kept, BATCH, game)
    assert int(after.skipped) == 1
    assert (
        np.abs(after.vae.params["decoder"]["Dense_0"]["bias"] - kept.vae.params["decoder"]["Dense_0"]["bias"]).max() > 0
    )


def test_a_decoder_of_another_shape_is_refused():
    game = dataclasses.replace(GAME, decoder=Decoder(5))
    state = jax.eval_shape(partial(init, game=game), jax.random.key(0), BATCH)
    with pytest.raises(ValueError, match=r"decoder makes \(5,\), the data are \(3,\)"):
        jax.eval_shape(partial(train_step, game=game), state, BATCH)


def test_a_fresh_state_may_be_donated(start):
    donated = init(jax.random.key(0), BATCH, GAME)
    new, _ = jax.jit(train_step, static_argnames="game", donate_argnums=0)(donated, BATCH, GAME)
    assert donated.vae.params["encoder"]["Dense_0"]["kernel"].is_deleted()
    expected, _ = step(start, BATCH, GAME)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), new.vae, expected.vae)


def test_binarised_draws_each_pixel_by_its_probability():
    x = jnp.array(np.tile([0.0, 0.3, 0.8, 1.0], (4000, 1)), jnp.float32)
    keys = jax.random.split(jax.random.key(0), 4000)
    bits = np.array(binarised(keys, x))
    assert bits.dtype == np.float32
    assert set(np.unique(bits)) == {0.0, 1.0}
    np.testing.assert_allclose(bits.mean(0), [0, 0.3, 0.8, 1], atol=0.03)
    np.testing.assert_array_equal(bits, binarised(keys, x))


def test_draw_has_the_posteriors_moments():
    mu, logvar = jnp.array([[1.0, -2.0]]), jnp.log(jnp.array([[0.25, 4.0]]))
    z = draw(jax.random.split(jax.random.key(0), 1), mu, logvar, 20_000)
    assert z.shape == (1, 20_000, 2)
    np.testing.assert_allclose(z[0].mean(0), mu[0], atol=0.06)
    np.testing.assert_allclose(z[0].std(0), [0.5, 2.0], rtol=0.03)


# A linear decoder with orthogonal columns: the exact posterior is a diagonal normal, log p(x) a normal's density.
W = np.array([[1.0, 0.0, 1.0], [0.0, 0.5, 0.0]], np.float32)  # [Z, D]
SHIFT = np.array([0.2, -0.1, 0.4], np.float32)
POSTERIOR_VAR = 1 / (1 + np.diag(W @ W.T) / SCALE**2)
POSTERIOR_MAP = W.T / SCALE**2 * POSTERIOR_VAR  # [D, Z]


def linear_state(mean_shift=0.0, widen=1.0):
    """A state whose averaged encoder is the exact posterior, but for a shifted mean and a wider variance."""
    kernel = np.concatenate([POSTERIOR_MAP, np.zeros((D, Z))], axis=1).astype(np.float32)
    bias = np.concatenate([-SHIFT @ POSTERIOR_MAP + mean_shift, np.log(widen * POSTERIOR_VAR)]).astype(np.float32)
    params = {
        "encoder": {"Dense_0": {"kernel": jnp.array(kernel), "bias": jnp.array(bias)}},
        "decoder": {"Dense_0": {"kernel": jnp.array(W), "bias": jnp.array(SHIFT)}},
    }
    empty = {"encoder": {}, "decoder": {}}
    zero = jnp.zeros((), jnp.int32)
    return State(zero, jax.random.key(0), None, (params, empty), zero)


def exact(x):
    return scipy.stats.multivariate_normal(SHIFT, W.T @ W + SCALE**2 * np.eye(D)).logpdf(x)


run_bounds = jax.jit(bounds, static_argnames=("game", "samples"))


def test_bounds_are_exact_with_the_exact_posterior():
    x = BATCH["image"]
    found = run_bounds(linear_state(), BATCH, numbered_keys(jax.random.key(1), B), GAME, 200)
    np.testing.assert_allclose(found["log_likelihood"], exact(x), rtol=1e-4)
    mu = (np.asarray(x) - SHIFT) @ POSTERIOR_MAP
    np.testing.assert_allclose(found["mu"], mu, rtol=1e-4, atol=1e-5)
    kl = 0.5 * (POSTERIOR_VAR + mu**2 - 1 - np.log(POSTERIOR_VAR)).sum(-1)
    np.testing.assert_allclose(found["kl"], kl, rtol=1e-4)
    # The ELBO's own latents leave noise in it: the standard deviation of log p(x | z) is about 1.
    np.testing.assert_allclose(found["elbo"], exact(x), atol=0.4)


def test_bounds_of_a_rough_posterior_tighten_with_samples():
    """One x many times over: the log weight of one sample is the ELBO on average; many samples come near log p(x)."""
    n = 2000
    x, keys = {"image": jnp.tile(BATCH["image"][:1], (n, 1))}, numbered_keys(jax.random.key(2), n)
    state = linear_state(mean_shift=0.4, widen=2.0)
    one, many = (run_bounds(state, x, keys, GAME, samples) for samples in (1, 50))
    log_p = float(exact(x["image"][0]))
    # KL of the rough posterior from the exact one, by hand: what the ELBO lacks.
    gap = (0.5 * (2 + 0.16 / POSTERIOR_VAR - 1 - np.log(2))).sum()
    for estimate in (one["elbo"], one["log_likelihood"], many["elbo"]):
        error = float(estimate.std()) / np.sqrt(n)
        assert abs(float(estimate.mean()) - (log_p - gap)) < 4 * error + 1e-3
    assert gap > 0.5
    assert log_p - 0.1 < many["log_likelihood"].mean() < log_p + 0.01


def test_decode_gives_expected_pixels():
    z = jnp.array([[1.0, -1.0], [0.0, 0.0]])
    state = linear_state()
    mean = np.asarray(z) @ W + SHIFT
    np.testing.assert_allclose(decode(state, z, GAME), mean, rtol=1e-5)
    logits = dataclasses.replace(GAME, likelihood=bernoulli)
    np.testing.assert_allclose(decode(state, z, logits), 1 / (1 + np.exp(-mean)), rtol=1e-5)


def test_sample_encode_and_show():
    state, key = linear_state(), jax.random.key(4)
    keys = numbered_keys(key, 6)
    x = sample(state, keys, GAME)
    assert x.shape == (6, D)
    np.testing.assert_allclose(sample(state, keys[:2], GAME), x[:2], atol=1e-6)
    batch = {"image": jnp.array(RNG.uniform(size=(40, D)), jnp.float32)}
    shown = show(state, key, GAME, batch)
    np.testing.assert_allclose(shown["samples"][:6], x, atol=1e-6)
    shapes = {"samples": (64, D), "originals": (16, D), "reconstructions": (16, D), "interpolations": (32, D)}
    assert {k: v.shape for k, v in shown.items()} == shapes | {"map": (40, D), "map_points": (40, 2)}
    np.testing.assert_array_equal(shown["originals"], batch["image"][:16])
    mu, _ = encode(state, batch["image"], GAME)
    np.testing.assert_allclose(shown["reconstructions"], np.asarray(mu[:16]) @ W + SHIFT, rtol=1e-4, atol=1e-5)
    ends = np.asarray(shown["interpolations"]).reshape(4, 8, D)[:, [0, -1]]
    np.testing.assert_allclose(ends[:, 0], np.asarray(mu[16:20]) @ W + SHIFT, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ends[:, 1], np.asarray(mu[20:24]) @ W + SHIFT, rtol=1e-4, atol=1e-5)
    # The map's axes are principal: centred, uncorrelated, the first the longer.
    covariance = np.cov(np.asarray(shown["map_points"]).T)
    assert abs(covariance[0, 1]) < 1e-5
    assert covariance[0, 0] > covariance[1, 1] > 0
    np.testing.assert_allclose(np.mean(shown["map_points"], axis=0), 0, atol=1e-6)
    assert set(show(state, key, GAME)) == {"samples"}
