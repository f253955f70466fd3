"""Critics that are several at once: their losses and penalties by hand."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.critic import mean_of_means, total, two_sides, update_critic
from jaxgen.losses.adversarial import Loss, nonsaturating, relativistic
from jaxgen.losses.penalties import Penalty, r1
from jaxgen.player import Player

RNG = np.random.default_rng(0)
FRAMES = RNG.normal(size=(2, 4, 3)).astype(np.float32)  # real and fake logits [4, 3]
CLIPS = RNG.normal(size=(2, 4)).astype(np.float32)  # [4]


def softplus(x):
    return np.logaddexp(0, x)


LOSSES = {
    relativistic: (lambda r, f: softplus(f - r), lambda r, f: softplus(r - f)),
    nonsaturating: (lambda r, f: softplus(-r) + softplus(f), lambda r, f: softplus(-f)),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_each_critic_counts_the_same(loss):
    """However many logits it has: three for each example, or one."""
    found = two_sides(loss, (FRAMES[0], CLIPS[0]), (FRAMES[1], CLIPS[1]))
    for side, value in zip(LOSSES[loss], found, strict=True):
        of_frames, of_clips = side(*FRAMES), side(*CLIPS)
        np.testing.assert_allclose(value, (of_frames.sum() / 12 + of_clips.sum() / 4) / 2, rtol=1e-5)
        assert value != pytest.approx((of_frames.sum() + of_clips.sum()) / 16, rel=1e-3)


@pytest.mark.parametrize("logits", [CLIPS, FRAMES])
def test_one_array_is_one_critic(logits):
    found = two_sides(relativistic, *logits)
    for alone in (found, two_sides(relativistic, (logits[0],), (logits[1],))):
        for side, value in zip(LOSSES[relativistic], alone, strict=True):
            np.testing.assert_allclose(value, side(*logits).mean(), rtol=1e-5)


def test_real_and_fake_are_of_the_same_critics():
    with pytest.raises(ValueError, match="zip"):
        two_sides(relativistic, (FRAMES[0], CLIPS[0]), (FRAMES[1],))


def test_mean_of_means_by_hand():
    tree = {"a": jnp.array([[1.0, 2.0], [3.0, 6.0]]), "b": (jnp.array([9.0]), jnp.array([0.0, 0.0, 0.0]))}
    assert mean_of_means(tree) == (3 + 9 + 0) / 3
    assert mean_of_means(jnp.array([1.0, 2.0, 6.0])) == 3
    assert mean_of_means((jnp.array([1.0, 2.0, 6.0]),)) == 3


def test_total_by_hand():
    """Of each example by itself, all its logits of all critics."""
    one, three = jnp.array([1.0, 2.0]), jnp.array([[1.0, 10.0, 100.0], [0.0, -1.0, 0.5]])
    np.testing.assert_array_equal(total(one), one)
    np.testing.assert_array_equal(total(three), [111, -0.5])
    np.testing.assert_array_equal(total((three, one)), [112, 1.5])
    np.testing.assert_array_equal(total((three.reshape(2, 3, 1), (one, one))), [113, 3.5])


SGD = optax.sgd(1.0)


@dataclasses.dataclass(frozen=True)
class Rules:
    loss: Loss = lambda real, fake: (0 * real, 0 * fake)
    disc_tx: optax.GradientTransformation = SGD
    penalties: tuple[Penalty, ...] = (r1,)
    penalty_weight: float = 0.25
    penalty_every: int = 2
    penalty_decay: int = 0


@pytest.mark.parametrize(
    ("decay", "step", "share"),
    [(0, 0, 1), (0, 7, 0), (0, 8, 1), (8, 0, 1), (8, 3, 0), (8, 4, 0.55), (8, 8, 0.1), (8, 20, 0.1)],
)
def test_what_is_left_of_a_penalty_at_a_step(decay, step, share):
    """D(x) = w x has the penalty w^2 / 2, with the gradient w."""
    w = jnp.array(2.0)
    points = jnp.ones((4, 1)), jnp.zeros((4, 1)), jnp.zeros(4)
    disc, _ = update_critic(
        Player(w, {}, SGD.init(w)),
        lambda w: ((w * points[0][:, 0], w * points[1][:, 0]), {}),
        lambda w: lambda x: w * x[:, 0],
        points,
        jnp.array(step),
        Rules(penalty_decay=decay),
        None,
    )
    np.testing.assert_allclose(disc.params, 2 - 0.25 * 2 * share * 2, rtol=1e-6)
