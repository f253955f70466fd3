"""How clips move: where things are, how fast, how steadily, and whether they stay what they are.

And the ways to spoil a real clip that any measure of motion has to notice: its frames shuffled, or one repeated.
"""

import numpy as np

from jaxgen.errors import UserError
from jaxgen.metrics.histogram import total_variation

EMPTY = 8
"""A pixel is part of a thing where it is brighter than this, of 255: a network's black is seldom 0."""

SPEED_EDGES = (0.5 / 32, 1 / 32, 1.5 / 32, 2 / 32, 2.5 / 32, 3 / 32, 3.5 / 32)
"""Where the bins of `speed_histogram` meet, in clip heights a frame; `moving_digits` are between the 2nd and 6th."""


def check_clips(clips: np.ndarray, name: str = "clips", least: int = 1) -> np.ndarray:
    """`clips` [N, T, H, W, C] uint8, T >= `least`. Raises `UserError` otherwise."""
    clips = np.asarray(clips)
    if clips.dtype != np.uint8 or clips.ndim != 5 or 0 in clips.shape:
        raise UserError(f"{name} is {clips.dtype} {clips.shape}; pass uint8 clips as [N, T, H, W, C], 0 to 255.")
    if clips.shape[1] < least:
        raise UserError(f"{name} has clips of {clips.shape[1]} frames; this needs at least {least}.")
    return clips


def centroids(clips: np.ndarray) -> np.ndarray:
    """float64 [N, T, 2]: the centre (row, column) of each frame of uint8 `clips` [N, T, H, W, C], in pixels.

    Weighted by brightness, the mean of the channels, where that is above `EMPTY`. NaN for a frame without such a pixel.
    """
    clips = check_clips(clips)
    out = np.empty((*clips.shape[:2], 2))
    for i in range(0, len(clips), 512):  # as float32 512 clips of 12 x 32 x 32 are 25 MB
        weight = clips[i : i + 512].mean(-1, dtype=np.float32)
        weight[weight <= EMPTY] = 0
        total = weight.sum((2, 3), dtype=np.float64)
        with np.errstate(invalid="ignore"):
            for axis in (0, 1):
                along = weight.sum(3 - axis, dtype=np.float64)
                out[i : i + 512, :, axis] = along @ np.arange(along.shape[2]) / total
    return out


def speeds(clips: np.ndarray) -> np.ndarray:
    """float64 [N]: how far the centre of uint8 `clips` [N, T, H, W, C] moves a frame, in pixels; NaN if unknown.

    The median of each axis's displacements, without their signs, as the two sides of a right angle: a reflection at a
    border, which shortens one displacement along one axis and turns the sign, changes neither.
    """
    return np.hypot(*_pace(check_clips(clips, least=2)).T)


def steadiness(clips: np.ndarray, tolerance: float = 0.5) -> np.ndarray:
    """float64 [N]: the share of steps whose displacement along both axes is, but for the sign, the clip's usual one.

    Usual is the median, as in `speeds`; `tolerance` is in pixels where clips are 32 high, and in proportion elsewhere.
    Straight motion at constant speed has 1, less its reflections: one or two of 11 steps. NaN where it is unknown.
    """
    clips = check_clips(clips, least=2)
    steps = np.abs(np.diff(centroids(clips), axis=1))
    apart = np.abs(steps - _pace(clips)[:, None]).max(2)
    usual = (apart <= tolerance * clips.shape[2] / 32).astype(np.float64)
    return np.where(np.isnan(apart).all(1), np.nan, usual.mean(1))


def speed_histogram(speed: np.ndarray, height: int, edges: tuple[float, ...] = SPEED_EDGES) -> np.ndarray:
    """[len(edges) + 2]: the share of `speed` [N] below, between and above `edges`, and last of those that are NaN.

    `speed` is in pixels a frame, `edges` in clip heights a frame. Raises `UserError` where there is none.
    """
    speed = np.asarray(speed, np.float64)
    if speed.ndim != 1 or not len(speed):
        raise UserError(f"speeds have shape {speed.shape}; pass one of each of one clip or more.")
    known = speed[~np.isnan(speed)]
    bins = np.searchsorted(np.array(edges) * height, known, side="right")
    counts = np.bincount(bins, minlength=len(edges) + 1)
    return np.append(counts, len(speed) - len(known)) / len(speed)


def speed_histogram_tv(a: np.ndarray, b: np.ndarray, height: int, edges: tuple[float, ...] = SPEED_EDGES) -> float:
    """Total variation distance, 0 to 1, of the `speed_histogram`s of two sets of speeds [N] and [M]."""
    return total_variation(speed_histogram(a, height, edges), speed_histogram(b, height, edges))


def motion_energy(clips: np.ndarray) -> np.ndarray:
    """float64 [N]: the mean absolute difference of neighbouring frames of uint8 `clips` [N, T, H, W, C], 0 to 255."""
    clips = check_clips(clips, least=2)
    return np.stack([np.abs(np.diff(clip.astype(np.int16), axis=0)).mean() for clip in clips])


def identity_constant(probabilities: np.ndarray, confidence: float = 0.0) -> float:
    """The share of clips every frame of which is given to one class, from `probabilities` [N, T, K] of their frames.

    A frame whose class has less than `confidence` counts neither way; a clip with fewer than half of its frames left is
    none of constant identity. Raises `UserError` for another shape.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 3 or 0 in probabilities.shape:
        raise UserError(f"probabilities has shape {probabilities.shape}; pass [clips, frames, classes].")
    chosen, sure = probabilities.argmax(2), probabilities.max(2) >= confidence
    counted = (sure[..., None] & (chosen[..., None] == np.arange(probabilities.shape[2]))).sum(1)
    enough = 2 * sure.sum(1) >= sure.shape[1]
    return float((((counted > 0).sum(1) == 1) & enough).mean())


def stack_frames(clips: np.ndarray) -> np.ndarray:
    """uint8 clips [N, T, H, W, C] -> images [N, H, W, T C], the frames of each one after another in its channels."""
    n, length, height, width, channels = check_clips(clips).shape
    return clips.transpose(0, 2, 3, 1, 4).reshape(n, height, width, length * channels)


def shuffled(clips: np.ndarray, seed: int = 0) -> np.ndarray:
    """uint8 `clips` [N, T, H, W, C], each with its frames in an order of its own, neither the old one nor its reverse.

    Raises `UserError` for clips of fewer than three frames, which have no other order.
    """
    n, length = check_clips(clips, least=3).shape[:2]
    rng = np.random.default_rng(seed)
    order, old = np.empty((n, length), int), np.arange(length)
    again = np.arange(n)
    while len(again):
        order[again] = rng.permuted(np.tile(old, (len(again), 1)), axis=1)
        again = again[(order[again] == old).all(1) | (order[again] == old[::-1]).all(1)]
    return clips[np.arange(n)[:, None], order]


def still(clips: np.ndarray, seed: int = 0) -> np.ndarray:
    """uint8 `clips` [N, T, H, W, C], each showing one of its frames, chosen by chance, all the time."""
    n, length = check_clips(clips).shape[:2]
    chosen = np.random.default_rng(seed).integers(0, length, n)
    return np.repeat(clips[np.arange(n), chosen][:, None], length, axis=1)


def centred(clips: np.ndarray, side: int) -> np.ndarray:
    """uint8 [N, T, side, side, C]: of each frame of `clips` [N, T, H, W, C] the square around its centre.

    The centre of `centroids` is brought within half a pixel of the square's middle; beyond the borders it is black, as
    is the square of an empty frame. What a thing is can be told from it wherever it is.
    """
    clips = check_clips(clips)
    n, length = clips.shape[:2]
    centre = centroids(clips)
    empty = np.isnan(centre)
    padded = np.pad(clips, ((0, 0), (0, 0), (side, side), (side, side), (0, 0)))
    corner = np.rint(np.where(empty, 0, centre) - (side - 1) / 2).astype(int) + side
    rows = corner[..., 0, None, None] + np.arange(side)[:, None]
    columns = corner[..., 1, None, None] + np.arange(side)
    found = padded[np.arange(n)[:, None, None, None], np.arange(length)[:, None, None], rows, columns]
    found[empty.any(2)] = 0
    return found


def _pace(clips: np.ndarray) -> np.ndarray:
    """[N, 2]: the median of each axis's displacements a frame, without their signs; NaN where fewer than two are known.

    A frame that is empty makes two displacements unknown.
    """
    steps = np.abs(np.diff(centroids(clips), axis=1))
    unknown = np.isnan(steps).any(2)
    out = np.full((len(clips), 2), np.nan)
    some = (~unknown).sum(1) >= min(2, steps.shape[1])
    out[some] = np.nanmedian(steps[some], axis=1)
    return out
