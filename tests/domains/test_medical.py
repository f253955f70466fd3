"""Medical images: labels are checked at the door, and the audit is of a labelled copy of the training set."""

import dataclasses
from functools import partial

import numpy as np
import pytest

from jaxgen.config import Adversarial, Config, Residual
from jaxgen.data import synthetic
from jaxgen.domains import medical
from jaxgen.domains.medical import DOMAIN
from jaxgen.errors import UserError

CONFIG = Config("medical", Residual(gen=(4, 4), disc=(4, 4), norm="batch"), Adversarial(classes=2), shape=(8, 8, 1))


def saved(path, **arrays):
    np.savez(path, **arrays)
    return dataclasses.replace(CONFIG, data=str(path))


def test_a_game_without_classes_is_refused():
    with pytest.raises(UserError, match=r"made by class; use --game\.classes"):
        DOMAIN.networks(dataclasses.replace(CONFIG, game=Adversarial()), None)
    gen, critic = DOMAIN.networks(CONFIG, None)
    assert (gen.norm, gen.classes, critic.classes) == ("batch", 2, 2)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "has no labels"),
        ([0, 1] * 19 + [0, 2], r"labels up to 2, the game has 2 classes"),
        ([0] * 39 + [1], r"Each class needs two train examples or more; class 1 has [01]"),
        ([0] * 40, "class 1 has 0"),
    ],
)
def test_labels_that_make_no_sense(labels, message, tmp_path):
    x = synthetic.images((8, 8, 1), 40)["image"]
    arrays = {"x_train": x, "x_test": x}
    if labels is not None:
        arrays |= {"y_train": np.array(labels), "y_test": np.array(labels)}
    with pytest.raises(UserError, match=message):
        DOMAIN.load(saved(tmp_path / "data.npz", **arrays), "train")


def test_samples_are_of_the_class_that_is_asked_for():
    class Run:
        def draw(self, n, seed, label=None, bound=0.0):
            return label.reshape(n, 1, 1, 1) * np.ones((1, 8, 8, 1)) * 2 - 1

    made = medical.synthetic(Run(), np.array([2, 3]))
    np.testing.assert_array_equal(made["label"], [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(made["image"].max((1, 2, 3)), [0, 0, 255, 255, 255])


def test_two_sets_are_compared_in_the_same_class_shares():
    made = {"image": np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1), "label": np.array([0] * 8 + [1] * 2)}
    heldout = {"label": np.array([0, 1, 1])}
    chosen = medical.balanced_like(made, heldout).ravel()
    assert sorted(chosen >= 8) == [False, True, True]


def test_the_audit_of_a_run(tmp_path, monkeypatch):
    """A run that returns training images: of use, and caught."""
    monkeypatch.setenv("JAXGEN_CACHE", str(tmp_path))
    for name in ("train_on_synthetic", "augmentation_benefit"):
        monkeypatch.setattr(medical.audit, name, partial(getattr(medical.audit, name), steps=3))
    data = synthetic.images((8, 8, 1), 200, classes=2)
    names = {"train": slice(0, 120), "val": slice(120, 150), "test": slice(150, 200)}
    arrays = {f"{n}_images": data["image"][rows] for n, rows in names.items()}
    config = saved(tmp_path / "m.npz", **arrays, **{f"{n}_labels": data["label"][r] for n, r in names.items()})
    train, heldout = DOMAIN.load(config, "train"), DOMAIN.load(config, "test")

    class Run:
        classes = 2

        def __init__(self):
            self.config = config

        def draw(self, n, seed, label=None, bound=0.0):
            return train["image"][np.argsort(train["label"], kind="stable")] / 127.5 - 1

        def criticise(self, x, label=None):
            assert x.min() < 0
            assert len(label) == len(x)
            return x.mean((1, 2, 3))

    found = DOMAIN.measure(Run(), train, heldout)
    assert found["copies"] == 1
    assert found["mia_pixels"] > 0.95
    assert found["strangers"] == 30
    assert {"kid", "coverage", "tstr_ratio", "augmentation_gain", "mia_critic", "extractor_accuracy"} <= found.keys()
