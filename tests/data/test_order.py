import time

import numpy as np
import pytest

from jaxgen.data.order import batch_indices, call_indices, epoch_order, permutation


def test_values_are_pinned():
    """Two epochs of 7, made on NumPy 2.4.6. A change here means that no older run can be resumed."""
    batches = call_indices(seed=1, step=0, steps_per_call=4, n=7, batch=3)
    assert batches.tolist() == [[3, 5, 2], [0, 6, 1], [4, 0, 6], [5, 3, 4]]


def test_a_permutation_sorts_philox():
    raw = [int(np.random.Philox(key=np.array([5, 9], np.uint64)).random_raw(20)[i]) for i in range(20)]
    assert permutation(20, (5, 9)).tolist() == sorted(range(20), key=raw.__getitem__)


@pytest.mark.parametrize(("n", "batch"), [(10, 3), (7, 7), (5, 12), (1, 4), (64, 16)])
def test_every_epoch_sees_every_example_once(n, batch):
    stream = np.concatenate([batch_indices(3, step, n, batch) for step in range(4 * n)])
    assert stream.dtype == np.int32
    epochs = stream[: len(stream) // n * n].reshape(-1, n)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.broadcast_to(np.arange(n), epochs.shape))


def test_epochs_and_seeds_differ():
    orders = [epoch_order(seed, epoch, 50).tolist() for seed, epoch in [(0, 0), (0, 1), (1, 0), (-1, 0), (2**40, 0)]]
    assert len({tuple(order) for order in orders}) == 5


def test_how_steps_are_grouped_does_not_matter():
    one = np.stack([batch_indices(0, step, 23, 5) for step in range(12)])
    np.testing.assert_array_equal(call_indices(0, 0, 12, 23, 5), one)
    np.testing.assert_array_equal(np.concatenate([call_indices(0, step, 3, 23, 5) for step in (0, 3, 6, 9)]), one)


def test_the_cached_order_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        epoch_order(0, 0, 5)[0] = 1
    batch_indices(0, 0, 5, 5)[:] = 0  # a batch is the caller's own
    assert sorted(batch_indices(0, 0, 5, 5)) == [0, 1, 2, 3, 4]


def test_no_examples_is_an_error():
    with pytest.raises(ValueError, match="at least one example"):
        batch_indices(0, 0, 0, 4)


def test_a_call_is_quick():
    """0.2 ms when measured, most of it the epoch's sort; a bound that holds on a busy machine."""
    start = time.process_time()
    for step in range(0, 940, 10):  # two epochs
        call_indices(0, step, 10, 60_000, 128)
    assert (time.process_time() - start) / 94 < 3e-3
