"""Sprites by class: what is refused, and a classifier that says whether a sprite is what it was to be."""

import dataclasses
from functools import partial

import numpy as np
import pytest

from jaxgen.config import MLP, Adversarial, Config, Paired, Residual, UNet
from jaxgen.data import synthetic
from jaxgen.domains import sprites
from jaxgen.domains.sprites import DOMAIN
from jaxgen.errors import UserError
from jaxgen.metrics import classifier, sample_quality

CLASSES = 4
CONFIG = Config("sprites", Residual(gen=(4, 4), disc=(4, 4), patch=2), Adversarial(classes=CLASSES), shape=(8, 8, 3))
DATA = synthetic.images((8, 8, 3), 200, classes=CLASSES)
TRAIN, HELDOUT = ({name: a[rows] for name, a in DATA.items()} for rows in (slice(0, 120), slice(120, 200)))


@pytest.fixture(autouse=True)
def short(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sample_quality, "classifier", partial(classifier.classifier, steps=60))


@pytest.fixture(scope="module")
def real():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample_quality, "classifier", partial(classifier.classifier, steps=60))
        return sample_quality.reference(TRAIN, HELDOUT, None)


def saved(path, train, test):
    arrays = {f"x_{name}": synthetic.images((8, 8, 3), 40)["image"] for name in ("train", "test")}
    labels = {"y_train": train, "y_test": test} if train is not None else {}
    np.savez(path, **arrays, **{name: np.array(a) for name, a in labels.items()})
    return dataclasses.replace(CONFIG, data=str(path))


@pytest.mark.parametrize("game", [Adversarial(), Adversarial(classes=1), Paired()])
def test_a_game_without_classes_is_refused(game):
    with pytest.raises(UserError, match=r"made by class; use --game\.classes"):
        DOMAIN.networks(dataclasses.replace(CONFIG, game=game), None)


@pytest.mark.parametrize("model", [MLP(), UNet()])
def test_models_that_make_no_sprites(model):
    with pytest.raises(UserError, match=f"'sprites' has no model {type(model).__name__}; choose Residual or Conv"):
        DOMAIN.networks(dataclasses.replace(CONFIG, model=model), None)


def test_both_networks_see_the_class():
    gen, critic = DOMAIN.networks(CONFIG, "data")
    assert (gen.classes, critic.classes, gen.axis_name) == (CLASSES, CLASSES, "data")


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (None, None, "has no labels, and sprites are made by class"),
        ([0, 1] * 19 + [0, 4], [0, 1] * 20, r"labels up to 4, the game has 4 classes \(from 0\)"),
    ],
)
def test_labels_that_make_no_sense(train, test, message, tmp_path):
    with pytest.raises(UserError, match=message):
        DOMAIN.load(saved(tmp_path / "data.npz", train, test), "train")


def test_held_out_labels_are_looked_at_too(tmp_path):
    config = saved(tmp_path / "data.npz", [0, 1, 2, 3] * 10, [0, 1, 2, 9] * 10)
    np.testing.assert_array_equal(DOMAIN.load(config, "train")["label"], [0, 1, 2, 3] * 10)
    with pytest.raises(UserError, match="labels up to 9"):
        DOMAIN.load(config, "test")


def test_real_sprites_are_as_often_right_as_real_sprites(real):
    found = sprites.compared(HELDOUT["image"], HELDOUT["label"], real)
    assert found["class_accuracy"] == real.extractor.heldout_accuracy > 0.9
    assert found["class_accuracy_ratio"] == 1
    assert found["coverage"] == 1
    wrong = sprites.compared(HELDOUT["image"], (HELDOUT["label"] + 1) % CLASSES, real)
    assert wrong["class_accuracy"] < 0.1
    shuffled = sprites.compared(HELDOUT["image"], np.random.default_rng(0).permutation(HELDOUT["label"]), real)
    assert abs(shuffled["class_accuracy"] - 1 / CLASSES) < 0.15
    assert shuffled["class_accuracy_ratio"] == shuffled["class_accuracy"] / real.extractor.heldout_accuracy
    assert shuffled["coverage"] == 1  # which takes no notice of labels


class Run:
    """Training sprites of the class that is asked for, or of any."""

    config, classes = CONFIG, CLASSES

    def __init__(self, listens):
        self.listens = listens

    def draw(self, n, seed, label=None, bound=0.0):
        assert n == len(label)
        np.testing.assert_array_equal(np.bincount(label), sprites.TIMES * np.bincount(HELDOUT["label"]))
        wanted = label if self.listens else np.random.default_rng(0).permutation(label)
        rows = [np.flatnonzero(TRAIN["label"] == c)[i % 30] for i, c in enumerate(wanted)]
        return TRAIN["image"][rows] / 127.5 - 1


def test_samples_have_the_shares_of_held_out_classes():
    label = sprites.labels({"label": np.array([2, 0, 2], np.int64)})
    assert label.dtype == np.int32
    assert label.tolist() == [0] * sprites.TIMES + [2] * 2 * sprites.TIMES


def test_a_run_that_takes_no_notice_of_the_class_is_found_out():
    by_class, blind = (DOMAIN.measure(Run(listens), TRAIN, HELDOUT) for listens in (True, False))
    assert by_class["class_accuracy_ratio"] > 0.9
    assert blind["class_accuracy_ratio"] < 0.4
    assert by_class["memorisation_auc"] > 0.95  # and one that copies
    assert by_class["n_samples"] == sprites.TIMES * len(HELDOUT["label"])
    assert {"extractor_hash", "extractor_accuracy", "kid", "coverage"} <= by_class.keys()
