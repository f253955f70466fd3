"""Clips of spots that move: honest ones, those that cheat, and what each measure says of them."""

from functools import partial

import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.metrics import clip_comparison, clip_quality
from jaxgen.metrics.clip_comparison import ceiling, compare, energy_tv, impostors, moving, reference

T, SIDE = 6, 16


def spots(n, seed):
    """Clips [n, 6, 16, 16, 1] of a soft spot on its way through the middle; its width is the class."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n)
    angle, speed = rng.uniform(0, 2 * np.pi, n), rng.uniform(0.5, 1.2, n)
    away = np.stack([np.cos(angle), np.sin(angle)], -1)[:, None] * (np.arange(T) - 2.5)[:, None]
    centre = 7.5 + rng.uniform(-1.5, 1.5, (n, 1, 2)) + away * speed[:, None, None]
    pixels = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij"), -1)
    squared = ((pixels - centre[:, :, None, None]) ** 2).sum(-1)
    width = np.where(label, 2.0, 1.0)[:, None, None, None]
    image = 250 * np.exp(-squared / (2 * width**2))
    return {"image": image.astype(np.uint8)[..., None], "label": label.astype(np.int32)}


TRAIN, HELDOUT = spots(300, 0), spots(100, 1)


@pytest.fixture(scope="module", autouse=True)
def short():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip_comparison, "STEPS", 100)
        patch.setattr(clip_comparison, "frame_classifier", partial(clip_quality.frame_classifier, steps=60))
        yield


@pytest.fixture(scope="module")
def real(short):
    return reference(TRAIN, HELDOUT, None)


@pytest.fixture(scope="module")
def table(real):
    rows = {name: compare(clips, real) for name, clips in impostors(TRAIN, 100).items()}
    return rows | {"honest": compare(spots(100, 2)["image"], real)}


def test_describes_the_networks(real):
    row = real.describe()
    assert row["extractor"] == "classifier of clips: class x (real, shuffled, still)"
    assert len(row["extractor_hash"]) == len(row["frame_classifier_hash"]) == 64
    assert row["extractor_accuracy"] > 0.7  # of six classes
    assert row["frame_accuracy"] > 0.9


def test_honest_clips_score_as_real_ones(table, real):
    row, best = table["honest"], ceiling(real)
    assert row["n_samples"] == 100
    assert row["coverage"] > 0.85 * best["coverage"]
    assert max(row["speed_tv"], row["energy_tv"]) < 0.3  # of 100 clips in 9 or 10 bins each
    assert row["class_constant"] > 0.9
    assert best["memorisation_low"] - 0.1 < row["memorisation_auc"] < best["memorisation_high"] + 0.1
    assert row["kid"] < 3 * row["kid_error"]  # below 0 for sets that are as balanced as these


def test_each_impostor_fails_where_it_should(table):
    honest = table["honest"]
    assert table["still"]["speed_tv"] == 1  # none of the real ones stands still
    assert table["still"]["energy_tv"] == pytest.approx(0.9)  # all in the lowest of ten bins
    assert table["still"]["class_constant"] > 0.9
    assert min(table["shuffled"][name] for name in ("speed_tv", "energy_tv")) > 0.4
    for name in ("shuffled", "still", "pca_gaussian", "collapsed"):
        assert table[name]["frechet_clips"] > 2 * honest["frechet_clips"]
    assert table["collapsed"]["coverage"] < 0.6 * honest["coverage"]
    assert table["collapsed"]["memorisation_auc"] == 1
    assert table["memoriser"]["memorisation_auc"] == 1
    assert max(table["memoriser"]["speed_tv"], table["memoriser"]["energy_tv"]) < 0.3
    assert table["memoriser"]["coverage"] > 0.8 * honest["coverage"]


def test_ceiling_compares_halves(real):
    row = ceiling(real)
    assert row["coverage"] > 0.8
    assert row["memorisation_low"] == pytest.approx(1 - row["memorisation_high"])
    assert 0.3 < row["memorisation_low"] <= 0.5
    assert row["class_constant"] > 0.9
    assert 0 < row["speed_tv"] < 0.4
    assert 0 < row["energy_tv"] < 0.4
    assert row == ceiling(real)
    one = ceiling(real, splits=1, seed=1)
    order = np.random.default_rng(1).permutation(100)
    halves = moving(HELDOUT["image"][order[:50]], HELDOUT["image"][order[50:]])
    assert {name: one[name] for name in halves} == pytest.approx(halves)


def test_energy_by_hand():
    real = np.arange(10.0)  # one in each bin
    assert energy_tv(real, real) == 0
    assert energy_tv(real[::-1], real) == 0
    assert energy_tv(np.zeros(3), real) == pytest.approx(0.9)
    assert energy_tv(np.full(7, 1e6), real) == pytest.approx(0.9)
    assert energy_tv(np.array([0.0, 0.5, 9.0, 20.0]), real) == pytest.approx(0.8)  # half in each of two bins
    assert energy_tv(np.array([0.0, 4.0]), np.full(5, 4.0)) == pytest.approx(0.5)  # edges that are all the same


@pytest.fixture
def blind(monkeypatch):
    """The judge of clips learns for a moment."""
    monkeypatch.setattr(clip_comparison, "STEPS", 2)


def test_without_labels_frames_are_of_no_class(blind):
    found = reference({"image": TRAIN["image"]}, {"image": HELDOUT["image"]}, None)
    assert found.frames is None
    assert found.network.classes == 3
    row = compare(HELDOUT["image"], found)
    assert not {"class_constant", "class_constant_all_frames"} & row.keys()
    assert "frame_accuracy" not in found.describe()


def test_frames_are_seen_around_their_centre_where_asked(blind, tmp_path):
    found = reference(TRAIN, HELDOUT, tmp_path, side=8)
    assert found.frames is not None
    assert found.frames.shape == (8, 8, 1)
    assert found.network.shape == (SIDE, SIDE, T)
    assert compare(HELDOUT["image"], found)["class_constant"] > 0.9
    again = reference(TRAIN, HELDOUT, tmp_path, side=8)
    assert again.describe() == found.describe()


def test_a_clip_of_two_halves_is_not_constant(real):
    """Its first frames show one class, its last the other."""
    narrow, wide = (HELDOUT["image"][HELDOUT["label"] == c][:20] for c in (0, 1))
    mixed = np.concatenate([narrow[:, :3], wide[:, 3:]], axis=1)
    assert real.constant(mixed)["class_constant"] < 0.1
    assert real.constant(mixed)["class_constant_all_frames"] < 0.1
    assert real.constant(narrow)["class_constant"] > 0.9


def test_what_the_impostors_are():
    made = impostors(TRAIN, 450, seed=3)
    assert {name: (x.shape, x.dtype) for name, x in made.items()} == dict.fromkeys(
        ("shuffled", "still", "pca_gaussian", "collapsed", "memoriser"), ((450, T, SIDE, SIDE, 1), np.dtype(np.uint8))
    )
    train = {clip.tobytes() for clip in TRAIN["image"]}
    assert {clip.tobytes() for clip in made["memoriser"]} == train  # 450 of 300: each at least once
    assert len({clip.tobytes() for clip in made["collapsed"]}) == 10
    assert {clip.tobytes() for clip in made["collapsed"]} < train
    for clip, old in zip(made["shuffled"], made["memoriser"], strict=True):
        assert {frame.tobytes() for frame in clip} == {frame.tobytes() for frame in old}
        assert (clip != old).any()
    assert (made["still"] == made["still"][:, :1]).all()
    for clip, old in zip(made["still"], made["memoriser"], strict=True):
        assert clip[0].tobytes() in {frame.tobytes() for frame in old}
    mean = made["pca_gaussian"].mean(0), TRAIN["image"].mean(0)
    assert np.abs(mean[0] - mean[1]).max() < 40  # frame by frame, where each belongs
    assert np.corrcoef(mean[0].ravel(), mean[1].ravel())[0, 1] > 0.95
    np.testing.assert_array_equal(impostors(TRAIN, 30, seed=3)["still"], impostors(TRAIN, 30, seed=3)["still"])


def test_refuses_clips_of_another_shape(real):
    with pytest.raises(UserError):
        compare(HELDOUT["image"][:, :4], real)
    with pytest.raises(UserError, match="2 frames; this needs at least 3"):
        reference({"image": TRAIN["image"][:, :2]}, {"image": HELDOUT["image"][:, :2]}, None)
