"""The optimiser a config stands for, step by step by hand."""

import numpy as np
import optax
import pytest

from jaxgen.config import Adam
from jaxgen.errors import UserError
from jaxgen.optim import adam

LR = 0.1


def moves(cfg, grads, params=(0.0,)):
    """How far each step with these gradients moves the parameters, which stay where they are."""
    tx = adam(cfg)
    params = np.array(params, np.float32)
    state, found = tx.init(params), []
    for grad in grads:
        delta, state = tx.update(np.array(grad, np.float32), state, params)
        found.append(np.asarray(delta))
    return np.array(found)


def constant(cfg, steps):
    """With a gradient of 1 throughout, Adam's step is -rate: the schedule itself."""
    return -moves(cfg, [[1.0]] * steps)[:, 0]


def test_the_rate_is_constant_by_default():
    np.testing.assert_allclose(constant(Adam(lr=LR), 4), [LR] * 4, rtol=1e-5)


def test_warm_up_rises_from_nothing():
    np.testing.assert_allclose(constant(Adam(lr=LR, warmup=4), 6), np.array([0, 1, 2, 3, 4, 4]) * LR / 4, rtol=1e-5)


def test_cosine_falls_to_nothing_at_decay():
    expected = LR * 0.5 * (1 + np.cos(np.pi * np.array([0, 1, 2, 3, 4, 4]) / 4))
    np.testing.assert_allclose(constant(Adam(lr=LR, decay=4), 6), expected, atol=1e-6)


def test_warm_up_then_cosine():
    expected = [0, LR / 2, LR, LR * 0.5 * (1 + np.cos(np.pi / 3)), LR * 0.5 * (1 + np.cos(2 * np.pi / 3)), 0]
    np.testing.assert_allclose(constant(Adam(lr=LR, warmup=2, decay=5), 6), expected, atol=1e-6)


@pytest.mark.parametrize("weight_decay", [0.0, 0.2])  # of parameters at 0, where there is nothing to decay
@pytest.mark.parametrize("nesterov", [False, True])
def test_two_steps_by_hand(nesterov, weight_decay):
    """Adam, algorithm 1; with Nesterov's momentum, Dozat 2016, algorithm 8 at a constant rate."""
    b1, b2, eps = 0.5, 0.9, 1e-3
    m = v = 0.0
    expected = []
    for t, g in enumerate([2.0, -1.0], start=1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        mean = m / (1 - b1**t)
        if nesterov:  # where the average goes next, if the gradient stays as it is
            mean = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
        expected.append(-LR * mean / (np.sqrt(v / (1 - b2**t)) + eps))
    cfg = Adam(lr=LR, b1=b1, b2=b2, eps=eps, nesterov=nesterov, weight_decay=weight_decay)
    np.testing.assert_allclose(moves(cfg, [[2.0], [-1.0]])[:, 0], expected, rtol=1e-5)


def test_weight_decay_is_decoupled():
    """It shrinks the parameter by rate times weight whatever the gradient's size."""
    for grad in (1.0, 1000.0):
        (plain,) = moves(Adam(lr=LR), [[grad]], params=(3.0,))
        (decayed,) = moves(Adam(lr=LR, weight_decay=0.2), [[grad]], params=(3.0,))
        np.testing.assert_allclose(decayed - plain, [-LR * 0.2 * 3], rtol=1e-4)


def test_clip_scales_the_whole_gradient_to_the_largest_norm():
    """A large eps makes Adam's first step -rate * g / (|g| + eps): it shows the gradient's size."""
    eps = 10.0
    (found,) = moves(Adam(lr=LR, eps=eps, clip=1.0), [[3.0, 4.0]], params=(0.0, 0.0))
    clipped = np.array([0.6, 0.8])
    np.testing.assert_allclose(found, -LR * clipped / (clipped + eps), rtol=1e-4)
    small = [[0.3, 0.4]]
    np.testing.assert_allclose(
        moves(Adam(lr=LR, eps=eps, clip=1.0), small, (0, 0)), moves(Adam(lr=LR, eps=eps), small, (0, 0)), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        (Adam(lr=0.0), "rate must be positive, not 0.0"),
        (Adam(lr=-1.0), "rate must be positive"),
        (Adam(warmup=10, decay=10), "step 10, within a warm-up of 10"),
    ],
)
def test_senseless_rates_are_refused(cfg, words):
    with pytest.raises(UserError, match=words):
        adam(cfg)


def test_it_is_a_plain_optax_transformation():
    assert isinstance(adam(Adam(clip=1.0, weight_decay=0.1)), optax.GradientTransformation)
