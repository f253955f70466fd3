"""Likelihoods, KL and bounds against SciPy, integrals and a model whose log p(x) is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from jaxgen.losses.elbo import (
    GAUSSIAN_SCALE,
    LIKELIHOODS,
    bernoulli,
    doubly_reparameterised,
    elbo,
    gaussian,
    importance_bound,
    kl_normal,
    log_normal,
)

RNG = np.random.default_rng(0)
OUT = RNG.normal(size=(4, 3, 2)).astype(np.float32)
BITS = RNG.integers(0, 2, size=(4, 3, 2)).astype(np.float32)

every_likelihood = pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS.keys())


def test_bernoulli_against_scipy():
    expected = scipy.stats.bernoulli.logpmf(BITS, 1 / (1 + np.exp(-OUT))).sum((1, 2))
    np.testing.assert_allclose(bernoulli(OUT, BITS), expected, rtol=1e-5)


def test_bernoulli_of_a_grey_pixel_is_the_mean_over_its_draws():
    logits, x = jnp.array([[0.7]]), jnp.array([[0.3]])
    white, black = bernoulli(logits, jnp.ones((1, 1))), bernoulli(logits, jnp.zeros((1, 1)))
    np.testing.assert_allclose(bernoulli(logits, x), 0.3 * white + 0.7 * black, rtol=1e-5)


def test_gaussian_against_scipy():
    x = OUT[::-1]
    np.testing.assert_allclose(gaussian(OUT, x), scipy.stats.norm.logpdf(x, OUT, GAUSSIAN_SCALE).sum((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(gaussian(OUT, x, 2.0), scipy.stats.norm.logpdf(x, OUT, 2.0).sum((1, 2)), rtol=1e-5)


@every_likelihood
def test_one_finite_value_each_summed_over_the_rest(likelihood):
    x = jnp.array(BITS)
    whole = likelihood(jnp.array(OUT), x)
    assert whole.shape == (4,)
    parts = likelihood(jnp.array(OUT[:, :1]), x[:, :1]) + likelihood(jnp.array(OUT[:, 1:]), x[:, 1:])
    np.testing.assert_allclose(whole, parts, rtol=1e-5)
    extreme = 100 - 200 * x
    value, grad = jax.value_and_grad(lambda out: likelihood(out, x).sum())(extreme)
    assert np.isfinite(value)
    assert np.isfinite(grad).all()


@every_likelihood
def test_the_right_output_is_likelier_than_the_wrong_one(likelihood):
    x = jnp.array(BITS)
    assert (likelihood(x * 4 - 1.5, x) > likelihood((1 - x) * 4 - 1.5, x)).all()


@every_likelihood
def test_shapes_that_would_broadcast_are_refused(likelihood):
    with pytest.raises(AssertionError):
        likelihood(jnp.zeros((4, 3)), jnp.zeros((4, 1)))


def test_kl_by_hand_and_by_integration():
    np.testing.assert_array_equal(kl_normal(jnp.zeros((2, 3)), jnp.zeros((2, 3))), [0, 0])
    # 0.5 (e^logvar + mu^2 - 1 - logvar): 0.5 * 1 for the first entry, 0.5 (4 - 1 - ln 4) for the second.
    value = kl_normal(jnp.array([[1.0, 0.0]]), jnp.log(jnp.array([[1.0, 4.0]])))
    np.testing.assert_allclose(value, [0.5 + 0.5 * (3 - np.log(4))], rtol=1e-6)
    mu, logvar = 0.7, -1.3
    q, p = scipy.stats.norm(mu, np.exp(logvar / 2)), scipy.stats.norm()
    integral, _ = scipy.integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), -10, 10)
    np.testing.assert_allclose(kl_normal(jnp.array([[mu]]), jnp.array([[logvar]])), [integral], rtol=1e-5)


def test_log_normal_against_scipy():
    z, mu, logvar = RNG.normal(size=(3, 5, 2)).astype(np.float32)
    expected = scipy.stats.norm.logpdf(z, mu, np.exp(logvar / 2)).sum(-1)
    np.testing.assert_allclose(log_normal(z, mu, logvar), expected, rtol=1e-5)
    np.testing.assert_allclose(log_normal(z), scipy.stats.norm.logpdf(z).sum(-1), rtol=1e-5)


def test_elbo_by_hand():
    log_likelihood, kl = jnp.array([-1.0, -2.0]), jnp.array([0.5, 3.0])
    np.testing.assert_allclose(elbo(log_likelihood, kl), [-1.5, -5.0])
    np.testing.assert_allclose(elbo(log_likelihood, kl, 2.0), [-2.0, -8.0])
    with pytest.raises(AssertionError):
        elbo(log_likelihood, kl[:, None])


def test_importance_bound_by_hand():
    np.testing.assert_allclose(importance_bound(jnp.log(jnp.array([[1.0], [3.0]]))), [np.log(2)], rtol=1e-6)
    np.testing.assert_array_equal(importance_bound(jnp.array([[-3.0, 4.0]])), [-3.0, 4.0])  # K = 1
    np.testing.assert_allclose(importance_bound(jnp.array([[-5000.0], [-5000.0]])), [-5000.0])


# z ~ N(0, 1), x | z ~ N(z, S^2): so x ~ N(0, 1 + S^2), z | x ~ N(x / (1 + S^2), S^2 / (1 + S^2)).
S, X = 0.5, 1.3
EXACT = scipy.stats.norm.logpdf(X, 0, np.sqrt(1 + S**2))


@jax.jit
def bound(z, mu, var):
    """The importance bound [N] from latents z [K, N] of q = N(mu, var)."""
    z = z[..., None]
    likelihood = log_normal(X - z, 0.0, 2 * jnp.log(S))
    q = [jnp.reshape(a, (1, 1, 1)) for a in (mu, jnp.log(var))]
    return importance_bound(likelihood + log_normal(z) - log_normal(z, *q))


@pytest.mark.parametrize("k", [1, 20])
def test_importance_bound_is_exact_with_the_exact_posterior(k):
    mu, var = X / (1 + S**2), S**2 / (1 + S**2)
    z = RNG.normal(mu, np.sqrt(var), size=(k, 50)).astype(np.float32)
    np.testing.assert_allclose(bound(z, mu, var), np.full(50, EXACT), rtol=1e-5)


def test_importance_bound_rises_with_k_towards_the_log_likelihood():
    rng = np.random.default_rng(1)
    means = []
    for k in (1, 8, 64):
        z = rng.normal(size=(k, 4000)).astype(np.float32)  # q is the prior: far from the posterior
        means.append(float(bound(z, 0.0, 1.0).mean()))
    assert means == sorted(means)
    assert means[0] < EXACT - 0.5
    assert EXACT - 0.05 < means[-1] < EXACT + 0.01


def test_an_example_of_no_weight_has_no_gradient():
    def loss(z):
        z, tie = doubly_reparameterised(z)
        return (jnp.array([1.0, 0.0]) * importance_bound((log_normal(z) + tie).T)).sum()

    grad = jax.grad(loss)(jnp.array(RNG.normal(size=(2, 3, 1)), jnp.float32))
    assert (np.abs(grad[0]) > 0).all()
    np.testing.assert_array_equal(grad[1], 0)


@pytest.mark.parametrize("k", [2, 16])
def test_the_doubly_reparameterised_gradient_is_the_plain_one_with_less_noise(k):
    noise = RNG.normal(size=(40_000, k)).astype(np.float32)

    def log_weights(z, mu, logvar):
        return log_normal((X - z)[..., None], 0.0, 2 * jnp.log(S)) + log_normal(z[..., None]) - q(z, mu, logvar)

    def q(z, mu, logvar):
        return log_normal(z[..., None], mu, logvar)

    def plain(p, e):
        return importance_bound(log_weights(p[0] + jnp.exp(p[1] / 2) * e, *p))

    def doubly(p, e):
        z, tie = doubly_reparameterised((p[0] + jnp.exp(p[1] / 2) * e)[None, :, None])
        return importance_bound(log_weights(z[0, :, 0], *jax.lax.stop_gradient(p)) + tie[0])

    at = (jnp.array(0.4), jnp.array(-0.5))
    both = [np.stack(jax.jit(jax.vmap(jax.grad(f), (None, 0)))(at, noise)) for f in (plain, doubly)]
    values = [jax.vmap(f, (None, 0))(at, noise[:100]) for f in (plain, doubly)]
    np.testing.assert_allclose(*values, rtol=1e-5)
    means, deviations = ([a.mean(1) for a in both], [a.std(1) for a in both])
    assert (np.abs(means[1] - means[0]) < 5 * deviations[0] / len(noise) ** 0.5).all()
    assert (deviations[1] < 0.7 * deviations[0]).all()
