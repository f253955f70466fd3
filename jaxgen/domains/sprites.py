"""Sprites of a game by class, characters and items: a class-conditional GAN."""

import numpy as np

from jaxgen.config import Config, Conv, Residual
from jaxgen.data import images
from jaxgen.data.cache import cache_dir
from jaxgen.domains import Domain, Found, Raw, Source, _pixels
from jaxgen.errors import UserError
from jaxgen.metrics.classifier import Classifier
from jaxgen.metrics.sample_quality import Reference, compare, reference
from jaxgen.types import Split

EACH = 100
"""Samples of each class that are measured."""


def networks(cfg: Config, axis_name: str | None):
    """Generator and critic, both of which see the class."""
    if getattr(cfg.game, "classes", 0) < 2:
        raise UserError("Sprites are made by class; use --game.classes with the number of classes, 2 or more.")
    return _pixels.networks(cfg, axis_name, models=(Residual, Conv))


def load(cfg: Config, split: Split) -> Raw:
    """Raises `UserError` for labels that are missing or out of range."""
    raw = images.load(cfg.data, cfg.shape, split, cfg.data_dir, cfg.download)
    classes = getattr(cfg.game, "classes", 0)
    if "label" not in raw:
        raise UserError(f"{cfg.data} has no labels, and sprites are made by class; put each class into a folder.")
    if raw["label"].max() >= classes:
        raise UserError(f"{cfg.data} has labels up to {raw['label'].max()}, the game has {classes} classes (from 0).")
    return raw


def measure(run: Source, train: Raw, heldout: Raw) -> Found:
    """Of as many samples of each class: sample metrics, and how many a classifier takes for what they were to be."""
    real = reference(train, heldout, cache_dir(run.config.data_dir) / "classifiers")
    label = np.repeat(np.arange(run.classes, dtype=np.int32), EACH)
    made = _pixels.to_raw(run.draw(len(label), 0, label))
    return real.describe() | compared(made, label, real)


def compared(made: np.ndarray, label: np.ndarray, real: Reference) -> Found:
    """Sample metrics of uint8 sprites [N, H, W, C], and `class_accuracy`, the share that the classifier takes for its
    label [N]; `class_accuracy_ratio`, that over its accuracy on held-out sprites."""
    assert isinstance(real.extractor, Classifier)
    right = real.extractor.probabilities(made).argmax(1) == label
    accuracy = float(right.mean())
    ratio = accuracy / real.extractor.heldout_accuracy
    return {**compare(made, real), "class_accuracy": accuracy, "class_accuracy_ratio": ratio}


DOMAIN = Domain(
    networks,
    load,
    _pixels.to_batch,
    _pixels.to_raw,
    _pixels.write,
    measure,
)
