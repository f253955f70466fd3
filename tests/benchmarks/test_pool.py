"""The pool of PyTorch's unpaired step moves all images at once, as if one after the other. (It needs no PyTorch.)"""

import numpy as np
import pytest

from benchmarks.peers.torch.pool import Places


@pytest.mark.parametrize(("size", "n"), [(50, 8), (5, 8), (1, 3)])
def test_all_at_once_is_one_after_the_other(size, n):
    places, rng = Places(size, seed=1), np.random.default_rng(1)
    images, pool = np.zeros(size + n), []
    for turn in range(20):
        new = np.arange(n) + n * turn + 1.0
        expected = []
        for one, (where, swap) in zip(new, rng.random((n, 2)), strict=True):
            expected.append(one)
            if len(pool) < size:
                pool.append(one)
            elif swap < 0.5:
                expected[-1], pool[int(where * size)] = pool[int(where * size)], one
        images[size:] = new
        seen, changed, kept = places.draw(n)
        np.testing.assert_array_equal(images[seen], expected)
        images[changed] = images[kept]
        np.testing.assert_array_equal(images[: len(pool)], pool)


def test_half_of_what_is_seen_is_older():
    places = Places(50)
    places.draw(50)
    older = [np.mean(places.draw(100)[0] < 50) for _ in range(100)]
    # Some of the earlier ones are of the same hundred.
    assert 0.15 < np.mean(older) < 0.5
    older = [np.mean(places.draw(1)[0] < 50) for _ in range(2000)]
    assert np.mean(older) == pytest.approx(0.5, abs=0.05)
