"""Spoken words that a generator made, as spectrograms: is it the word that was asked for, and the voice?"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxgen.metrics import sample_quality
from jaxgen.metrics.classifier import Classifier, classifier
from jaxgen.metrics.histogram import classes_present
from jaxgen.metrics.nearest import nearest_distance
from jaxgen.metrics.pca import pca
from jaxgen.metrics.sample_quality import Images, Reference, Row

STEPS = 600
"""Training steps of each classifier."""


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

    The features are those of a third, of words and voices together; principal components where there is one label.
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
    extractor = (trained(label) if of_voices else words) or pca(train["image"], seed=seed)
    known, real = extractor.features(train["image"]), extractor.features(heldout["image"])
    return Judges(words, of_voices, voices, Reference(extractor, known, real, nearest_distance(real, known), None))


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
