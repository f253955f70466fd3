"""The embedded set `lfw_faces`: 100 grey 25x25 faces of Labeled Faces in the Wild (Huang et al. 2007).

They come with the package scikit-image, as an array; nothing is downloaded.
"""

import io

import numpy as np

from jaxgen.data import scikit_image
from jaxgen.data.order import permutation

_SHA256 = "9560ec2f5edfac01973f63a8a99d00053fecd11e21877e18038fbe500f8e872c"
_FACES = 100  # the file's other hundred rows are no faces
_TEST = 20


def read(split: str) -> dict[str, np.ndarray]:
    """{"image": uint8 [N, 25, 25, 1]}: 80 faces to train on, 20 held out; in the file's order, without labels.

    Held out are the faces at the first 20 places of `permutation(100, (100, 0))`. The file names no persons, so one may
    be in both. Raises `UserError` as `scikit_image.file` does.
    """
    content = scikit_image.file("lfw_subset.npy", _SHA256, "lfw_faces")
    image = np.load(io.BytesIO(content), allow_pickle=False)[:_FACES, ..., None]  # floats in [0, 1]
    order = permutation(_FACES, (_FACES, 0))
    rows = np.sort(order[:_TEST] if split == "test" else order[_TEST:])
    return {"image": np.rint(image[rows] * 255).astype(np.uint8)}
