import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.metrics import audit
from jaxgen.metrics.audit import (
    augmentation_benefit,
    class_gaussians,
    membership_inference,
    nearest_neighbours,
    roc_auc,
    stratified,
    train_on_synthetic,
)

STEPS = 40


def bars(n, seed, contrast=120):
    """[n, 8, 8, 1] uint8 with `label`: a bar, upright (class 1, two in three) or lying, at any place, in noise."""
    rng = np.random.default_rng(seed)
    images, labels = rng.integers(0, 90, (n, 8, 8, 1)), (rng.random(n) < 2 / 3).astype(np.int32)
    for image, label, at in zip(images, labels, rng.integers(0, 8, n), strict=True):
        image[(slice(None), at) if label else at] += contrast
    return {"image": images.astype(np.uint8), "label": labels}


def flat(images):
    return images.reshape(len(images), -1)


TRAIN, HELDOUT, FRESH = bars(300, 0), bars(300, 1), bars(900, 2)


def test_auc_by_hand():
    assert roc_auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1])) == 0.75
    assert roc_auc(np.array([1, 1, 1, 2]), np.array([0, 1, 0, 1])) == 0.75  # two ties among four pairs
    assert roc_auc(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0, 1])) == 1


def test_auc_of_several_classes_is_the_mean_against_the_rest():
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 5, (60, 3)), rng.integers(0, 3, 60)
    each = [roc_auc(scores[:, c], (labels == c).astype(int)) for c in range(3)]
    assert roc_auc(scores, labels) == pytest.approx(np.mean(each), rel=1e-12)
    pairs = [
        (scores[i, 0] > scores[j, 0]) + 0.5 * (scores[i, 0] == scores[j, 0])
        for i in np.flatnonzero(labels == 0)
        for j in np.flatnonzero(labels != 0)
    ]
    assert each[0] == pytest.approx(np.mean(pairs), rel=1e-12)


@pytest.mark.parametrize(
    ("scores", "labels", "said"),
    [
        ([0.1, 0.2], [1, 1], r"has \[0, 2\] items .* needs some of all 2"),
        ([[1, 0, 0], [0, 1, 0]], [0, 1], r"\[1, 1, 0\] items .* all 3"),
        ([0.1, 0.2], [0, 2], "all 2"),
        ([np.nan, 0.2], [0, 1], "NaN"),
        ([0.1, 0.2], [0, 1, 1], "for each of 2 images"),
        ([[1], [2]], [0, 1], "shape"),
    ],
)
def test_auc_refuses(scores, labels, said):
    with pytest.raises(UserError, match=said):
        roc_auc(np.array(scores), np.array(labels))


def test_a_share_of_each_class():
    labels = np.array([0] * 40 + [1] * 7 + [2] * 2)
    rows = stratified(labels, 0.1, 0)
    assert np.bincount(labels[rows]).tolist() == [4, 1, 1]
    assert (np.diff(rows) > 0).all()
    assert rows.tolist() == stratified(labels, 0.1, 0).tolist() != stratified(labels, 0.1, 1).tolist()
    assert stratified(labels, 1, 0).tolist() == list(range(49))
    for share in (0, 1.1):
        with pytest.raises(UserError, match="share"):
            stratified(labels, share, 0)


def test_synthetic_of_the_right_class_trains_as_well_as_real(tmp_path):
    row = train_on_synthetic(FRESH, TRAIN, HELDOUT, tmp_path, steps=STEPS)
    assert row["trtr_auc"] > 0.8
    assert 0.9 < row["tstr_ratio"] == row["tstr_auc"] / row["trtr_auc"] < 1.1
    swapped = {"image": FRESH["image"], "label": 1 - FRESH["label"]}
    assert train_on_synthetic(swapped, TRAIN, HELDOUT, tmp_path, steps=STEPS)["tstr_auc"] < 0.2
    with pytest.raises(UserError, match="synthetic has 100 images, train 300"):
        train_on_synthetic(audit._take(FRESH, np.arange(100)), TRAIN, HELDOUT, steps=STEPS)
    for function in (train_on_synthetic, augmentation_benefit):
        with pytest.raises(UserError, match="heldout has no labels"):
            function(FRESH, TRAIN, {"image": HELDOUT["image"]}, steps=STEPS)


def test_the_gain_is_that_of_pairs(monkeypatch):
    """The classifiers' AUCs replaced by what they were trained on: sizes, halves and seeds."""
    seen = []

    def fake(images, heldout, cache_dir, seed, steps):
        seen.append((images, seed, steps))
        return 0.5 + seed / 100 + (len(images["image"]) > 100) * (0.01 if seed else 0.03)

    monkeypatch.setattr(audit, "_heldout_auc", fake)
    row = augmentation_benefit(FRESH, TRAIN, HELDOUT, seeds=2, steps=7)
    np.testing.assert_allclose(row["augmentation_gains"], [0.03, 0.01])
    np.testing.assert_allclose(row["real_alone_auc"], [0.5, 0.51])
    assert row["augmentation_gain"] == pytest.approx(0.02)
    assert [(seed, steps) for _, seed, steps in seen] == [(0, 7), (0, 7), (1, 7), (1, 7)]
    few, both = seen[2][0], seen[3][0]
    rows = stratified(TRAIN["label"], 0.1, 1)
    np.testing.assert_array_equal(few["image"], TRAIN["image"][rows])
    np.testing.assert_array_equal(both["image"][:900], np.resize(TRAIN["image"][rows], (900, 8, 8, 1)))
    np.testing.assert_array_equal(both["image"][900:], FRESH["image"])
    np.testing.assert_array_equal(both["label"][900:], FRESH["label"])


def test_neighbours_and_copies():
    samples = FRESH["image"][:40].copy()
    samples[:10] = TRAIN["image"][20:30]
    row = nearest_neighbours(samples, TRAIN, HELDOUT, flat)
    assert row["copies"] == 0.25
    assert row["nearest_index"][:10].tolist() == list(range(20, 30))
    assert (row["nearest_distance"][:10] == 0).all()
    assert (row["nearest_distance"][10:] > 0).all()
    assert 0.5 < row["memorisation_auc"] < 0.75  # a quarter at 1, the rest at 0.5: 0.625
    assert nearest_neighbours(TRAIN["image"], TRAIN, HELDOUT, flat)["memorisation_auc"] == 1


def test_a_memoriser_is_caught_and_fresh_data_are_not():
    caught = membership_inference(TRAIN["image"], TRAIN["image"], HELDOUT["image"])
    assert caught["mia_pixels"] == caught["mia_features"] == caught["mia_auc"] == 1
    assert caught["mia_count"] > 0.95
    fresh = membership_inference(FRESH["image"], TRAIN["image"], HELDOUT["image"])
    assert fresh["mia_error"] == pytest.approx(np.sqrt(601 / (12 * 300 * 300)))
    assert abs(fresh["mia_auc"] - 0.5) < 3 * fresh["mia_error"]
    noisy = np.clip(TRAIN["image"].astype(int) + np.random.default_rng(3).integers(-40, 41, (300, 8, 8, 1)), 0, 255)
    assert membership_inference(noisy.astype(np.uint8), TRAIN["image"], HELDOUT["image"])["mia_auc"] > 0.95


def test_attacks_by_hand():
    """Grey levels as distances: members at 10 and 50, others at 15 and 90, synthetic at 11, 12 and 52."""
    synthetic, members, others = (
        np.array(v, np.uint8).reshape(-1, 1, 1, 1) for v in ([11, 12, 52], [10, 50], [15, 90])
    )
    row = membership_inference(synthetic, members, others, features=flat)
    assert row["mia_pixels"] == row["mia_features"] == 1  # distances 1, 2 and 3, 38
    assert row["mia_count"] == 1  # radius 2.5: two, one; none, none
    assert "mia_critic" not in row
    row = membership_inference(synthetic, others, members, features=flat)
    assert row["mia_auc"] == row["mia_pixels"] == 0  # nothing is turned round


def test_the_critic_attacks_with_all_logits():
    args = FRESH["image"], TRAIN["image"], HELDOUT["image"][:200]
    row = membership_inference(*args, logits=(np.arange(300) + 1000, np.arange(200)))
    assert row["mia_critic"] == row["mia_auc"] == 1
    assert row["mia_error"] == pytest.approx(np.sqrt(501 / (12 * 300 * 200)))  # every one of either is ranked
    for logits in ((np.ones(200), np.ones(200)), (np.full(300, np.nan), np.ones(200))):
        with pytest.raises(UserError, match="logits must be 300 of members and 200 of others"):
            membership_inference(*args, logits=logits)


def test_gaussians_by_class():
    made = class_gaussians(TRAIN, (300, 0), seed=1)
    assert made["image"].shape == (300, 8, 8, 1)
    assert made["label"].tolist() == [0] * 300
    made = class_gaussians(TRAIN, (300, 400))
    assert np.bincount(made["label"]).tolist() == [300, 400]
    for c in (0, 1):
        real, fake = (x["image"][x["label"] == c].astype(float) for x in (TRAIN, made))
        np.testing.assert_allclose(fake.mean(0), real.mean(0), atol=12)  # 6 deviations of the two means
    with pytest.raises(UserError, match="0 images of class 2; a Gaussian takes at least two"):
        class_gaussians(TRAIN, (1, 1, 1))


def test_other_shapes_are_refused():
    wrong = np.zeros((20, 7, 7, 1), np.uint8)
    with pytest.raises(UserError, match="members"):
        membership_inference(FRESH["image"], wrong, HELDOUT["image"])
    with pytest.raises(UserError, match="samples"):
        nearest_neighbours(wrong, TRAIN, HELDOUT, flat)
