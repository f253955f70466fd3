"""Levels against real ones: real passes, impostors don't."""

import numpy as np
import pytest

from jaxgen.levels.games import game
from jaxgen.levels.tiles import TILESETS
from jaxgen.metrics import level_quality

EMPTY, GROUND, BLOCK = (TILESETS["mario"].chars.index(c) for c in "-XS")


def made(n, seed):
    """Ground with a pit, a wall or two and some blocks at random: [n, 14, 28]."""
    rng = np.random.default_rng(seed)
    levels = np.full((n, 14, 28), EMPTY, np.uint8)
    levels[:, 12:] = GROUND
    for level in levels:
        pit = rng.integers(5, 20)
        level[12:, pit : pit + rng.integers(0, 4)] = EMPTY
        for place in rng.choice(np.arange(4, 26), rng.integers(1, 4), replace=False):
            level[12 - rng.integers(1, 4) : 12, place] = GROUND
        level[rng.integers(4, 9), rng.integers(3, 25, 4)] = BLOCK
    return levels


@pytest.fixture(scope="module")
def real():
    return level_quality.reference(made(200, 0), made(100, 1), game("mario"))


def test_real_levels_pass(real):
    row = level_quality.compare(made(100, 2), real)
    assert row["playable"] > 0.9
    assert row["jumps_tv"] < 0.3
    assert row["length_tv"] < 0.3
    assert row["pattern_kl"] < 0.3
    assert row["distinct"] == 1
    assert 0.35 < row["memorisation_auc"] < 0.65
    assert row["n_fake"] == row["n_real"] == 100


def test_the_band_of_two_real_halves_holds_even_odds(real):
    low, high = level_quality.memorisation_band(real)
    assert 0.3 < low <= 0.5 <= high < 0.7
    assert low == pytest.approx(1 - high)


def test_impostors_are_told_apart(real):
    rows = {
        name: level_quality.compare(levels, real)
        for name, levels in level_quality.impostors(real.train, 100, seed=0).items()
    }
    assert {len(set(row)) for row in rows.values()} == {len(rows["marginal"])}
    assert rows["memoriser"]["hamming"] == 0
    assert rows["memoriser"]["memorisation_auc"] == 1
    assert rows["collapsed"]["distinct"] <= 0.1
    assert rows["marginal"]["pattern_kl"] > 3 * rows["column_markov"]["pattern_kl"]
    assert rows["row_unigram"]["memorisation_auc"] < 0.3


def test_flat_ground_has_no_jumps(real):
    flat = np.full((20, 14, 28), EMPTY, np.uint8)
    flat[:, 12:] = GROUND
    row = level_quality.compare(flat, real)
    assert row["playable"] == 1
    assert row["jumps"] == 0
    assert row["jumps_tv"] > 0.3


def test_levels_that_nobody_can_play_have_no_histogram(real):
    row = level_quality.compare(np.full((5, 14, 28), EMPTY, np.uint8), real)
    assert (row["playable"], row["jumps_tv"], row["length"]) == (0, 1, 0)
