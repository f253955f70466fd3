"""Which latents a VAE uses."""

import numpy as np

from jaxgen.metrics.inputs import check_features


def active_units(mu: np.ndarray, threshold: float = 0.01) -> int:
    """How many latents are active: those whose posterior mean varies over the data by more than `threshold`.

    `mu` [N, Z]: posterior means of N items. Burda et al. 2016, section 5: Var_x(E_q(z|x)[z]) > 0.01.
    Raises `UserError` on fewer than two items or values that are not finite.
    """
    return int((check_features(mu, "mu").var(0) > threshold).sum())
