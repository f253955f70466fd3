"""Samples against real images: every metric in one table, with its ceiling and its impostors."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.errors import UserError
from jaxgen.metrics.classifier import Classifier, classifier
from jaxgen.metrics.coverage import density_coverage
from jaxgen.metrics.frechet import frechet_distance
from jaxgen.metrics.histogram import class_histogram, classes_present, label_histogram, total_variation
from jaxgen.metrics.inputs import check_images
from jaxgen.metrics.kernel import kid
from jaxgen.metrics.nearest import memorisation_auc, nearest_distance
from jaxgen.metrics.pca import PCA, pca

Images = Mapping[str, np.ndarray]
"""`image` [N, H, W, C] uint8 and, where the data have classes, `label` [N] of integers."""
Row = dict[str, Any]
"""One set of samples' metrics by name: numbers, and what they were measured with."""

LEAST = 12
"""Fewest samples, training items or held-out items: two halves must still have five neighbours each."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Real images seen by one frozen extractor: what every set of samples is compared with."""

    extractor: Classifier | PCA
    train: np.ndarray  # features [N, F]
    real: np.ndarray  # held-out features [M, F]
    real_distances: np.ndarray  # [M], of held-out items to the nearest training item
    real_histogram: np.ndarray | None  # class shares of the held-out labels

    def describe(self) -> Row:
        """Which extractor: its kind, hash and, for a classifier, held-out accuracy."""
        row: Row = {"extractor": _kind(self.extractor), "extractor_hash": self.extractor.hash}
        if isinstance(self.extractor, Classifier):
            row["extractor_accuracy"] = self.extractor.heldout_accuracy
        return row


def reference(train: Images, heldout: Images, cache_dir: Path | None, seed: int = 0) -> Reference:
    """A classifier trained on `train`, or principal components where either set has no labels, and features of both.

    `cache_dir` keeps the classifier. Raises `UserError` on images or labels of another type or shape, or too few.
    """
    for name, split in (("train", train), ("heldout", heldout)):
        if len(check_images(split["image"], name, train["image"].shape[1:])) < LEAST:
            raise UserError(f"{name} has {len(split['image'])} images; sample metrics need at least {LEAST}.")
    histogram = None
    if _classes(train) > 1 and "label" in heldout:
        images, labels = heldout["image"], heldout["label"]
        extractor = classifier(train["image"], train["label"], images, labels, cache_dir, seed)
        histogram = label_histogram(labels, extractor.classes)
    else:
        extractor = pca(train["image"], seed=seed)
    train_features, real = extractor.features(train["image"]), extractor.features(heldout["image"])
    return Reference(extractor, train_features, real, nearest_distance(real, train_features), histogram)


def sample_metrics(
    samples: np.ndarray, train: Images, heldout: Images, cache_dir: Path | None, seed: int = 0
) -> dict[str, float | int | str]:
    """`compare` of uint8 `samples` [N, H, W, C] with a `reference` made for this one call, and what describes it."""
    real = reference(train, heldout, cache_dir, seed)
    return real.describe() | compare(samples, real, seed)


def compare(samples: np.ndarray, real: Reference, seed: int = 0) -> Row:
    """The metrics of uint8 `samples` [N, H, W, C] against the held-out images of `real`.

    classes_present, classes, class_tv: where the extractor is a classifier; they, kid, kid_error and memorisation_auc
    use all `n_samples`. density, coverage (k = 5), frechet_<extractor>: from `n_fake` samples chosen by `seed`, at most
    as many as there are real ones (`n_real`), since these change with the ratio of the two. (KID does not, being
    unbiased: more samples only bring its error down. Of 524 chest X-rays, chosen by four seeds from as many samples of
    one generator, it came out between 0.010 and 0.034.)
    Raises `UserError` on samples of another type or shape, or too few.
    """
    if len(check_images(samples, "samples", real.extractor.shape)) < LEAST:
        raise UserError(f"samples has {len(samples)} images; sample metrics need at least {LEAST}.")
    row: Row = {"n_samples": len(samples)}
    if isinstance(real.extractor, Classifier) and real.real_histogram is not None:
        features, probabilities = real.extractor.features_and_probabilities(samples)
        row["classes_present"] = classes_present(probabilities)
        row["classes"] = real.extractor.classes
        row["class_tv"] = total_variation(class_histogram(probabilities), real.real_histogram)
    else:
        features = real.extractor.features(samples)
    chosen = np.random.default_rng(seed).permutation(len(features))[: len(real.real)]
    row |= _equal_sets(real.real, features[chosen], _kind(real.extractor)) | _kernel(real.real, features)
    row["memorisation_auc"] = memorisation_auc(nearest_distance(features, real.train), real.real_distances)
    return row


def ceiling(real: Reference, splits: int = 5, seed: int = 0) -> Row:
    """What real images score: one half of the held-out set in the place of samples, the other as the real set.

    Means over random `splits`. memorisation_low and memorisation_high: the band of the AUC between two halves; samples
    that were not memorised lie in it, give or take 0.1. Two halves are smaller than the sets `compare` uses: Fréchet
    distance, biased upward on small sets, comes out larger here.
    """
    rng, half, n = np.random.default_rng(seed), len(real.real) // 2, len(real.real)
    rows, band = [], []
    for _ in range(splits):
        order = rng.permutation(n)
        a, b = order[:half], order[half : 2 * half]
        halves = real.real[b], real.real[a]
        rows.append(_equal_sets(*halves, _kind(real.extractor)) | _kernel(*halves))
        auc = memorisation_auc(real.real_distances[a], real.real_distances[b])
        band += [auc, 1 - auc]  # either half may stand for the samples
    row: Row = {name: float(np.mean([r[name] for r in rows])) for name in rows[0]}
    return row | {"n_real": half, "n_fake": half, "memorisation_low": min(band), "memorisation_high": max(band)}


def impostors(train: Images, n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Four ways to cheat, each `n` uint8 images [n, H, W, C] made from the training images alone.

    marginal: every pixel taken from a training image of its own. pca_gaussian: a Gaussian in 64 principal components.
    collapsed: one training image per class (ten where there are no classes), repeated. memoriser: training images as
    they are, without repeats as long as they last.
    """
    images, rng = check_images(train["image"], "train"), np.random.default_rng(seed)
    order = rng.permutation(len(images))
    few = order[:10]
    if (classes := _classes(train)) > 1:
        few = np.array([order[train["label"][order] == c][0] for c in range(classes) if (train["label"] == c).any()])
    return {
        "marginal": _marginal(images, n, rng),
        "pca_gaussian": pca(images, seed=seed).sample(n, seed),
        "collapsed": images[np.resize(few, n)],
        "memoriser": images[np.resize(order, n)],
    }


def _equal_sets(real: np.ndarray, fake: np.ndarray, kind: str) -> Row:
    density, coverage = density_coverage(real, fake)
    row: Row = {"n_real": len(real), "n_fake": len(fake), "density": density, "coverage": coverage}
    return row | {f"frechet_{kind}": frechet_distance(real, fake)}


def _kernel(real: np.ndarray, fake: np.ndarray) -> Row:
    distance, error = kid(real, fake)
    return {"kid": distance, "kid_error": error}


def _marginal(images: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    _, height, width, channels = images.shape
    pixels = images.reshape(len(images), height * width, channels)
    out = np.empty((n, height * width, channels), np.uint8)
    for row in out:
        row[:] = pixels[rng.integers(0, len(images), height * width), np.arange(height * width)]
    return out.reshape(n, height, width, channels)


def _classes(images: Images) -> int:
    return int(np.max(images["label"])) + 1 if "label" in images else 0


def _kind(extractor: Classifier | PCA) -> str:
    return type(extractor).__name__.lower()
