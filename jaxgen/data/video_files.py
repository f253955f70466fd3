"""Clips from a folder of videos."""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from jaxgen.clips import library
from jaxgen.data import folder
from jaxgen.data.frames import ClipShape, windows
from jaxgen.data.transforms import fit
from jaxgen.errors import UserError

SUFFIXES = (".gif", ".mp4", ".avi", ".mov", ".webm", ".mkv")


def read(path: Path, shape: ClipShape, split: str) -> dict[str, np.ndarray]:
    """{"image": uint8 [N, *shape], and "label": int32 [N] where there are classes}, in the order of the files' paths.

    Each video gives its clips of consecutive frames (`frames.windows`), whatever its rate. Files are found, divided and
    given classes as `folder.read` does with images: no video is in two splits. Frames are turned as the camera was,
    then brought to the height, width and channels of `shape` by `transforms.fit`. A GIF's frames are drawn over each
    other as it says; how long each is shown is ignored.

    Raises `UserError` for a folder without videos, or with one, which cannot be divided; for a video that cannot be
    read or is shorter than a clip, with its name; and where the package av is needed and missing.
    """
    found = folder.find(path, SUFFIXES)
    if not found:
        raise UserError(f"The folder {path} holds no videos. It needs files that end in {', '.join(SUFFIXES)}.")
    if len(found) == 1:
        raise UserError(f"{path} holds a single video, of which none can be held out; add videos, or cut it in two.")
    root, files, label = folder.choose(path, split, SUFFIXES)
    if not files:
        raise UserError(f"The folder {root} holds no videos, those beside it do; move some of them there.")

    def cut(file: Path) -> np.ndarray:
        return _clips(root / file, shape, split)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the decoders work outside Python's lock
        clips = list(pool.map(cut, files))  # raises the first error, in the files' order
    image = np.concatenate(clips)
    return {"image": image} if label is None else {"image": image, "label": np.repeat(label, [len(c) for c in clips])}


def last_frames(path: Path, shape: ClipShape) -> np.ndarray:
    """uint8 [T, H, W, C], which is `shape`: the last T frames of one video, brought there as `read` does it.

    Raises `UserError` for a video that is missing, cannot be read, or has fewer frames.
    """
    if not path.is_file():
        raise UserError(f"There is no video {path}. Give a file that ends in {', '.join(SUFFIXES)}.")
    latest = deque(_frames(path, shape), maxlen=shape[0])
    if len(latest) < shape[0]:
        count = f"{len(latest)} frame" + ("s" if len(latest) != 1 else "")
        raise UserError(f"{path} has {count}, and {shape[0]} are needed. Give a longer video.")
    return np.stack(latest)


def _frames(file: Path, shape: ClipShape) -> Iterator[np.ndarray]:
    """uint8 [H, W, C] each."""
    return _gif(file, shape) if file.suffix.lower() == ".gif" else _film(file, shape)


def _clips(file: Path, shape: ClipShape, split: str) -> np.ndarray:
    length = shape[0]
    frames = list(_frames(file, shape))
    if len(frames) == 1:
        raise UserError(f"{file} has one frame: it is a picture, not a video. Take it out of the folder.")
    if len(frames) < length:
        raise UserError(
            f"{file} has {len(frames)} frames, fewer than the {length} of a clip. Take it out of the folder, or choose "
            "shorter clips."
        )
    return windows(frames, length, split)


def _gif(file: Path, shape: ClipShape) -> Iterator[np.ndarray]:
    try:
        with Image.open(file) as image:
            for i in range(getattr(image, "n_frames", 1)):
                image.seek(i)
                yield fit(image, shape[1:])
    except Image.DecompressionBombError as error:
        raise UserError(f"{file} is too large to be opened safely ({error}). Shrink it or take it out.") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:  # whatever a decoder may say of a broken file
        raise _unreadable(file, str(error)) from error


def _film(file: Path, shape: ClipShape) -> Iterator[np.ndarray]:
    av = library()
    try:
        with av.open(str(file)) as film:
            if not film.streams.video:
                raise ValueError("it has no pictures")
            for frame in film.decode(video=0):
                picture = frame.to_ndarray(format="rgb24")
                quarters = round(getattr(frame, "rotation", 0) / 90)  # to the left; PyAV 14.0 does not tell
                yield fit(np.rot90(picture, quarters), shape[1:])
    except (av.FFmpegError, OSError, ValueError, EOFError) as error:
        raise _unreadable(file, str(error)) from error


def _unreadable(file: Path, why: str) -> UserError:
    return UserError(f"Cannot read the video {file} ({why}). Repair it, or leave it out.")
