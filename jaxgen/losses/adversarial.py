"""GAN losses: logits of real and fake examples to what each player makes small.

A loss is one function with both sides of the game. New loss: write the function, add it to the tuple at the end.
"""

from collections.abc import Callable

import chex
from flax import linen as nn

from jaxgen.types import Array

Loss = Callable[[Array, Array], tuple[Array, Array]]
"""(real [B], fake [B]) logits -> (disc [B], gen [B]) losses, one value per example; the step takes the mean."""


def nonsaturating(real: Array, fake: Array) -> tuple[Array, Array]:
    """Logits [B] -> (disc, gen) losses [B]: binary cross-entropy. Goodfellow et al. 2014, section 3."""
    chex.assert_equal_shape([real, fake])
    return nn.softplus(-real) + nn.softplus(fake), nn.softplus(-fake)


def least_squares(real: Array, fake: Array) -> tuple[Array, Array]:
    """Outputs [B] -> (disc, gen) losses [B], labels 0, 1, 1. LSGAN (Mao et al. 2017), equation 9."""
    chex.assert_equal_shape([real, fake])
    return 0.5 * ((real - 1) ** 2 + fake**2), 0.5 * (fake - 1) ** 2


def hinge(real: Array, fake: Array) -> tuple[Array, Array]:
    """Logits [B] -> (disc, gen) losses [B]. Geometric GAN (Lim & Ye 2017), equations 12-13."""
    chex.assert_equal_shape([real, fake])
    return nn.relu(1 - real) + nn.relu(1 + fake), -fake


def wasserstein(real: Array, fake: Array) -> tuple[Array, Array]:
    """Critic values [B] -> (disc, gen) losses [B]; wants a Lipschitz critic. (Arjovsky et al. 2017), equation 3."""
    chex.assert_equal_shape([real, fake])
    return fake - real, -fake


def relativistic(real: Array, fake: Array) -> tuple[Array, Array]:
    """Logits [B] -> (disc, gen) losses [B] of pairs. RpGAN (Jolicoeur-Martineau 2019), with R1 and R2 it is R3GAN's."""
    chex.assert_equal_shape([real, fake])
    return nn.softplus(fake - real), nn.softplus(real - fake)


ADVERSARIAL: dict[str, Loss] = {f.__name__: f for f in (nonsaturating, least_squares, hinge, wasserstein, relativistic)}
