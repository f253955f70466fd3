"""From the name of a data set, a folder or a file to arrays of clips."""

from pathlib import Path

import numpy as np

from jaxgen.data import moving_digits, sprite_clips, tfds, tfds_clips, video_files
from jaxgen.data.frames import check_clip_shape, check_split
from jaxgen.errors import UserError

_WAYS = (
    f"Give {moving_digits.NAME}, a folder of videos ({', '.join(video_files.SUFFIXES)}), a folder or .zip of "
    f"sprite-sheet layers ({', '.join(sprite_clips.ATTRIBUTES)}), or a prepared TFDS set such as moving_mnist"
)


def load(data: str, shape: tuple[int, ...], split: str, data_dir: str = "") -> dict[str, np.ndarray]:
    """{"image": uint8 [N, T, H, W, C], and "label": int32 [N] where the data have classes}; (T, H, W, C) is `shape`.

    `data` is `moving_digits` (`moving_digits.clips`, with `path` as well), a folder or a .zip of sprite-sheet layers
    (`sprite_clips.read`, with `character` as well), a folder of videos (`video_files.read`), or a TFDS set that is
    prepared, by its directory or by name (`tfds_clips.read`). The order of the clips is fixed, "train" and "test" never
    share a digit, a character or a video, and "validation" is the same as "test" unless the data have it. `data_dir` is
    as in `cache.cache_dir`. Raises `UserError`.
    """
    target = check_clip_shape(shape)
    check_split(split)
    if not data:
        raise UserError(f"No data given. {_WAYS}.")
    if data == moving_digits.NAME:
        return moving_digits.clips(target, split, data_dir)
    path = Path(data).expanduser()
    if path.exists() and sprite_clips.is_source(path):
        return sprite_clips.read(path, target, split)
    if path.is_dir():
        prepared = (path / "features.json").is_file() and (path / "dataset_info.json").is_file()
        return (tfds_clips if prepared else video_files).read(path, target, split)
    if path.suffix.lower() in video_files.SUFFIXES and path.is_file():
        raise UserError(f"{data} is one video; put it into a folder with others and give that.")
    if path.is_file():
        raise UserError(f"{data} is a file, but no .zip of sprite-sheet layers. {_WAYS}.")
    if found := tfds.find(data, data_dir):
        return tfds_clips.read(found, target, split)
    if (parsed := tfds.parse(data)) and parsed[0] in tfds.names():
        looked = " or ".join(str(root / parsed[0]) for root in tfds.roots(data_dir))
        raise UserError(
            f"The TFDS set {data!r} is not prepared (looked in {looked}). To prepare videos takes TensorFlow: where it "
            'is installed, use TFDS\'s download_and_prepare(file_format="array_record"), and copy the folder here.'
        )
    raise UserError(f"There is no data set named {data!r}, nor is {path.absolute()} a folder or a .zip. {_WAYS}.")
