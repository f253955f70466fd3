"""What a clip is: its shape, and how a video of any length and size is cut into clips."""

from collections.abc import Sequence

import numpy as np

from jaxgen.errors import UserError

ClipShape = tuple[int, int, int, int]
"""(frames, height, width, channels)."""

SPLITS = ("train", "validation", "test")


def check_clip_shape(shape: tuple[int, ...]) -> ClipShape:
    """`shape` as (frames, height, width, channels). Raises `UserError` unless it is that: 2 frames, 1 or 3 channels."""
    if len(shape) != 4 or min(shape) < 1 or shape[0] < 2 or shape[3] not in (1, 3):
        raise UserError(
            "The shape of a clip is (frames, height, width, channels), with two frames or more and 1 channel for grey "
            f"or 3 for colour; got {tuple(shape)}."
        )
    return shape[0], shape[1], shape[2], shape[3]


def check_split(split: str) -> None:
    """Raises `UserError` unless `split` is one of `SPLITS`."""
    if split not in SPLITS:
        raise UserError(f"There is no split {split!r}; choose from {', '.join(SPLITS)}.")


def windows(frames: Sequence[np.ndarray] | np.ndarray, length: int, split: str) -> np.ndarray:
    """Clips [N, `length`, ...] of consecutive `frames` [F, ...], F >= `length`; a rest at the end is dropped.

    Clips for training begin every half a clip, so that they overlap; held-out ones follow each other.
    """
    hop = max(1, length // 2) if split == "train" else length
    frames = np.asarray(frames)
    return np.stack([frames[start : start + length] for start in range(0, len(frames) - length + 1, hop)])
