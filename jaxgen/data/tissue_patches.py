"""The embedded set `tissue_patches`: 32x32 colour patches of two medical pictures.

They come with the package scikit-image: `retina.jpg`, a photograph of the back of an eye, and `ihc.png`, colon tissue
under the microscope with a brown immunohistochemical stain. Nothing is downloaded. Two pictures are two patients: a
generator is tried out on them, no more.
"""

import io

import numpy as np
from PIL import Image

from jaxgen.data import scikit_image

CLASSES = ("retina", "stained tissue")

_PICTURES = (
    ("retina.jpg", "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6"),
    ("ihc.png", "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef"),
)
_SIDE = 32
_DARK = 40  # a pixel whose channels all lie below it shows the darkness around the eye
_TISSUE = 0.5  # the least share of other pixels


def read(split: str) -> dict[str, np.ndarray]:
    """{"image": uint8 [N, 32, 32, 3], "label": int32 [N]}, labels as in `CLASSES`; picture by picture, row by row.

    The patches lie on a grid without overlap: 44x44 of the retina, 16x16 of the tissue. Left out are the 444 of the
    retina that show darkness, not eye, on more than half of their area: they are nearly all alike, so a generator would
    be rewarded for black squares, and a class for being easy. Held out is a region, as neighbours resemble each other:
    the last fifth of each grid's columns, rounded down, 8 and 3. That gives 1,517 patches to train on (1,309 and 208),
    231 to test on (183 and 48).

    Raises `UserError` as `scikit_image.file` does.
    """
    images, labels = [], []
    for label, (name, sha256) in enumerate(_PICTURES):
        content = scikit_image.file(name, sha256, "tissue_patches")
        patches = _grid(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
        columns = patches.shape[1]
        first_held_out = columns - columns // 5
        patches = patches[:, first_held_out:] if split == "test" else patches[:, :first_held_out]
        patches = patches.reshape(-1, _SIDE, _SIDE, 3)
        images.append(patches[(patches.max(3) >= _DARK).mean((1, 2)) >= _TISSUE])
        labels.append(np.full(len(images[-1]), label, np.int32))
    return {"image": np.concatenate(images), "label": np.concatenate(labels)}


def _grid(picture: np.ndarray) -> np.ndarray:
    """[H, W, 3] -> [H // 32, W // 32, 32, 32, 3]; what is left at the right and at the bottom is dropped."""
    rows, columns = picture.shape[0] // _SIDE, picture.shape[1] // _SIDE
    picture = picture[: rows * _SIDE, : columns * _SIDE]
    return picture.reshape(rows, _SIDE, columns, _SIDE, 3).swapaxes(1, 2)
