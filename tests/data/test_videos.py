"""Which reader each kind of source goes to."""

import numpy as np
import pytest
from PIL import Image

from jaxgen.data import moving_digits, sprite_clips, tfds, tfds_clips, video_files, videos
from jaxgen.errors import UserError

SHAPE = (4, 8, 8, 3)


def test_moving_digits_by_name(prepared_mnist_5k):
    found = videos.load("moving_digits", (2, 8, 8, 1), "test", str(prepared_mnist_5k))
    expected = moving_digits.clips((2, 8, 8, 1), "test", str(prepared_mnist_5k))
    assert found.keys() == expected.keys()
    np.testing.assert_array_equal(found["image"], expected["image"])


def test_each_source_goes_to_its_reader(tmp_path, monkeypatch):
    for module in (sprite_clips, video_files, tfds_clips):
        monkeypatch.setattr(module, "read", lambda path, shape, split, m=module: (m, path, shape, split))
    folder = tmp_path / "videos"
    folder.mkdir()
    assert videos.load(str(folder), SHAPE, "train") == (video_files, folder, SHAPE, "train")
    for kind in sprite_clips.ATTRIBUTES:
        (tmp_path / "layers" / kind).mkdir(parents=True)
        Image.new("RGBA", (1, 1)).save(tmp_path / "layers" / kind / "0.png")
    assert videos.load(str(tmp_path / "layers"), SHAPE, "test")[0] is sprite_clips
    prepared = tmp_path / "tfds" / "films" / "1.0.0"
    prepared.mkdir(parents=True)
    for name in ("features.json", "dataset_info.json"):
        (prepared / name).write_text("{}")
    assert videos.load(str(prepared), SHAPE, "test")[0] is tfds_clips
    assert videos.load("films", SHAPE, "test", str(tmp_path)) == (tfds_clips, prepared, SHAPE, "test")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("", "No data given"),
        ("one.mp4", "one video; put it into a folder"),
        ("other.zip", "no .zip of sprite-sheet layers"),
        ("moving_mnist", r"moving_mnist' is not prepared .* takes TensorFlow"),
        ("nowhere", "There is no data set named"),
    ],
)
def test_says_what_to_give(tmp_path, monkeypatch, data, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tfds, "names", lambda: ["moving_mnist"])
    for name in ("one.mp4", "other.zip"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError, match=says):
        videos.load(data, SHAPE, "train")


@pytest.mark.parametrize(("shape", "split"), [((8, 8, 3), "train"), ((4, 8, 8, 2), "train"), (SHAPE, "dev")])
def test_wrong_shapes_and_splits(shape, split):
    with pytest.raises(UserError):
        videos.load("moving_digits", shape, split)
