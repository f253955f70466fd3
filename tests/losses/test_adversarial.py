"""GAN losses: values by hand, and what every one of them must do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.losses.adversarial import ADVERSARIAL

REAL, FAKE = np.array([2.0, 0.5], np.float32), np.array([-1.0, 0.5], np.float32)
# log(1 + e^x) at the points that come up below.
SP = {-3: 0.04858735, -2: 0.12692801, -1: 0.31326169, -0.5: 0.47407698, 0: 0.69314718, 0.5: 0.97407698, 1: 1.31326169}
BY_HAND = {
    "nonsaturating": ([SP[-2] + SP[-1], SP[-0.5] + SP[0.5]], [SP[1], SP[-0.5]]),
    "least_squares": ([0.5 * (1 + 1), 0.5 * (0.25 + 0.25)], [0.5 * 4, 0.5 * 0.25]),
    "hinge": ([0.0, 0.5 + 1.5], [1.0, -0.5]),
    "wasserstein": ([-3.0, 0.0], [1.0, -0.5]),
    "relativistic": ([SP[-3], SP[0]], [3.0 + SP[-3], SP[0]]),
}

every_loss = pytest.mark.parametrize("loss", ADVERSARIAL.values(), ids=ADVERSARIAL.keys())


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_by_hand(name):
    disc, gen = ADVERSARIAL[name](jnp.array(REAL), jnp.array(FAKE))
    np.testing.assert_allclose(disc, BY_HAND[name][0], rtol=1e-6)
    np.testing.assert_allclose(gen, BY_HAND[name][1], rtol=1e-6)


@every_loss
def test_the_right_side_is_rewarded_and_extremes_are_finite(loss):
    high, low = jnp.full(4, 100.0), jnp.full(4, -100.0)
    right, wrong = loss(high, low), loss(low, high)
    for side in (*right, *wrong):
        assert side.shape == (4,)
        assert np.isfinite(side).all()
    assert right[0].mean() < wrong[0].mean()  # the critic's, where real scores high
    assert right[1].mean() > wrong[1].mean()  # the generator's


@every_loss
def test_at_a_tie_the_gradients_pull_both_players_the_right_way(loss):
    tie = jnp.zeros(3)
    by_real, by_fake = jax.grad(lambda r, f: loss(r, f)[0].sum(), argnums=(0, 1))(tie, tie)
    assert (by_real < 0).all()
    # Least squares is content with 0 for a fake, so that its pull on fakes starts above 0.
    assert (by_fake >= 0).all()
    assert (jax.grad(lambda f: loss(tie, f)[0].sum())(tie + 0.1) > 0).all()
    assert (jax.grad(lambda f: loss(tie, f)[1].sum())(tie) < 0).all()


@every_loss
def test_gradients_are_finite_at_extremes(loss):
    logits = jnp.array([-100.0, 100.0, -100.0, 100.0])
    for side in (0, 1):
        grads = jax.grad(lambda r, f, side=side: loss(r, f)[side].sum(), argnums=(0, 1))(logits, logits[::-1])
        assert np.isfinite(grads).all()


@every_loss
def test_each_example_has_a_loss_of_its_own(loss):
    real, fake = jnp.array([0.3, -1.0, 2.0]), jnp.array([0.7, 0.2, -0.4])
    whole = np.array(loss(real, fake))
    alone = np.concatenate([np.array(loss(real[i : i + 1], fake[i : i + 1])) for i in range(3)], axis=1)
    np.testing.assert_allclose(whole, alone, rtol=1e-6)


@every_loss
def test_logits_of_two_ranks_are_refused(loss):
    with pytest.raises(AssertionError):
        loss(jnp.zeros(4), jnp.zeros((4, 1)))


def test_relativistic_sees_only_the_difference():
    real, fake = jnp.array([0.3, -1.0]), jnp.array([0.7, 0.2])
    loss = ADVERSARIAL["relativistic"]
    np.testing.assert_allclose(loss(real + 5, fake + 5), loss(real, fake), rtol=1e-5)
