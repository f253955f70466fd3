import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.metrics.latents import active_units


def test_by_hand():
    # Variances of the columns: 1, 0 (a large constant), 0.01 (not above it), 0.0121.
    mu = np.outer([1, -1, 1, -1], [1, 0, 0.1, 0.11]) + np.array([0, 5, 0, -2])
    assert active_units(mu, threshold=0.0100001) == 2
    assert active_units(mu, threshold=0.0099) == 3
    assert active_units(mu * 10) == 3


def test_refuses_one_item():
    with pytest.raises(UserError, match="at least 2"):
        active_units(np.zeros((1, 4)))
