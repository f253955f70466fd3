"""Latent search: what it minimises, when it stops, and that it is repeatable."""

import sys

import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.search import minimise

TARGET = np.array([0.5, -0.3, 0.2, 0.0], np.float32)


def decode(z):
    """The samples are the latents, times two."""
    return 2 * z


def value(sample):
    return float(((sample - 2 * TARGET) ** 2).sum())


def test_it_finds_the_latent():
    found = minimise(decode, value, np.zeros(4), budget=2000, seed=0, enough=1e-4)
    np.testing.assert_allclose(found.z, TARGET, atol=0.02)
    np.testing.assert_allclose(found.sample, 2 * found.z, atol=1e-6)
    assert found.value == pytest.approx(value(found.sample))
    assert found.value <= 1e-4
    assert found.evaluations < 2000


def test_a_start_that_is_good_enough_costs_one_sample():
    found = minimise(decode, value, TARGET, budget=100, seed=0)
    assert (found.evaluations, found.value) == (1, 0.0)


def test_the_budget_is_kept_and_the_best_is_never_worse_than_the_start():
    seen = []

    def counted(z):
        seen.append(len(z))
        return decode(z)

    found = minimise(counted, lambda sample: -1 / (1 + value(sample)), np.ones(4), budget=100, seed=1, enough=-2)
    assert sum(seen) == found.evaluations <= 100
    assert found.value <= -1 / (1 + value(decode(np.ones(4))))


def test_the_same_seed_finds_the_same():
    a, b, c = (minimise(decode, value, np.ones(4), budget=200, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(a.z, b.z)
    assert (a.z != c.z).any()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cmaes", None)
    with pytest.raises(UserError, match=r'pip install "jaxgen\[games\]"'):
        minimise(decode, value, np.zeros(4), budget=10, seed=0)
