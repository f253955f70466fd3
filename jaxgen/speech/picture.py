"""Log-mel spectrograms as pictures: low frequencies at the bottom, time to the right, loud is bright."""

from collections.abc import Sequence

import numpy as np

from jaxgen.errors import UserError

GAP = 8
"""Pixels between pictures that stand side by side or above one another."""

# From quiet to loud, of evenly growing lightness (CIE L* 3, 14, ..., 96), so that equal steps look equal.
_ANCHORS = np.array(
    [
        *((8, 8, 22), (36, 24, 78), (84, 28, 114), (140, 42, 116), (196, 62, 96)),
        *((236, 104, 68), (250, 162, 74), (252, 214, 124), (254, 248, 214)),
    ],
    np.float64,
)


def spectrogram(log_mel: np.ndarray, scale: int = 3) -> np.ndarray:
    """float [F, M], -1 (quiet) to 1 (loud) -> a picture uint8 [scale M, scale F, 3]; what lies outside is cut off.

    Raises `UserError` for another shape, none of a size, or a `scale` below 1.
    """
    log_mel = np.asarray(log_mel, np.float64)
    if log_mel.ndim != 2 or not log_mel.size or scale < 1:
        raise UserError(f"A spectrogram is [frames, bands], scaled by 1 or more; not {log_mel.shape} by {scale}.")
    place = (np.clip(np.nan_to_num(log_mel, nan=-1), -1, 1) + 1) / 2
    knots = np.linspace(0, 1, len(_ANCHORS))
    colours = np.stack([np.interp(place, knots, _ANCHORS[:, i]) for i in range(3)], axis=-1)
    picture = np.rint(colours).astype(np.uint8).transpose(1, 0, 2)[::-1]
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def rows(pictures: Sequence[Sequence[np.ndarray]], gap: int = GAP) -> np.ndarray:
    """Rows of pictures uint8 [H, W, 3] -> one picture of them all, white between and beside them.

    The pictures of a row stand at its top, each as far from the left as the widest ones of the rows ask for. Raises
    `UserError` where there are none.
    """
    if not any(len(row) for row in pictures):
        raise UserError("There are no spectrograms to show.")
    columns = max(len(row) for row in pictures)
    heights = [max((len(picture) for picture in row), default=0) for row in pictures]
    widths = [max((row[i].shape[1] for row in pictures if i < len(row)), default=0) for i in range(columns)]
    height, width = sum(heights) + gap * (len(heights) - 1), sum(widths) + gap * (columns - 1)
    sheet = np.full((height, width, 3), 255, np.uint8)
    top = 0
    for row, high in zip(pictures, heights, strict=True):
        left = 0
        for picture, wide in zip(row, widths, strict=False):
            sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
            left += wide + gap
        top += high + gap
    return sheet
