"""The order of the examples, as a function of (seed, step): there is no iterator whose state would have to be saved."""

import functools

import numpy as np


def permutation(n: int, key: tuple[int, int]) -> np.ndarray:
    """A permutation of 0..n-1 as int32 [n], fixed for good by `n` and the two 64-bit words of `key`.

    Sorts the raw output of Philox (Salmon et al. 2011). NumPy promises that a bit generator's stream never changes,
    which it does not promise of `Generator.permutation`: a run can be resumed under another version of NumPy.
    """
    words = np.array(key, dtype=object) % 2**64
    raw = np.random.Philox(key=words.astype(np.uint64)).random_raw(n)
    return np.argsort(raw, kind="stable").astype(np.int32)


@functools.lru_cache(maxsize=4)  # neighbouring epochs; 60,000 examples take 5 ms and 240 kB
def epoch_order(seed: int, epoch: int, n: int) -> np.ndarray:
    """The order of one epoch: read-only int32 [n]."""
    order = permutation(n, (seed, epoch))
    order.setflags(write=False)
    return order


def batch_indices(seed: int, step: int, n: int, batch: int) -> np.ndarray:
    """The examples of batch `step` (from 0) among `n`: int32 [batch].

    The permutations of epochs 0, 1, ... form one endless stream; step s takes the positions
    [s * batch, (s + 1) * batch), across the end of an epoch and for batches larger than the data too.
    """
    return _stream(seed, step * batch, (step + 1) * batch, n)


def call_indices(seed: int, step: int, steps_per_call: int, n: int, batch: int) -> np.ndarray:
    """The batches of steps step, ..., step + K - 1, where K is `steps_per_call`: int32 [K, batch]."""
    return _stream(seed, step * batch, (step + steps_per_call) * batch, n).reshape(steps_per_call, batch)


def _stream(seed: int, start: int, stop: int, n: int) -> np.ndarray:
    if n < 1 or start < 0:
        raise ValueError(f"batches need at least one example and a step of 0 or more; got n={n}, position {start}")
    parts = []
    while start < stop:
        epoch, first = divmod(start, n)
        parts.append(epoch_order(seed, epoch, n)[first : first + stop - start])
        start += len(parts[-1])
    return np.concatenate(parts)
