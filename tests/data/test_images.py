import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgen.data import images
from jaxgen.errors import UserError

SHAPE = (4, 4, 1)


def put_images(folder, n=3):
    folder.mkdir(parents=True)
    for i in range(n):
        Image.new("L", (4, 4), 50).save(folder / f"{i}.png")


def test_a_folder_an_npz_and_a_prepared_set_look_alike(tmp_path, prepare_tiny):
    put_images(tmp_path / "photos")
    np.savez(tmp_path / "data.npz", image=np.zeros((3, 4, 4), np.uint8), label=[0, 1, 2])
    directory = prepare_tiny({"train": 2, "test": 1})
    for data in (tmp_path / "photos", tmp_path / "data.npz", "tiny", "tiny:1.0.0", directory):
        train, test = (images.load(str(data), SHAPE, split) for split in ("train", "test"))
        assert (train["image"].shape, test["image"].shape) == ((2, *SHAPE), (1, *SHAPE))
        assert train["image"].dtype == np.uint8
        assert ("label" in train) == (data != tmp_path / "photos")
        again = images.load(str(data), SHAPE, "train")
        assert all((train[name] == again[name]).all() for name in train)
        validation = images.load(str(data), SHAPE, "validation")  # none of them has any of its own
        assert all((test[name] == validation[name]).all() for name in test)


def test_paths_from_home_and_from_here(tmp_path, monkeypatch):
    put_images(tmp_path / "photos")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for data in ("~/photos", "photos", "./photos", "photos/"):
        assert len(images.load(data, SHAPE, "train")["image"]) == 2


def test_an_embedded_set_goes_before_a_folder_of_its_name(tmp_path, monkeypatch, prepared_mnist_5k):
    put_images(tmp_path / "mnist_5k")
    monkeypatch.chdir(tmp_path)
    data_dir = str(prepared_mnist_5k)
    assert len(images.load("mnist_5k", (28, 28, 1), "test", data_dir)["image"]) == 1000
    assert len(images.load("./mnist_5k", (28, 28, 1), "test", data_dir)["image"]) == 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("mnist5k", "no data set named 'mnist5k'; did you mean 'mnist_5k'?.*a folder of images, or an .npz file"),
        ("fashion_mnits", "did you mean 'fashion_mnist'"),
        ("qqqq", r"no data set named 'qqqq'\. Give a set by name \(mnist_5k, .*, photo_patches, or one"),
        ("photos/cats", "no data set named 'photos/cats' nor is .*/photos/cats a folder"),
        ("mnist_5k/big", "did you mean 'mnist_5k'"),
        ("huggingface:mnist", "no data set named 'huggingface:mnist'"),
        ("./photos", r"\./photos does not exist \(looked at /.*photos\)"),
        ("~/no/photos", "does not exist"),
        ("/no/photos", "does not exist"),
        ("data.npz", r"data\.npz does not exist"),
        ("here.txt", "is a file, but no .npz file"),
        ("", "No data given"),
        ("mnist", "'mnist' is not prepared .looked in .*/cache/tfds/mnist.. Pass --download .*array_record"),
        ("cifar10:3.0.2", "'cifar10:3.0.2' is not prepared"),
    ],
)
def test_data_that_are_not_there(tmp_path, monkeypatch, data, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.txt").write_text("text")
    with pytest.raises(UserError, match=said):
        images.load(data, SHAPE, "train")


def test_a_wrong_shape_or_split_comes_first():
    with pytest.raises(UserError, match="height, width, channels"):
        images.load("mnist_5k", (28, 28), "train")
    with pytest.raises(UserError, match="no split 'valid'; choose from train, validation, test"):
        images.load("mnist_5k", SHAPE, "valid")


def test_download_is_asked_for(monkeypatch, prepare_tiny):
    directory = prepare_tiny({"train": 2, "test": 1})
    asked = []
    monkeypatch.setattr(images.tfds, "download", lambda data, data_dir: asked.append(data) or directory)
    assert len(images.load("mnist", SHAPE, "train", download=True)["image"]) == 2
    assert asked == ["mnist"]


def test_importing_is_light():
    code = (
        "import sys, jaxgen.data.images, jaxgen.data.synthetic, jaxgen.data.order;"
        "print([m for m in ('tensorflow_datasets', 'jax', 'scipy', 'array_record') if m in sys.modules])"
    )
    root = Path(images.__file__).parents[2]
    said = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
