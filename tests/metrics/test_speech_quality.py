"""Words and voices that are told apart at a glance: which quarter of the picture is bright, and how bright."""

import numpy as np
import pytest

from jaxgen.metrics import speech_quality

pytestmark = pytest.mark.usefixtures("compiled_quickly")


def pictures(n, seed, words=2, voices=2):
    """{"image": uint8 [n, 16, 16, 1], "label": int32 [n]}, the label word times voices, plus voice."""
    rng = np.random.default_rng(seed)
    image, label = rng.integers(0, 20, (n, 16, 16, 1), np.uint8), np.arange(n, dtype=np.int32) % (words * voices)
    for one, which in zip(image, label, strict=True):
        word, voice = divmod(int(which), voices)
        one[8 * word : 8 * word + 8, 8 * voice : 8 * voice + 8] += 200
    return {"image": image, "label": label}


def test_what_is_heard_is_what_was_asked_for():
    train, heldout, made = pictures(64, 0), pictures(24, 1), pictures(40, 2)
    judges = speech_quality.judges(train, heldout, voices=2, cache_dir=None, steps=40)
    row = judges.describe()
    assert (row["word_judge_accuracy"], row["voice_judge_accuracy"]) == (1, 1)
    found = speech_quality.compare(made["image"], made["label"], judges)
    assert (found["word_accuracy"], found["voice_accuracy"]) == (1, 1)
    assert (found["words_covered"], found["voices_covered"]) == (2, 2)
    # The same word of the other voice was asked for.
    found = speech_quality.compare(made["image"], made["label"] ^ 1, judges)
    assert (found["word_accuracy"], found["voice_accuracy"]) == (1, 0)
    alone = made["image"][made["label"] == 3]
    alone = np.concatenate([alone, alone])
    found = speech_quality.compare(alone, None, judges)
    assert (found["words_covered"], found["voices_covered"]) == (1, 1)
    assert "word_accuracy" not in found


def test_one_voice_has_no_judge_and_one_word_neither():
    one = speech_quality.judges(pictures(32, 0, voices=1), pictures(12, 1, voices=1), 1, None, steps=2)
    assert one.voices is None
    assert one.words is not None
    nothing = speech_quality.judges(pictures(32, 0, 1, 1), pictures(12, 1, 1, 1), 1, None, steps=2)
    assert (nothing.words, nothing.voices) == (None, None)
    assert np.isfinite(speech_quality.compare(pictures(12, 2, 1, 1)["image"], None, nothing)["kid"])


def test_a_blend_is_of_two_recordings_of_its_label():
    label = np.array([0, 0, 0, 1, 1, 2])
    images = np.zeros((6, 1, 6, 1), np.uint8)
    images[range(6), 0, range(6)] = 200  # each has a band of its own
    mixed = speech_quality.blended(images, label)[:, 0, :, 0]
    assert mixed.dtype == np.uint8
    for i, row in enumerate(mixed):
        (bands,) = np.nonzero(row)
        assert len(bands) == 2
        assert i in bands
        other = next(b for b in bands if b != i)
        assert label[other] == label[i] or i == 5  # which has no other of its label
        low, high = (200 * share for share in speech_quality.SHARES)
        assert low <= row[i] <= high
        assert row.sum() == pytest.approx(200, abs=1)
    np.testing.assert_array_equal(mixed, speech_quality.blended(images, label)[:, 0, :, 0])
    assert (mixed != speech_quality.blended(images, label, seed=1)[:, 0, :, 0]).any()


def test_what_is_compared_knows_a_blend_from_a_recording():
    """Of two bands that a recording has one or the other of, a blend has both, dimmer."""

    def recordings(n, seed):
        rng = np.random.default_rng(seed)
        image, label = rng.integers(0, 20, (n, 16, 16, 1), np.uint8), np.arange(n, dtype=np.int32) % 2
        for one, which, band in zip(image, label, rng.integers(0, 2, n), strict=True):
            one[8 * which : 8 * which + 8, 8 * band : 8 * band + 8] += 200
        return {"image": image, "label": label}

    train, heldout, made = recordings(128, 0), recordings(96, 1), recordings(96, 2)
    judges = speech_quality.judges(train, heldout, 1, None, steps=40)
    real = speech_quality.compare(made["image"], made["label"], judges)
    blends = speech_quality.blended(made["image"], made["label"])
    mixed = speech_quality.compare(blends, made["label"], judges)
    assert mixed["word_accuracy"] == 1
    assert mixed["kid"] > 0.2 > real["kid"]
