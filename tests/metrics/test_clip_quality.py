"""Bars that slide down or right: the class is the direction, which only the order of the frames tells."""

import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.metrics import clip_quality
from jaxgen.metrics.frechet import frechet_distance
from jaxgen.metrics.motion import shuffled, stack_frames, still


def bars(n, seed):
    """{clips uint8 [n, 4, 12, 12, 1], label [n]}: class 0 slides down, class 1 right, two pixels a frame."""
    rng = np.random.default_rng(seed)
    clips, label = rng.integers(0, 30, (n, 4, 12, 12, 1), np.uint8), np.arange(n) % 2
    for i, start in enumerate(rng.integers(0, 4, n)):
        for t in range(4):
            at = start + 2 * t
            clips[i, t, at : at + 2] = 220
            if label[i]:
                clips[i, t] = clips[i, t].swapaxes(0, 1)
    return clips, label


@pytest.fixture(scope="module")
def data():
    return *bars(400, 0), *bars(200, 1)


@pytest.fixture(scope="module")
def network(data):
    return clip_quality.extractor(*data, None, steps=150)


def test_spoiled_clips_are_classes_of_their_own():
    clips, label = bars(6, 2)
    every, number = clip_quality.spoiled(clips, label, seed=3)
    kinds = (clips, shuffled(clips, 3), still(clips, 3))
    np.testing.assert_array_equal(every, np.concatenate([stack_frames(kind) for kind in kinds]))
    assert number.tolist() == [0, 3] * 3 + [1, 4] * 3 + [2, 5] * 3


def test_it_tells_class_and_kind(network, data):
    assert network.classes == 6
    assert network.heldout_accuracy > 0.9
    real = data[2]
    for kind, clips in zip(clip_quality.KINDS, (real, shuffled(real, 5), still(real, 5)), strict=True):
        shares = clip_quality.kind_shares(network, clips)
        assert sum(shares.values()) == pytest.approx(1)
        assert shares[kind] > 0.9


def test_spoiled_clips_are_far(network, data):
    real = data[2]
    half = clip_quality.clip_frechet(network, real[:100], real[100:])
    for spoil in (shuffled, still):
        assert clip_quality.clip_frechet(network, real[:100], spoil(real[100:], 6)) > 5 * half
    features = clip_quality.clip_features(network, real)
    assert features.shape == (200, 128)
    np.testing.assert_array_equal(features, network.features(stack_frames(real)))
    assert half == pytest.approx(frechet_distance(features[:100], features[100:]))


def test_frames_are_classified_one_by_one(data):
    """What a frame shows is told from the direction of its bar."""
    network = clip_quality.frame_classifier(*data, None, steps=60, per_clip=2)
    assert network.shape == (12, 12, 1)
    assert network.heldout_accuracy > 0.95
    found = clip_quality.frame_probabilities(network, data[2])
    assert found.shape == (200, 4, 2)
    np.testing.assert_allclose(found[7], network.probabilities(data[2][7]), atol=1e-6)
    assert (found.argmax(2) == data[3][:, None]).mean() == pytest.approx(network.heldout_accuracy)


def test_frames_to_learn_from_are_different_ones(monkeypatch, data):
    seen = {}

    def record(images, labels, heldout_images, heldout_labels, *rest):
        seen.update(images=images, labels=labels, heldout=heldout_images)

    monkeypatch.setattr(clip_quality, "classifier", record)
    clips = np.arange(3 * 5, dtype=np.uint8).reshape(3, 5, 1, 1, 1)
    label = np.array([2, 0, 1])
    clip_quality.frame_classifier(clips, label, clips, label, None, per_clip=4)
    frames = seen["images"].reshape(3, 4)
    assert all(len(set(row)) == 4 for row in frames.tolist())
    np.testing.assert_array_equal(frames // 5, np.arange(3)[:, None].repeat(4, 1))
    assert seen["labels"].tolist() == [2] * 4 + [0] * 4 + [1] * 4
    assert seen["heldout"].shape == (15, 1, 1, 1)
    clip_quality.frame_classifier(clips, label, clips, label, None, per_clip=99)
    assert seen["images"].shape == (15, 1, 1, 1)
    with pytest.raises(UserError, match="one frame of each clip"):
        clip_quality.frame_classifier(clips, label, clips, label, None, per_clip=0)


def test_labels_are_checked(data):
    clips, label, *heldout = data
    with pytest.raises(UserError, match="400 images"):
        clip_quality.extractor(clips, label[:-1], *heldout, None)
    with pytest.raises(UserError, match="at least 3"):
        clip_quality.extractor(clips[:, :2], label, *heldout, None)
