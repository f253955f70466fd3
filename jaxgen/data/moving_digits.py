"""Clips of handwritten digits that move by the rule of Moving MNIST (Srivastava et al. 2015), with the paths known.

Made from the embedded set mnist_5k, so nothing is downloaded. As there, a digit starts anywhere, in any direction,
keeps its speed and is reflected by the borders of a black canvas. Unlike there: one digit a clip, not two, on a canvas
of any size, of which it takes half the height (28 of 64 pixels there); speeds differ from clip to clip; and positions
are no whole pixels, so that motion is smooth and every path is exact.
"""

import numpy as np

from jaxgen.data import embedded
from jaxgen.data.frames import check_clip_shape, check_split
from jaxgen.data.order import permutation
from jaxgen.data.transforms import fit_all
from jaxgen.errors import UserError

NAME = "moving_digits"
SPEEDS = (1 / 32, 3 / 32)
"""Slowest and fastest, in canvas heights a frame: 1 to 3 pixels where the height is 32."""
REPEATS = {"train": 2, "test": 1}
"""Clips of each digit: 8,000 to train on, 1,000 held out."""

_CHUNK = 256  # clips rendered at once: the weights of 256 x 12 frames of 32 pixels take 6 MB
_KEYS = {"train": 0, "test": 1}


def clips(
    shape: tuple[int, ...], split: str, data_dir: str = "", seed: int = 0, digits: int = 1
) -> dict[str, np.ndarray]:
    """{"image": uint8 [N, T, H, W, 1], "label": int32 [N], "path": float32 [N, T, 2]}; (T, H, W, 1) is `shape`.

    `path` is where the digit's centre is, (row, column) in pixels, pixel (0, 0) having its centre at (0, 0). Digits of
    the training split of mnist_5k are in training clips only. With several `digits` a clip, which pass over each other,
    the brighter pixel being seen, `label` is [N, digits] and `path` [N, T, digits, 2]. "validation" is the same as
    "test". All chance comes from `seed`. Raises `UserError` for another shape, split or number of digits.
    """
    shape = check_clip_shape(shape)
    check_split(split)
    split = "train" if split == "train" else "test"
    data = embedded.read("mnist_5k", (28, 28, 1), split, data_dir)
    rows = np.tile(np.arange(len(data["label"])), REPEATS[split])
    moved = move(data["image"][rows], shape, seed=2 * seed + _KEYS[split], digits=digits)
    return {"image": moved["image"], "label": data["label"][rows][moved["digit"]], "path": moved["path"]}


def move(
    images: np.ndarray,
    shape: tuple[int, ...],
    seed: int = 0,
    digits: int = 1,
    speeds: tuple[float, float] = SPEEDS,
) -> dict[str, np.ndarray]:
    """One clip of each of uint8 `images` [N, h, w, 1], scaled to a square of half the canvas's height.

    {"image": uint8 [N, T, H, W, 1], "path": float32 [N, T, 2], "digit": int32 [N]}: `digit` says which of the images
    clip i shows, i itself; with several `digits` a clip it is [N, digits], the others chosen by `seed`, and `path` is
    [N, T, digits, 2]. `speeds` are the slowest and the fastest, between which they are spread evenly, in canvas heights
    a frame. Raises `UserError` for a shape without room for a digit, or with 3 channels.
    """
    length, height, width, channels = check_clip_shape(shape)
    side = round(height / 2)
    if channels != 1 or side < 1 or side > width:
        raise UserError(
            f"Moving digits are grey, and half as wide as their clips are high; {tuple(shape)} does not hold them. "
            "Choose a shape such as (12, 32, 32, 1)."
        )
    if digits < 1:
        raise UserError(f"A clip needs a digit or more, not {digits}.")
    scaled = fit_all(images, (side, side, 1))[..., 0]
    n = len(images)
    others = [permutation(n, (seed, 2**32 + d)) for d in range(1, digits)]
    digit = np.stack([np.arange(n, dtype=np.int32), *others], axis=1)
    corners = np.stack([_corners(n, length, height, width, side, speeds, (seed, d)) for d in range(digits)], axis=2)
    image = np.zeros((n, length, height, width), np.uint8)
    for start in range(0, n, _CHUNK):
        part = slice(start, start + _CHUNK)
        for d in range(digits):
            drawn = _draw(scaled[digit[part, d]], corners[part, :, d], height, width)
            np.maximum(image[part], drawn, out=image[part])
    path = (corners + (side - 1) / 2).astype(np.float32)
    if digits == 1:
        digit, path = digit[:, 0], path[:, :, 0]
    return {"image": image[..., None], "path": path, "digit": digit}


def _corners(
    n: int, length: int, height: int, width: int, side: int, speeds: tuple[float, float], key: tuple[int, int]
) -> np.ndarray:
    """float64 [n, length, 2]: where the upper left corners of squares of `side` are, (row, column)."""
    at_row, at_column, direction, fast = _uniform(4 * n, key).reshape(4, n)
    room = np.array([height - side, width - side], np.float64)
    start = np.stack([at_row, at_column], axis=1) * room
    speed = (speeds[0] + (speeds[1] - speeds[0]) * fast) * height
    angle = 2 * np.pi * direction
    velocity = speed[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    free = start[:, None] + np.arange(length)[None, :, None] * velocity[:, None]
    # A path between two mirrors is a free one folded up: there and back is one period.
    there = np.mod(free, np.maximum(2 * room, 1e-9)[None, None])
    return np.minimum(there, 2 * room[None, None] - there).clip(0)


def _draw(squares: np.ndarray, corners: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 [n, T, height, width]: `squares` [n, s, s] at `corners` [n, T, 2], interpolated linearly."""
    side = squares.shape[1]
    down = _hat(corners[..., 0], height, side)
    right = _hat(corners[..., 1], width, side)
    drawn = down @ squares[:, None].astype(np.float32) @ right.swapaxes(2, 3)
    return np.rint(drawn).clip(0, 255).astype(np.uint8)


def _hat(corner: np.ndarray, size: int, side: int) -> np.ndarray:
    """float32 [n, T, size, side]: the share of each of `side` pixels from `corner` [n, T] on in each of `size`."""
    apart = np.arange(size)[:, None] - np.arange(side)
    return np.maximum(0, 1 - np.abs(apart - corner[..., None, None])).astype(np.float32)


def _uniform(n: int, key: tuple[int, int]) -> np.ndarray:
    """float64 [n] in [0, 1). The raw output of Philox, which NumPy promises never to change; see `permutation`."""
    words = np.array(key, dtype=object) % 2**64
    raw = np.random.Philox(key=words.astype(np.uint64)).random_raw(n)
    return (raw >> np.uint64(11)) * 2.0**-53
