import numpy as np
import pytest

from benchmarks.curves import ahead


def of(x, y):
    return {"x": x, "y": y}


def test_ahead_by_hand():
    theirs = [of(0.8, 0.6), of(0.4, 0.2), of(0.6, 0.5)]  # in any order
    assert ahead([of(0.7, 0.65)], theirs, "y", "x") == pytest.approx(0.1)
    assert ahead([of(0.5, 0.25), of(0.8, 0.6), of(0.9, 1.0)], theirs, "y", "x") == pytest.approx(-0.05)
    assert np.isnan(ahead([of(0.39, 1.0), of(0.81, 1.0)], theirs, "y", "x"))
    assert ahead(theirs, theirs, "y", "x") == 0
