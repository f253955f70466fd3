import importlib.util
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgen.data import images, packaged, photos
from jaxgen.errors import UserError

SIZES = {  # width and height
    "astronaut": (512, 512),
    "rocket": (640, 427),
    "motorcycle": (741, 500),
    "china": (640, 427),
    "flower": (640, 427),
    "chelsea": (451, 300),
    "coffee": (600, 400),
}
COUNTS = {
    "train": [164, 120, 237, 145, 167],
    "validation": [8, 12, 14, 8, 12],
    "test": [0, 0, 0, 0, 0, 28, 52],
}


def coordinates(package, path, sha256, data):
    """A PNG of the size of the picture asked for, whose pixel (y, x) holds y and x."""
    name = next(name for name in SIZES if name in path)
    width, height = SIZES[name]
    y, x = np.mgrid[:height, :width]
    file = io.BytesIO()
    picture = np.stack([y % 256, x % 256, 64 * (y // 256) + x // 256], -1).astype(np.uint8)
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def covered(patches, size):
    """How many of the patches of `coordinates` show each pixel, [H, W], and the (y, x) where each begins."""
    count = np.zeros(size[::-1], int)
    y, x, high = np.moveaxis(patches.astype(int), -1, 0)
    y, x = y + 256 * (high // 64), x + 256 * (high % 64)
    np.add.at(count, (y, x), 1)
    return count, set(zip(y[:, 0, 0].tolist(), x[:, 0, 0].tolist(), strict=True))


@pytest.mark.parametrize(("split", "counts"), COUNTS.items())
def test_sizes_and_labels(split, counts):
    data = photos.read(split)
    assert (data["image"].shape, data["image"].dtype) == ((sum(counts), 64, 64, 3), np.uint8)
    assert data["label"].dtype == np.int32
    assert np.bincount(data["label"]).tolist() == counts
    assert (data["image"].std((1, 2)).mean(1) >= 5).all()
    assert (np.diff(data["label"]) >= 0).all()


def test_train_and_validation_share_no_pixel(monkeypatch):
    """On pictures that say where each pixel comes from; none of their patches is flat."""
    monkeypatch.setattr(packaged, "file", coordinates)
    train, validation = photos.read("train"), photos.read("validation")
    assert np.bincount(train["label"]).tolist() == [165, 180, 238, 180, 180]
    assert np.bincount(validation["label"]).tolist() == [8, 12, 14, 12, 12]
    for label in range(5):
        width, height = size = SIZES[photos.CLASSES[label]]
        seen, begins = covered(train["image"][train["label"] == label], size)
        unseen, _ = covered(validation["image"][validation["label"] == label], size)
        rows, columns = range(0, height - 63, 32), range(0, width - width // 5 - 63, 32)
        assert begins == {(y, x) for y in rows for x in columns}
        assert not ((seen > 0) & (unseen > 0)).any()
        assert unseen.max() == 1  # nor do those held out overlap
        assert unseen.any(0).argmax() == width - width // 5


def test_test_patches_are_those_of_two_other_pictures():
    folder = Path(importlib.util.find_spec("skimage").submodule_search_locations[0], "data")
    known = []
    for name in ("chelsea.png", "coffee.png"):
        picture = np.asarray(Image.open(folder / name))
        for y in range(0, picture.shape[0] - 63, 64):
            known += [picture[y : y + 64, x : x + 64] for x in range(0, picture.shape[1] - 63, 64)]
    varied = [patch for patch in known if patch.std((0, 1)).mean() >= 5]
    np.testing.assert_array_equal(photos.read("test")["image"], varied)


def test_by_name_with_validation_of_its_own(cache):
    for split, counts in COUNTS.items():
        data = images.load("photo_patches", (8, 8, 1), split)
        assert data["image"].shape == (sum(counts), 8, 8, 1)
        assert np.bincount(data["label"]).tolist() == counts
    assert not cache.exists()  # nothing was prepared


@pytest.mark.parametrize(("missing", "package"), [("skimage", "scikit-image"), ("sklearn", "scikit-learn")])
def test_without_a_package(monkeypatch, missing, package):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else real(name))
    with pytest.raises(
        UserError, match=rf'photo_patches comes with .*{package}. Install it: pip install "jaxgen\[data\]"'
    ):
        photos.read("train")


@pytest.mark.parametrize(
    ("content", "said"), [(None, "Cannot read .*reinstall scikit-learn"), (b"else", "sha256 differs.*scikit-learn==")]
)
def test_another_file_is_refused(tmp_path, monkeypatch, content, said):
    (tmp_path / "sklearn" / "datasets" / "images").mkdir(parents=True)
    (tmp_path / "sklearn" / "__init__.py").write_text("raise AssertionError('sklearn must not be imported')")
    if content:
        (tmp_path / "sklearn" / "datasets" / "images" / "china.jpg").write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "sklearn", raising=False)  # another test may have imported it
    with pytest.raises(UserError, match=said):
        photos.read("train")
