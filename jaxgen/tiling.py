"""Pictures of any size through a network that was made for small ones, tile by tile, without seams."""

from collections.abc import Callable

import numpy as np

from jaxgen.errors import UserError

SIDE = 192
"""Pixels along the side of a tile, its margins included, or a little more."""


def translate(
    picture: np.ndarray,
    network: Callable[[np.ndarray], np.ndarray],
    stride: int,
    reach: int,
    scale: int = 1,
    side: int = SIDE,
) -> np.ndarray:
    """picture [H, W, I] -> [scale H, scale W, O]: what `network`, [1, h, w, I] -> [1, scale h, scale w, O], makes of it

    The network takes heights and widths that are multiples of `stride`, two times or more; the picture is continued by
    reflection to the next ones, and what was added is cut off again. Nothing farther than `reach` pixels away matters
    to what it makes of a pixel: each tile is given with margins of that size, and the tiles together are what it would
    make of the whole. All tiles of a picture have one size, so that a jitted network is compiled once. Raises
    `UserError` for a picture smaller than the stride.
    """
    height, width = picture.shape[:2]
    if min(height, width) < stride:
        raise UserError(
            f"A picture of {width}x{height} pixels is too small: the network needs {stride}x{stride}. Enlarge it."
        )
    more = [(0, max(-n % stride, 2 * stride - n)) for n in (height, width)]
    padded = np.pad(picture, (*more, (0, 0)), mode="symmetric")
    margin = -(-reach // stride) * stride
    # At least a quarter of a tile is kept: with a core of one stride most of the work would be done for margins.
    side = max(-(-side // stride) * stride, 4 * margin, stride)
    rows, columns = (_windows(n, side, margin) for n in padded.shape[:2])
    out = None
    for (top, bottom), (y0, y1) in rows:
        for (left, right), (x0, x1) in columns:
            made = network(padded[None, top:bottom, left:right])[0]
            if out is None:
                out = np.empty((*(scale * n for n in padded.shape[:2]), made.shape[-1]), made.dtype)
            core = made[scale * (y0 - top) : scale * (y1 - top), scale * (x0 - left) : scale * (x1 - left)]
            out[scale * y0 : scale * y1, scale * x0 : scale * x1] = core
    assert out is not None
    return out[: scale * height, : scale * width]


def _windows(n: int, side: int, margin: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """((begin, end) of a window, (begin, end) of what is taken from it), which together make up n."""
    if n <= side:
        return [((0, n), (0, n))]
    out, begin = [], 0
    while begin < n:
        left = min(max(begin - margin, 0), n - side)
        end = n if left + side == n else left + side - margin
        out.append(((left, left + side), (begin, end)))
        begin = end
    return out
