"""Clips from prepared TFDS sets of videos, read without TensorFlow.

TFDS stores a video as a sequence of pictures, but its feature class `Video` needs TensorFlow even to be named. So the
set is opened by a description in which videos are called what they are: sequences of images.
"""

from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.data import tfds, tfds_described
from jaxgen.data.frames import ClipShape
from jaxgen.data.transforms import fit
from jaxgen.errors import UserError


def read(directory: Path, shape: ClipShape, split: str) -> dict[str, np.ndarray]:
    """{"image": uint8 [N, *shape], and "label": int32 [N] where there are labels}, in the set's order.

    The feature `video`, else the first that is a sequence of pictures; of each video the first T frames, each brought
    to `shape` by `transforms.fit`. Labels and splits are as in `tfds.read`, but of a set with a single split a tenth is
    held out, whatever its name. Raises `UserError` for a set without videos and a video shorter than a clip, and
    `tfds.UnreadableError` as `tfds.read` does.
    """
    with tfds.quiet(), tfds_described.described(directory, "video_feature.Video", _plain) as (copy, _):
        features, source, rows = tfds.opened(directory, split, copy)
        name = _video_feature(features, directory)
        labelled = tfds.is_class(features.get("label"))
        image, label = np.empty((len(rows), *shape), np.uint8), np.full(len(rows), -1, np.int32)
        for i, example in tfds.examples(source, rows, directory):
            frames = example[name]
            if len(frames) < shape[0]:
                raise UserError(
                    f"A video of {directory} has {len(frames)} frames, fewer than the {shape[0]} of a clip; "
                    "choose shorter clips."
                )
            for t in range(shape[0]):
                image[i, t] = fit(np.asarray(frames[t]), shape[1:])
            label[i] = example["label"] if labelled else -1
    return {"image": image, "label": label} if labelled and label.min(initial=0) >= 0 else {"image": image}


def _plain(node: tfds_described.Node) -> tfds_described.Node:
    """A `Video` [T, H, W, C] as a `Sequence`, T long, of `Image`s [H, W, C]."""
    video = node["video"]
    length, *frame = video["shape"]["dimensions"]
    image = {"shape": {"dimensions": frame}, "dtype": video.get("dtype", "uint8")}
    image |= {"encodingFormat": video["encodingFormat"]} if "encodingFormat" in video else {}
    feature = {"pythonClassName": f"{tfds_described.FEATURES}image_feature.Image", "image": image}
    sequence = {"feature": feature, "length": length}
    return {"pythonClassName": f"{tfds_described.FEATURES}sequence_feature.Sequence", "sequence": sequence}


def _video_feature(features: dict[str, Any], directory: Path) -> str:
    videos = [name for name, feature in features.items() if len(getattr(feature, "shape", None) or ()) == 4]
    if not videos:
        raise UserError(f"{directory} has no videos, only {', '.join(sorted(features))}; choose a set of videos.")
    return "video" if "video" in videos else videos[0]
