"""Spoken words that a generator made, as spectrograms: is it the word that was asked for, and the voice?"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxgen.metrics import sample_quality
from jaxgen.metrics.classifier import Classifier, classifier
from jaxgen.metrics.histogram import classes_present
from jaxgen.metrics.inputs import check_images, check_labels
from jaxgen.metrics.nearest import nearest_distance
from jaxgen.metrics.sample_quality import Images, Reference, Row

STEPS = 600
"""Training steps of each classifier."""

SHARES = (0.3, 0.7)
"""Between these lies what `blended` takes of the one recording, the rest being of the other."""


@dataclass(frozen=True, eq=False)
class Judges:
    """What hears who says what, and the features in which samples are compared with recordings.

    A label is the number of the word times the number of voices, plus that of the voice. The classifiers of words and
    of voices are two networks, trained on recordings alone; None where there is only one of the kind.
    """

    words: Classifier | None
    voices: Classifier | None
    number: int  # of voices
    real: Reference

    def describe(self) -> Row:
        """The extractor, and the classifiers' accuracy on held-out recordings."""
        row = self.real.describe()
        named = {"word": self.words, "voice": self.voices}
        return row | {f"{name}_judge_accuracy": judge.heldout_accuracy for name, judge in named.items() if judge}


def judges(
    train: Images, heldout: Images, voices: int, cache_dir: Path | None, seed: int = 0, steps: int = STEPS
) -> Judges:
    """Classifiers trained on `train`, tested on `heldout`: both are {"image": uint8 [N, F, M, 1], "label": int [N]}.

    The features are those of a third, which is trained half as long again: it tells words and voices together, and
    single recordings from `blended` ones. To a network that knows words alone a mixture of recordings is a good sample:
    Gaussians fitted to each class had a KID of .006 in its features, two halves of the held-out recordings of .004.
    `cache_dir` keeps the classifiers. Raises `UserError` as `classifier` does.
    """

    def trained(of: Mapping[str, np.ndarray]) -> Classifier | None:
        if of["train"].max() < 1:
            return None
        images = train["image"], of["train"], heldout["image"], of["heldout"]
        return classifier(*images, cache_dir=cache_dir, seed=seed, steps=steps)

    label = {"train": np.asarray(train["label"]), "heldout": np.asarray(heldout["label"])}
    words = trained({split: a // voices for split, a in label.items()})
    of_voices = trained({split: a % voices for split, a in label.items()})
    known, known_kinds = _with_blends(train["image"], label["train"], seed)
    real, real_kinds = _with_blends(heldout["image"], label["heldout"], seed + 1)
    extractor = classifier(known, known_kinds, real, real_kinds, cache_dir, seed, steps + steps // 2)
    known, real = extractor.features(train["image"]), extractor.features(heldout["image"])
    return Judges(words, of_voices, voices, Reference(extractor, known, real, nearest_distance(real, known), None))


def blended(images: np.ndarray, label: np.ndarray, seed: int = 0) -> np.ndarray:
    """uint8 `images` [N, F, M, 1], each mixed with another of its `label` [N], or of any other where it is alone.

    Two voices at once, or one that says two things: what no one says, and what averages and Gaussians consist of.
    Raises `UserError` for other types.
    """
    images = check_images(images, "images")
    label = check_labels(label, len(images), "label")
    rng, other = np.random.default_rng(seed), np.roll(np.arange(len(label)), 1)
    for c in np.unique(label):
        rows = np.flatnonzero(label == c)
        if len(rows) > 1:
            other[rows] = np.roll(rows, rng.integers(1, len(rows)))
    share = rng.uniform(*SHARES, size=(len(label), 1, 1, 1))
    return np.rint(share * images + (1 - share) * images[other]).astype(np.uint8)


def _with_blends(images: np.ndarray, label: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images with as many that are blended, and their kinds: twice the label, and 1 more where they are blended."""
    return np.concatenate([images, blended(images, label, seed)]), np.concatenate([2 * label, 2 * label + 1])


def compare(images: np.ndarray, label: np.ndarray | None, judges: Judges) -> Row:
    """`sample_quality.compare` of uint8 `images` [N, F, M, 1], and what is heard of the `label` [N] asked for.

    word_accuracy, voice_accuracy: the share of samples in which the classifier hears what was asked for, where anything
    was; words_covered, voices_covered: how many are heard at all, as `histogram.classes_present` counts.
    """
    row = sample_quality.compare(images, judges.real)
    asked = None if label is None else (label // judges.number, label % judges.number)
    for i, (name, judge) in enumerate((("word", judges.words), ("voice", judges.voices))):
        if judge is None:
            continue
        probabilities = judge.probabilities(images)
        row[f"{name}s_covered"] = classes_present(probabilities)
        if asked is not None:
            row[f"{name}_accuracy"] = float((probabilities.argmax(1) == asked[i]).mean())
    return row
