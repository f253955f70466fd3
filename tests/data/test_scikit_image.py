import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgen.data import images, lfw_faces, tissue_patches
from jaxgen.errors import UserError

FOLDER = Path(importlib.util.find_spec("skimage").submodule_search_locations[0], "data")


def test_faces_are_those_of_the_file():
    known = np.rint(np.load(FOLDER / "lfw_subset.npy")[:100] * 255).astype(np.uint8)
    train, test = lfw_faces.read("train")["image"], lfw_faces.read("test")["image"]
    assert (train.shape, test.shape, train.dtype) == ((80, 25, 25, 1), (20, 25, 25, 1), np.uint8)
    both = [image.tobytes() for image in np.concatenate([train, test])]
    assert sorted(both) == sorted(image.tobytes() for image in known)
    rows = [[image.tobytes() for image in known].index(image.tobytes()) for image in test]
    assert rows == [4, 17, 18, 22, 26, 28, 29, 31, 33, 37, 40, 42, 51, 65, 70, 71, 77, 79, 81, 94]  # fixed for good


def test_patches_are_those_of_the_pictures():
    """Every patch, found by its place: retina and tissue, held out where its column lies in the last fifth."""
    pictures = [np.asarray(Image.open(FOLDER / name)) for name in ("retina.jpg", "ihc.png")]
    found = {split: tissue_patches.read(split) for split in ("train", "test")}
    at = {"train": 0, "test": 0}
    for label, (picture, columns) in enumerate(zip(pictures, (44, 16), strict=True)):
        for row in range(len(picture) // 32):
            for column in range(columns):
                patch = picture[32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
                if (patch.max(2) < 40).sum() > 512:
                    continue
                split = "test" if column >= (36 if label == 0 else 13) else "train"
                np.testing.assert_array_equal(found[split]["image"][at[split]], patch)
                assert found[split]["label"][at[split]] == label
                at[split] += 1
    assert at == {"train": 1517, "test": 231}
    for split, counts in (("train", [1309, 208]), ("test", [183, 48])):
        assert len(found[split]["image"]) == at[split]
        assert found[split]["label"].dtype == np.int32
        assert np.bincount(found[split]["label"]).tolist() == counts


@pytest.mark.parametrize(("name", "n"), [("lfw_faces", 20), ("tissue_patches", 231)])
def test_by_name_in_any_shape(name, n, cache):
    data = images.load(name, (16, 24, 3), "test")
    assert data["image"].shape == (n, 16, 24, 3)
    same = images.load(name, (16, 24, 3), "validation")
    assert all((data[key] == same[key]).all() for key in data)
    assert not cache.exists()  # nothing was prepared


def test_skimage_is_not_imported():
    code = (
        "import sys; from jaxgen.data import images; images.load('lfw_faces', (32, 32, 1), 'train');"
        "print([m for m in ('skimage', 'scipy', 'tensorflow_datasets', 'jax') if m in sys.modules])"
    )
    root = Path(images.__file__).parents[2]
    said = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


@pytest.mark.parametrize("name", ["lfw_faces", "tissue_patches"])
def test_without_scikit_image(monkeypatch, name):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf'{name} comes with .*scikit-image. Install it: pip install "jaxgen\[data\]"'):
        images.load(name, (32, 32, 1), "train")


@pytest.mark.parametrize(("content", "said"), [(None, "Cannot read"), (b"else", "sha256 differs")])
def test_another_file_is_refused(tmp_path, monkeypatch, content, said):
    (tmp_path / "skimage" / "data").mkdir(parents=True)
    (tmp_path / "skimage" / "__init__.py").write_text("raise AssertionError('skimage must not be imported')")
    if content:
        (tmp_path / "skimage" / "data" / "retina.jpg").write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "skimage", raising=False)  # another test may have imported it
    with pytest.raises(UserError, match=f"{said}.*scikit-image"):
        images.load("tissue_patches", (32, 32, 3), "train")
