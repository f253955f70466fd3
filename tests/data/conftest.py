"""A cache of one's own for every test here, and small TFDS sets to put in it."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgen.data import embedded, tfds


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache directory of this test, empty at first."""
    monkeypatch.setenv("JAXGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def prepared_mnist_5k(tmp_path_factory):
    """A cache in which mnist_5k is prepared; to be read only."""
    root = tmp_path_factory.mktemp("prepared")
    embedded.read("mnist_5k", (28, 28, 1), "test", str(root))
    return root


def tiny_builder(splits: dict[str, int], png: bool = False, label: str = "class"):
    """A TFDS builder class `tiny`: 4x4 grey images whose pixels are all 10 * row, labelled row % 3.

    `label` is "class", "hidden" (-1, as in secret test sets), "text" or "" for none.
    """
    library = tfds.library()
    features = {"image": library.features.Tensor(shape=(4, 4, 1), dtype=np.uint8, encoding="zlib")}
    if png:
        features["image"] = library.features.Image(shape=(4, 4, 1))
    if label == "text":
        features["label"] = library.features.Text()
    elif label:
        features["label"] = library.features.ClassLabel(num_classes=3)

    class Tiny(library.core.GeneratorBasedBuilder, skip_registration=True):
        name = "tiny"
        VERSION = library.core.Version("1.0.0")

        def _info(self):
            return library.core.DatasetInfo(
                builder=self, features=library.features.FeaturesDict(features), disable_shuffling=True
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(n) for split, n in splits.items()}

        def _generate_examples(self, n):
            for i in range(n):
                image = np.full((4, 4, 1), 10 * i, np.uint8)
                example = {"image": as_png(image) if png else image}
                if label:
                    example["label"] = {"text": f"row {i}", "hidden": -1}.get(label, i % 3)
                yield i, example

    return Tiny


def as_png(image: np.ndarray) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(image[..., 0]).save(file, "PNG")
    file.seek(0)
    return file


@pytest.fixture
def tiny():
    return tiny_builder


@pytest.fixture
def prepare_tiny(cache):
    """`prepare_tiny({"train": 5}, ...)` prepares such a set in the cache and returns its directory."""

    def prepare(splits, **kwargs) -> Path:
        with tfds.quiet():
            tiny_builder(splits, **kwargs)(data_dir=str(cache / "tfds")).download_and_prepare(
                file_format="array_record"
            )
        return cache / "tfds" / "tiny" / "1.0.0"

    return prepare
