"""Clips from prepared TFDS sets of videos, read without TensorFlow.

TFDS stores a video as a sequence of pictures, but its feature class `Video` needs TensorFlow even to be named. So the
set is opened by a copy of its description in which videos are called what they are: sequences of images.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.data import tfds
from jaxgen.data.frames import ClipShape
from jaxgen.data.transforms import fit
from jaxgen.errors import UserError

_FEATURES = "tensorflow_datasets.core.features."


def read(directory: Path, shape: ClipShape, split: str) -> dict[str, np.ndarray]:
    """{"image": uint8 [N, *shape], and "label": int32 [N] where there are labels}, in the set's order.

    The feature `video`, else the first that is a sequence of pictures; of each video the first T frames, each brought
    to `shape` by `transforms.fit`. Labels and splits are as in `tfds.read`, but of a set with a single split a tenth is
    held out, whatever its name. Raises `UserError` for a set without videos and a video shorter than a clip, and
    `tfds.UnreadableError` as `tfds.read` does.
    """
    with tfds.quiet(), tempfile.TemporaryDirectory() as described:
        _describe(directory, Path(described))
        features, source, rows = tfds.opened(directory, split, Path(described))
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


def _describe(directory: Path, copy: Path) -> None:
    """Fills the folder `copy` with links to the files of a set, and with a features.json that names no `Video`."""
    name = "features.json"
    try:
        (copy / name).write_text(json.dumps(_plain(json.loads((directory / name).read_text(encoding="utf-8")))))
        for file in directory.iterdir():
            if file.name != name:
                (copy / file.name).symlink_to(file.absolute())
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise tfds.UnreadableError(
            f"Cannot read the data set in {directory} ({str(error).strip() or type(error).__name__}). "
            "Remove that directory and prepare the set again."
        ) from error


def _plain(tree: Any) -> Any:
    """The parsed features.json with each `Video` [T, H, W, C] as a `Sequence`, T long, of `Image`s [H, W, C]."""
    if isinstance(tree, list):
        return [_plain(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if tree.get("pythonClassName") != f"{_FEATURES}video_feature.Video":
        return {key: _plain(value) for key, value in tree.items()}
    video = tree["video"]
    length, *frame = video["shape"]["dimensions"]
    image = {"shape": {"dimensions": frame}, "dtype": video.get("dtype", "uint8")}
    image |= {"encodingFormat": video["encodingFormat"]} if "encodingFormat" in video else {}
    feature = {"pythonClassName": f"{_FEATURES}image_feature.Image", "image": image}
    sequence = {"feature": feature, "length": length}
    return {"pythonClassName": f"{_FEATURES}sequence_feature.Sequence", "sequence": sequence}


def _video_feature(features: dict[str, Any], directory: Path) -> str:
    videos = [name for name, feature in features.items() if len(getattr(feature, "shape", None) or ()) == 4]
    if not videos:
        raise UserError(f"{directory} has no videos, only {', '.join(sorted(features))}; choose a set of videos.")
    return "video" if "video" in videos else videos[0]
