"""The embedded set `photo_patches`: 64x64 colour patches of seven photographs.

They come with the packages scikit-image and scikit-learn; nothing is downloaded.
"""

import io

import numpy as np
from PIL import Image

from jaxgen.data import packaged

CLASSES = ("astronaut", "rocket", "motorcycle", "china", "flower", "chelsea", "coffee")
"""The photographs, in the order of their labels."""

SIDE = 64
STRIDE = 32

_PICTURES = (
    ("scikit-image", "data/astronaut.png", "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"),
    ("scikit-image", "data/rocket.jpg", "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"),
    ("scikit-image", "data/motorcycle_left.png", "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179"),
    ("scikit-learn", "datasets/images/china.jpg", "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29"),
    ("scikit-learn", "datasets/images/flower.jpg", "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638"),
    ("scikit-image", "data/chelsea.png", "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"),
    ("scikit-image", "data/coffee.png", "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"),
)
_HELD_OUT = 5  # this picture and those after it
_FLAT = 5  # grey levels of standard deviation, the mean over the channels; the next emptiest show something


def read(split: str) -> dict[str, np.ndarray]:
    """{"image": uint8 [N, 64, 64, 3], "label": int32 [N]}, labels as in `CLASSES`; picture by picture, row by row.

    Whole pictures are held out, so that results hold for photographs never seen:

    - "train" are patches of the first five without the last fifth of their columns, on a grid of stride 32: they
      overlap. 833 of them: 164, 120, 237, 145 and 167.
    - "validation" are patches of that last fifth, without overlap: they share no pixel with the training patches, but
      show the same pictures. 54 of them: 8, 12, 14, 8 and 12.
    - "test" are patches of the last two pictures, without overlap: 80, of which 28 show the cat.

    Left out are nearly constant patches, of a standard deviation below 5 grey levels: 110, 4 and 2 of the three splits.
    They show empty sky (95 of the training patches) or blurred background and are nearly all alike. Without the rule a
    third of the rocket's patches would be dark blue squares.

    Raises `UserError` as `packaged.file` does.
    """
    images, labels = [], []
    for label, (package, path, sha256) in enumerate(_PICTURES):
        if (split == "test") != (label >= _HELD_OUT):
            continue
        content = packaged.file(package, path, sha256, "photo_patches")
        picture = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        if split != "test":
            train, validation = divide(picture)
            picture = train if split == "train" else validation
        found = patches(picture, STRIDE if split == "train" else SIDE)
        images.append(found[found.std((1, 2)).mean(1) >= _FLAT])
        labels.append(np.full(len(images[-1]), label, np.int32))
    return {"image": np.concatenate(images), "label": np.concatenate(labels)}


def divide(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[H, W, ...] -> its left part, to train on, and the last fifth of its columns, rounded down, which is held out."""
    held_out = picture.shape[1] // 5
    return picture[:, :-held_out], picture[:, -held_out:]


def patches(picture: np.ndarray, stride: int) -> np.ndarray:
    """[H, W, C] -> [N, 64, 64, C], row by row; what is left at the right and at the bottom is dropped."""
    windows = np.lib.stride_tricks.sliding_window_view(picture, (SIDE, SIDE), (0, 1))[::stride, ::stride]
    return np.moveaxis(windows, 2, -1).reshape(-1, SIDE, SIDE, picture.shape[2])
