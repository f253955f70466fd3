"""Which images a pool of earlier fakes keeps and shows, in numbers alone: the images can then all be moved at once."""

import numpy as np


class Places:
    """A pool of `size` images; images 0, ..., size - 1 lie in it, and those after them are new.

    One new image after the other, as in `jaxgen.steps.translate`: it takes the next place while there is room; then, at
    even odds, a place drawn at random, whose image is seen instead.
    """

    def __init__(self, size: int, seed: int = 0):
        self._size, self._held = size, 0
        self._rng = np.random.default_rng(seed)

    def draw(self, n: int) -> np.ndarray:
        """[3, n]: the image seen in the place of each of `n` new ones; places of the pool; the image that each of these
        gets. The last of both are repeated up to `n`."""
        seen: list[int] = []
        kept: dict[int, int] = {}
        for new, (where, swap) in enumerate(self._rng.random((n, 2)), self._size):
            place, now = int(where * self._size), new
            if self._held < self._size:
                kept[self._held] = new
                self._held += 1
            elif swap < 0.5:
                now = kept.get(place, place)
                kept[place] = new
            seen.append(now)
        changes = list(kept.items()) or [(0, 0)]
        changes += changes[-1:] * (n - len(changes))
        return np.array([seen, *zip(*changes, strict=True)])
