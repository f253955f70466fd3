import itertools
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.metrics import levels as metric
from jaxgen.metrics.levels import (
    bin_edges,
    column_markov,
    distinct_share,
    histogram_tv,
    nearest_hamming,
    row_unigram,
    tile_marginal,
    tile_pattern_kl,
)

VGLC = Path(__file__).parents[3] / "shared" / "data" / "levels" / "vglc" / "vglc-processed.zip"
SAMPLERS = (tile_marginal, row_unigram, column_markov)


def some(n=6, height=5, width=7, tiles=4, seed=0):
    return np.random.default_rng(seed).integers(0, tiles, (n, height, width)).astype(np.uint8)


def kl_by_counting(p_levels, q_levels, size, epsilon):
    """KL(P | Q) with a dictionary of patterns."""
    counts = []
    for levels in (p_levels, q_levels):
        _, height, width = levels.shape
        counts.append(
            Counter(
                level[i : i + size, j : j + size].tobytes()
                for level in levels
                for i in range(height - size + 1)
                for j in range(width - size + 1)
            )
        )
    p, q = (
        {x: (c[x] + epsilon) / ((c.total() + epsilon) * (1 + epsilon)) for x in counts[0] | counts[1]} for c in counts
    )
    return sum(p[x] * np.log(p[x] / q[x]) for x in p)


def test_kl_by_hand():
    real, fake = np.array([[[0, 0, 0, 1]]], np.uint8), np.array([[[0, 0, 1, 1]]], np.uint8)
    forward = 0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.5)
    back = 0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25)
    assert tile_pattern_kl(fake, real, 1, weight=1) == pytest.approx(forward, abs=1e-4)
    assert tile_pattern_kl(fake, real, 1, weight=0) == pytest.approx(back, abs=1e-4)
    assert tile_pattern_kl(fake, real, 1) == pytest.approx((forward + back) / 2, abs=1e-4)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("tiles", [2, 13, 256])
def test_kl_equals_counting(size, tiles):
    real, fake = (
        some(tiles=tiles),
        some(4, 6, 5, tiles, seed=1),
    )  # sizes may differ; 256 tiles overflow 63 bits at 3 x 3
    found = tile_pattern_kl(fake, real, size, epsilon=1e-3, weight=0.3)
    expected = 0.3 * kl_by_counting(real, fake, size, 1e-3) + 0.7 * kl_by_counting(fake, real, size, 1e-3)
    assert found == pytest.approx(expected, rel=1e-9)


def test_kl_of_the_same_is_0():
    assert tile_pattern_kl(some(), some()[::-1]) == 0


def test_hamming_by_hand():
    items = np.array([[[0, 1], [2, 3]], [[0, 0], [0, 0]]], np.uint8)
    queries = np.array([[[0, 1], [2, 9]], [[0, 0], [0, 0]], [[7, 7], [7, 7]]], np.uint8)
    np.testing.assert_array_equal(nearest_hamming(queries, items), [0.25, 0, 1])


@pytest.mark.parametrize("block", [2**24, 20])
def test_hamming_equals_comparing(block, monkeypatch):
    monkeypatch.setattr(metric, "_BLOCK", block)  # 20: three rows at a time, the last block smaller
    queries, items = some(11), some(6, seed=1)
    expected = (queries[:, None] != items[None]).mean((2, 3)).min(1)
    np.testing.assert_allclose(nearest_hamming(queries, items), expected, rtol=1e-12, atol=1e-12)


def test_distinct_share():
    levels = some(4)
    assert distinct_share(levels) == 1
    assert distinct_share(levels[[0, 1, 0, 0, 2, 1]]) == 0.5


def test_histogram_by_hand():
    edges = np.array([-np.inf, 1, 2, np.inf])
    assert histogram_tv([0, 0, 1, 1.5], [0, 1, 2, 2], edges) == pytest.approx(0.5)
    assert histogram_tv([0, 3], [3, 0], edges) == 0
    assert histogram_tv([0], [1], edges) == 1


def test_edges_have_room_outside():
    np.testing.assert_array_equal(bin_edges([2, 2, 2]), [-np.inf, 2, np.nextafter(2, 3), np.inf])
    real = np.repeat([0, 1, 2, 3], [10, 40, 40, 10])
    np.testing.assert_array_equal(bin_edges(real, 4)[:-2], [-np.inf, 0, 1, 2])
    assert histogram_tv(real, real, bin_edges(real)) == 0
    assert histogram_tv(real, real + 4, bin_edges(real)) == 1
    assert histogram_tv(real, np.zeros(5), bin_edges(real)) == pytest.approx(0.9)  # flat ground, where jumps are wanted
    spread = np.arange(1000)
    shares = np.histogram(spread, bin_edges(spread, 8)[1:-1])[0]
    assert len(shares) == 8
    assert shares.min() >= 124


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers_share_a_shape_and_a_seed(sampler):
    levels = some()
    drawn = sampler(levels, 9, 3)
    assert drawn.shape == (9, 5, 7)
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn, sampler(levels, 9, 3))
    assert (drawn != sampler(levels, 9, 4)).any()


def test_marginals_stay():
    levels = some(5)
    drawn = tile_marginal(levels, 20_000, 0)
    np.testing.assert_allclose((drawn == 2).mean(0), (levels == 2).mean(0), atol=0.02)
    drawn = row_unigram(levels, 20_000, 0)
    shares = (levels == 2).mean((0, 2))
    np.testing.assert_allclose((drawn == 2).mean(0), np.tile(shares[:, None], 7), atol=0.02)


def test_columns_follow_as_in_the_levels():
    levels = some(3, 2, 9, tiles=2)
    drawn = column_markov(levels, 500, 0)
    pairs = {level[:, i : i + 2].tobytes() for level in levels for i in range(8)}
    assert {level[:, i : i + 2].tobytes() for level in drawn for i in range(8)} <= pairs
    firsts = {level[:, 0].tobytes() for level in levels}
    assert {level[:, 0].tobytes() for level in drawn} == firsts


def test_any_column_may_come_after_one_that_nothing_follows():
    drawn = column_markov(np.array([[[5, 6, 6, 7]]], np.uint8), 500, 0)[:, 0]
    following = {pair for row in drawn.tolist() for pair in itertools.pairwise(row)}
    assert following == {(5, 6), (6, 6), (6, 7), (7, 5), (7, 6), (7, 7)}
    np.testing.assert_array_equal(column_markov(np.array([[[3], [4]]], np.uint8), 2, 0)[:, 0], [[3], [3]])


def test_a_higher_order_copies_longer_pieces():
    ring = np.resize(some(1, 1, 37, tiles=2)[0], (1, 120))  # windows of a ring: something follows each column
    levels = np.stack([ring[:, i : i + 9] for i in range(37)])
    drawn = column_markov(levels, 300, 0, order=3)
    pieces = {level[:, i : i + 4].tobytes() for level in levels for i in range(6)}
    assert {level[:, i : i + 4].tobytes() for level in drawn for i in range(6)} <= pieces
    np.testing.assert_array_equal(nearest_hamming(column_markov(levels, 50, 0, order=9), levels), 0)
    means = [nearest_hamming(column_markov(levels, 300, 0, order), levels).mean() for order in (1, 3, 6)]
    assert means == sorted(means, reverse=True)


@pytest.mark.parametrize(
    "call",
    [
        lambda bad: tile_pattern_kl(bad, some()),
        lambda bad: nearest_hamming(some(), bad),
        distinct_share,
        *[lambda bad, sampler=sampler: sampler(bad, 1, 0) for sampler in SAMPLERS],
    ],
)
@pytest.mark.parametrize("bad", [some().astype(int), some()[0], some()[:0]])
def test_refuses_what_is_not_levels(call, bad):
    with pytest.raises(UserError, match=r"uint8 \[N, H, W\]"):
        call(bad)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: tile_pattern_kl(some(), some(), 6), "do not fit"),
        (lambda: tile_pattern_kl(some(), some(), epsilon=0), "above 0"),
        (lambda: tile_pattern_kl(some(), some(), weight=2), "from 0 to 1"),
        (lambda: nearest_hamming(some(), some(width=8)), "one size"),
        (lambda: column_markov(some(), 1, 0, order=0), "from 1 to"),
        (lambda: bin_edges([]), "one finite number"),
        (lambda: histogram_tv([np.nan], [1], np.array([0, 1])), "one finite number"),
        (lambda: histogram_tv([1], [0.5], np.array([0, 1])), "outside the edges"),
        (lambda: histogram_tv([1], [1], np.array([0, 1, 1])), "rising"),
    ],
)
def test_refuses(call, says):
    with pytest.raises(UserError, match=says):
        call()


@pytest.mark.skipif(not VGLC.exists(), reason="the Video Game Level Corpus is not here")
def test_known_baselines_of_super_mario_bros():
    with zipfile.ZipFile(VGLC) as archive:
        paths = sorted(n for n in archive.namelist() if "Super Mario Bros/Processed/" in n and n.endswith(".txt"))
        grids = [np.array([list(row) for row in archive.read(path).decode().split()]) for path in paths]
    tiles = sorted({char for grid in grids for char in grid.ravel()})
    first, *others = (np.searchsorted(tiles, grid).astype(np.uint8)[None] for grid in grids)
    rng = np.random.default_rng(0)
    shuffled = np.mean([tile_pattern_kl(rng.permutation(first.ravel()).reshape(first.shape), first) for _ in range(5)])
    rows = np.mean([tile_pattern_kl(row_unigram(first, 1, seed), first) for seed in range(5)])
    columns = np.mean([tile_pattern_kl(column_markov(first, 1, seed), first) for seed in range(5)])
    real = [tile_pattern_kl(other, first) for other in others]
    assert 4.8 < shuffled < 5.6
    assert 2.0 < rows < 2.4
    assert 0.2 < columns < 0.5
    assert 0.6 < min(real) < max(real) < 3.6
