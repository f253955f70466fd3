"""Generated clips against real ones: every metric in one row, with its ceiling and its impostors."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.metrics.classifier import Classifier
from jaxgen.metrics.clip_quality import clip_features, extractor, frame_classifier, frame_probabilities
from jaxgen.metrics.coverage import density_coverage
from jaxgen.metrics.frechet import frechet_distance
from jaxgen.metrics.histogram import total_variation
from jaxgen.metrics.kernel import kid
from jaxgen.metrics.motion import (
    centred,
    identity_constant,
    motion_energy,
    shuffled,
    speed_histogram_tv,
    speeds,
    stack_frames,
    still,
)
from jaxgen.metrics.nearest import memorisation_auc, nearest_distance
from jaxgen.metrics.pca import pca

Clips = Mapping[str, np.ndarray]
"""`image` uint8 [N, T, H, W, C], and `label` [N] of integers where the data have classes."""
Row = dict[str, Any]

STEPS = 4000
"""Of the network of clips. After 1,000 it tells 55% of moving digits' 30 kinds (digit; real, shuffled, still)."""
SURE = 0.5
"""A frame whose class is less likely than that has none."""
BINS = 10
"""Of motion energy, each with as many of the held-out clips."""


@dataclass(frozen=True, eq=False)
class Reference:
    """Real clips as frozen networks see them: what generated ones are compared with."""

    network: Classifier  # of clips, what they show and in which order
    frames: Classifier | None  # of what a frame shows, where the data have classes
    side: int  # of the square around what is seen that `frames` looks at; 0: at whole frames
    train: np.ndarray  # features [N, F]
    heldout: np.ndarray  # uint8 clips [M, T, H, W, C]
    real: np.ndarray  # their features [M, F]
    real_distances: np.ndarray  # [M], to the nearest training clip

    def features(self, clips: np.ndarray) -> np.ndarray:
        """float32 [N, F] of uint8 clips [N, T, H, W, C]."""
        return clip_features(self.network, clips)

    def constant(self, clips: np.ndarray) -> Row:
        """The shares of clips that show one class in all frames, and in all of which the network is sure."""
        if self.frames is None:
            return {}
        seen = centred(clips, self.side) if self.side else clips
        probabilities = frame_probabilities(self.frames, seen)
        return {
            "class_constant": identity_constant(probabilities, SURE),
            "class_constant_all_frames": identity_constant(probabilities),
        }

    def describe(self) -> Row:
        row: Row = {
            "extractor": "classifier of clips: class x (real, shuffled, still)",
            "extractor_hash": self.network.hash,
            "extractor_accuracy": self.network.heldout_accuracy,
        }
        if self.frames:
            row |= {"frame_classifier_hash": self.frames.hash, "frame_accuracy": self.frames.heldout_accuracy}
        return row


def reference(train: Clips, heldout: Clips, cache_dir: Path | None, side: int = 0, seed: int = 0) -> Reference:
    """Networks trained on `train`, and features of both sets. Without labels all clips are of one class.

    `side` > 0: what a frame shows is looked for in the square of that side around its centre (`motion.centred`).
    Raises `UserError` as the networks do.
    """
    sets = train["image"], _labels(train), heldout["image"], _labels(heldout)
    network = extractor(*sets, cache_dir, seed, STEPS)
    frames = None
    if sets[1].max() > 0:
        seen = [centred(clips, side) if side else clips for clips in (sets[0], sets[2])]
        frames = frame_classifier(seen[0], sets[1], seen[1], sets[3], cache_dir, seed)
    features, real = clip_features(network, sets[0]), clip_features(network, sets[2])
    return Reference(network, frames, side, features, sets[2], real, nearest_distance(real, features))


def compare(made: np.ndarray, real: Reference) -> Row:
    """The metrics of uint8 clips `made` [N, T, H, W, C] against the held-out ones, of which there are M.

    frechet_clips, kid, density and coverage (k = 5) in learned features, of at most M clips but for KID; speed_tv and
    energy_tv, the total variation distances of how fast the centre moves and of how much frames change; class_constant;
    memorisation_auc. Raises `UserError` on clips of another shape.
    """
    features = real.features(made)
    some = features[: len(real.real)]
    density, coverage = density_coverage(real.real, some)
    distance, error = kid(real.real, features)
    return {
        "n_samples": len(made),
        "frechet_clips": frechet_distance(real.real, some),
        "kid": distance,
        "kid_error": error,
        "density": density,
        "coverage": coverage,
        **moving(made, real.heldout),
        **real.constant(made),
        "memorisation_auc": memorisation_auc(nearest_distance(features, real.train), real.real_distances),
    }


def moving(a: np.ndarray, b: np.ndarray) -> Row:
    """How differently two sets of clips move."""
    height = b.shape[2]
    return {
        "speed_tv": speed_histogram_tv(speeds(a), speeds(b), height),
        "energy_tv": energy_tv(motion_energy(a), motion_energy(b)),
    }


def energy_tv(a: np.ndarray, b: np.ndarray) -> float:
    """Total variation distance, 0 to 1, of histograms of motion energy [N], [M] in bins that share out b evenly."""
    edges = np.quantile(b, np.arange(1, BINS) / BINS)
    shares = [np.bincount(np.searchsorted(edges, x, side="right"), minlength=BINS) / len(x) for x in (a, b)]
    return total_variation(*shares)


def ceiling(real: Reference, splits: int = 5, seed: int = 0) -> Row:
    """What real clips score, one half of the held-out ones in the place of generated ones, the other as the real set;
    means over random `splits`. memorisation_low and memorisation_high: the band of the AUC between two halves."""
    rng, half = np.random.default_rng(seed), len(real.real) // 2
    rows, band = [], []
    for _ in range(splits):
        order = rng.permutation(len(real.real))
        a, b = order[:half], order[half : 2 * half]
        density, coverage = density_coverage(real.real[b], real.real[a])
        rows.append(
            {
                "frechet_clips": frechet_distance(real.real[b], real.real[a]),
                "kid": kid(real.real[b], real.real[a])[0],
                "density": density,
                "coverage": coverage,
                **moving(real.heldout[a], real.heldout[b]),
            }
        )
        auc = memorisation_auc(real.real_distances[a], real.real_distances[b])
        band += [auc, 1 - auc]  # either half may stand for the samples
    row: Row = {name: float(np.mean([r[name] for r in rows])) for name in rows[0]}
    return row | real.constant(real.heldout) | {"memorisation_low": min(band), "memorisation_high": max(band)}


def impostors(train: Clips, n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Five ways to cheat, each n uint8 clips, from training clips alone.

    shuffled and still: real clips whose frames are in another order, or all the same. pca_gaussian: a Gaussian in the
    principal components of whole clips. collapsed: ten clips, repeated. memoriser: clips as they are.
    """
    clips = train["image"]
    order = np.resize(np.random.default_rng(seed).permutation(len(clips)), n)
    components = pca(stack_frames(clips), seed=seed).sample(n, seed)
    _, length, height, width, channels = clips.shape
    gaussian = components.reshape(n, height, width, length, channels).transpose(0, 3, 1, 2, 4)
    return {
        "shuffled": shuffled(clips[order], seed),
        "still": still(clips[order], seed),
        "pca_gaussian": np.ascontiguousarray(gaussian),
        "collapsed": clips[np.resize(order[:10], n)],
        "memoriser": clips[order],
    }


def _labels(clips: Clips) -> np.ndarray:
    return clips["label"] if "label" in clips else np.zeros(len(clips["image"]), np.int32)
