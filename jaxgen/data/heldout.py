"""Held-out data for a source that comes without."""

import numpy as np

from jaxgen.data.order import permutation
from jaxgen.errors import UserError

_KEY = 2**64 - 1  # no epoch's: the split must not resemble the order of training


def split_indices(n: int, split: str, source: str) -> np.ndarray:
    """The indices of `split` among `n` examples, ascending: "train", or "test", which serves as "validation" too.

    The first tenth (at least one) of a permutation that depends on `n` alone is held out; the rest is for training.
    `source` names the data in the `UserError` raised when they cannot be divided.
    """
    if n < 2:
        count = "a single image" if n == 1 else "no image"
        raise UserError(f"{source} holds {count}, which cannot be split into training and held-out data; add images.")
    order = permutation(n, (n, _KEY))
    held_out = max(1, n // 10)
    return np.sort(order[held_out:] if split == "train" else order[:held_out])
