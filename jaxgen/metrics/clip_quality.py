"""Frozen networks that look at clips: one at what happens in them, one at what each frame shows."""

from pathlib import Path

import numpy as np

from jaxgen.errors import UserError
from jaxgen.metrics.classifier import Classifier, classifier
from jaxgen.metrics.frechet import frechet_distance
from jaxgen.metrics.inputs import check_labels
from jaxgen.metrics.motion import check_clips, shuffled, stack_frames, still

KINDS = ("real", "shuffled", "still")
"""A clip as it is, its frames in another order, one of its frames repeated."""

PER_CLIP = 4
"""Frames of each clip that `frame_classifier` learns from."""


def spoiled(clips: np.ndarray, label: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images [3 N, H, W, T C], the `stack_frames` of all `KINDS`, kind by kind, and their labels: 3 class + kind.

    `clips` is uint8 [N, T, H, W, C], T >= 3, `label` [N] of integers from 0; raises `UserError` otherwise.
    """
    n, length, height, width, channels = check_clips(clips, least=3).shape
    label = check_labels(label, n, "label")
    out = np.empty((len(KINDS), n, height, width, length * channels), np.uint8)
    out[0] = stack_frames(clips)
    out[1] = stack_frames(shuffled(clips, seed))  # one at a time: 8,000 clips of 12 x 32 x 32 are 98 MB
    out[2] = stack_frames(still(clips, seed))
    return out.reshape(-1, *out.shape[2:]), np.concatenate([len(KINDS) * label + kind for kind in range(len(KINDS))])


def extractor(
    clips: np.ndarray,
    label: np.ndarray,
    heldout_clips: np.ndarray,
    heldout_label: np.ndarray,
    cache_dir: Path | None,
    seed: int = 0,
    steps: int = 2000,
) -> Classifier:
    """The frozen network in whose features clips are compared: trained to tell the class and the kind, one of `KINDS`.

    So its features know what is seen and in what order. `classifier` does it, the frames stacked as channels; with its
    arguments, and errors, for uint8 clips [N, T, H, W, C]. Its `heldout_accuracy` is that of 3 K classes.
    """
    train, train_label = spoiled(clips, label, seed)
    test, test_label = spoiled(heldout_clips, heldout_label, seed + 1)
    return classifier(train, train_label, test, test_label, cache_dir, seed, steps)


def clip_features(network: Classifier, clips: np.ndarray) -> np.ndarray:
    """float32 [N, 128]: the features of uint8 `clips` [N, T, H, W, C] in the network of `extractor`."""
    return network.features(stack_frames(clips))


def clip_frechet(network: Classifier, real: np.ndarray, fake: np.ndarray) -> float:
    """Fréchet distance of two sets of uint8 clips [N, T, H, W, C] in the features of `extractor`'s network.

    It is no FVD, which has a network of its own. Compare sets of one size (`frechet_distance` says why).
    """
    return frechet_distance(clip_features(network, real), clip_features(network, fake))


def kind_shares(network: Classifier, clips: np.ndarray) -> dict[str, float]:
    """The share of uint8 `clips` [N, T, H, W, C] that `extractor`'s network takes for each of `KINDS`, of any class."""
    kind = network.probabilities(stack_frames(clips)).argmax(1) % len(KINDS)
    return {name: float((kind == i).mean()) for i, name in enumerate(KINDS)}


def frame_classifier(
    clips: np.ndarray,
    label: np.ndarray,
    heldout_clips: np.ndarray,
    heldout_label: np.ndarray,
    cache_dir: Path | None,
    seed: int = 0,
    steps: int = 4000,
    per_clip: int = PER_CLIP,
) -> Classifier:
    """The classifier of single frames, trained on `per_clip` different ones of each clip, or its copy in `cache_dir`.

    `clips` is uint8 [N, T, H, W, C], `label` [N] of integers from 0, which all frames of a clip have; its
    `heldout_accuracy` is that of all held-out frames. Where things move through the frame, pass `motion.centred` clips,
    or it has to learn what they look like at every place. Raises as `classifier` does.
    """
    clips, heldout_clips = check_clips(clips), check_clips(heldout_clips, "heldout_clips")
    n, length = clips.shape[:2]
    if per_clip < 1:
        raise UserError(f"A classifier of frames needs one frame of each clip or more, not {per_clip}.")
    order = np.random.default_rng(seed).permuted(np.tile(np.arange(length), (n, 1)), axis=1)[:, :per_clip]
    frames = clips[np.arange(n)[:, None], order].reshape(-1, *clips.shape[2:])
    heldout = heldout_clips.reshape(-1, *heldout_clips.shape[2:])
    label = check_labels(label, n, "label").repeat(order.shape[1])
    heldout_label = check_labels(heldout_label, len(heldout_clips), "heldout_label").repeat(heldout_clips.shape[1])
    return classifier(frames, label, heldout, heldout_label, cache_dir, seed, steps)


def frame_probabilities(network: Classifier, clips: np.ndarray) -> np.ndarray:
    """float32 [N, T, K]: what `frame_classifier`'s network takes each frame of uint8 clips [N, T, H, W, C] for."""
    n, length = check_clips(clips).shape[:2]
    return network.probabilities(clips.reshape(n * length, *clips.shape[2:])).reshape(n, length, -1)
