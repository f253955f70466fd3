"""Sprites of a game by class, characters and items: a class-conditional GAN."""

from functools import partial

import numpy as np

from jaxgen.config import Config, Conv, Residual
from jaxgen.data.cache import cache_dir
from jaxgen.domains import Domain, Found, Raw, Source, _pixels
from jaxgen.metrics.classifier import Classifier
from jaxgen.metrics.sample_quality import Reference, compare, reference

TIMES = 20
"""Samples that are measured for each held-out sprite, of its class: shares of classes are no difference then. KID is
unbiased, but with five for each of Dungeon Crawl's 211 it has a deviation of .004, where .035 is the bar."""


def networks(cfg: Config, axis_name: str | None):
    """Generator and critic, both of which see the class."""
    _pixels.check_conditional(cfg, "Sprites")
    return _pixels.networks(cfg, axis_name, models=(Residual, Conv))


def measure(run: Source, train: Raw, heldout: Raw) -> Found:
    """Of samples in the held-out classes' shares: sample metrics, and how many a classifier takes for what they were to
    be."""
    real = reference(train, heldout, cache_dir(run.config.data_dir) / "classifiers")
    label = labels(heldout)
    made = _pixels.to_raw(run.draw(len(label), 0, label))
    return real.describe() | compared(made, label, real)


def labels(heldout: Raw) -> np.ndarray:
    """int32 [N]: each held-out label `TIMES` times, class after class."""
    return np.repeat(np.sort(heldout["label"]).astype(np.int32), TIMES)


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
    partial(_pixels.load_labelled, what="sprites"),
    _pixels.to_batch,
    _pixels.to_raw,
    _pixels.write,
    measure,
)
