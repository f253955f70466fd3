"""The held-out reader of texts: its likelihood against its own probabilities, and that it knows what it has read."""

import jax
import numpy as np
import pytest

from benchmarks import fluency
from jaxgen.steps.sequence_gan import SequenceGAN

pytestmark = pytest.mark.usefixtures("compiled_quickly", "compiled_once")

V, T = 6, 5


def texts(n, seed):
    """Each word is followed by the next one; the end comes after two to four, or not at all."""
    rng = np.random.default_rng(seed)
    rows = 1 + (rng.integers(5, size=(n, 1)) + np.arange(T)) % 5
    return np.where(np.arange(T) < rng.integers(2, T + 1, (n, 1)), rows, 0).astype(np.int32)


def read(heldout, steps):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fluency, "STEPS", steps)
        patch.setattr(fluency, "WIDTH", 8)
        return fluency.reader(heldout, V)


@pytest.fixture(scope="module")
def reader(compiled_once):
    return read(texts(200, 0), 150)


def test_nats_a_token_with_the_end(reader):
    """By hand from the network's own logits."""
    rows = texts(7, 1)
    logits = reader.game.gen.apply({"params": reader.state.ema[0]}, rows, train=False)
    log_p = np.asarray(jax.nn.log_softmax(logits), np.float64)
    total = count = 0
    for i, row in enumerate(rows):
        for t, token in enumerate(row):
            total -= log_p[i, t, token]
            count += 1
            if token == 0:
                break
    assert reader.nll(rows) == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("n", [1, 99, 100, 200, 201])
def test_any_number_of_texts(reader, n):
    rows = np.resize(texts(50, 2), (n, T))
    parts = [rows[:40], rows[40:]] if n > 40 else [rows]
    counts = [np.minimum((part > 0).sum(1) + 1, T).sum() for part in parts]
    by_parts = sum(reader.nll(part) * count for part, count in zip(parts, counts, strict=True)) / sum(counts)
    assert reader.nll(rows) == pytest.approx(by_parts, rel=1e-5)


def test_what_is_like_the_texts_read_is_likelier(reader):
    rows = texts(100, 3)
    backwards = np.where(rows > 0, 6 - rows, 0)
    assert reader.nll(rows) < 1.2
    assert reader.nll(backwards) > reader.nll(rows) + 1


def test_the_game_never_leaves_its_first_phase(reader):
    assert isinstance(reader.game, SequenceGAN)
    assert int(reader.state.step) == 150 < reader.game.pretrain
    assert int(reader.state.skipped) == 0


def test_the_same_texts_give_the_same_reader(reader):
    rows = texts(9, 1)
    assert read(texts(200, 0), 150).nll(rows) == reader.nll(rows)
    assert read(texts(200, 4), 150).nll(rows) != reader.nll(rows)
