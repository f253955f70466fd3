import os

import numpy as np
import pytest
from PIL import Image

from jaxgen.data import folder
from jaxgen.data.heldout import split_indices
from jaxgen.errors import UserError

SHAPE = (4, 4, 3)


def put(path, value, size=(4, 4), mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


def values(data):
    """The value of each image, all of whose pixels are alike."""
    assert (data["image"] == data["image"][:, :1, :1, :1]).all()
    return data["image"][:, 0, 0, 0].tolist()


def test_flat_folder_in_the_order_of_paths(tmp_path):
    for i in range(12):
        put(tmp_path / f"{i:02d}.png", 10 * i)
    expected = {split: (10 * split_indices(12, split, "")).tolist() for split in ("train", "test")}
    for split in ("train", "test"):
        data = folder.read(tmp_path, SHAPE, split)
        assert data.keys() == {"image"}
        assert data["image"].dtype == np.uint8
        assert values(data) == expected[split]


def test_every_format_and_size(tmp_path):
    for i, suffix in enumerate(folder.SUFFIXES):
        put(tmp_path / f"{i}{suffix}", 100, size=(5 + i, 9 - i))
    put(tmp_path / "6.PNG", (100, 100, 100, 255), mode="RGBA")
    both = [folder.read(tmp_path, SHAPE, split)["image"] for split in ("train", "test")]
    np.testing.assert_allclose(np.concatenate(both), np.full((7, 4, 4, 3), 100), atol=2)  # jpeg and webp lose a little


def test_gif_gives_its_first_frame(tmp_path):
    frames = [Image.new("L", (4, 4), value) for value in (50, 200)]
    for name in "ab":
        frames[0].save(tmp_path / f"{name}.gif", save_all=True, append_images=frames[1:])
    assert values(folder.read(tmp_path, SHAPE, "train")) == [50]


def test_turned_as_the_camera_was(tmp_path):
    image = np.zeros((4, 4, 3), np.uint8)
    image[0] = 250  # a bright first row
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: the first row becomes the last column
    for name in "ab":
        Image.fromarray(image).save(tmp_path / f"{name}.png", exif=exif)
    np.testing.assert_array_equal(folder.read(tmp_path, SHAPE, "train")["image"][0], np.rot90(image, -1))


def test_subfolders_name_classes(tmp_path):
    for name, value in [("cat", 1), ("ant", 2), ("bee", 3)]:
        for i in range(4):
            put(tmp_path / name / "deeper" / f"{i}.png", value)
    train, test = folder.read(tmp_path, SHAPE, "train"), folder.read(tmp_path, SHAPE, "test")
    both = values(train) + values(test)
    assert sorted(both) == [1] * 4 + [2] * 4 + [3] * 4
    label = np.concatenate([train["label"], test["label"]])
    assert [{2: 0, 3: 1, 1: 2}[value] for value in both] == label.tolist()  # ant, bee, cat
    assert label.dtype == np.int32


def test_one_subfolder_or_a_mixture_names_none(tmp_path):
    for i in range(3):
        put(tmp_path / "images" / f"{i}.png", i)
    assert folder.read(tmp_path, SHAPE, "train").keys() == {"image"}
    put(tmp_path / "more" / "3.png", 3)
    assert "label" in folder.read(tmp_path, SHAPE, "train")
    put(tmp_path / "4.png", 4)
    data = folder.read(tmp_path, SHAPE, "train")
    assert data.keys() == {"image"}
    assert len(data["image"]) == 4


def test_a_made_split_is_kept(tmp_path):
    for i in range(3):
        put(tmp_path / "train" / "b" / f"{i}.png", i)
        put(tmp_path / "train" / "a" / f"{i}.png", 10 + i)
    put(tmp_path / "test" / "b" / "0.png", 99)  # one class, one image: still number 1, and still held out
    train, test = folder.read(tmp_path, SHAPE, "train"), folder.read(tmp_path, SHAPE, "test")
    assert (values(train), train["label"].tolist()) == ([10, 11, 12, 0, 1, 2], [0, 0, 0, 1, 1, 1])
    assert (values(test), test["label"].tolist()) == ([99], [1])


@pytest.mark.parametrize("name", ["val", "valid", "validation", "other"])
def test_validation_beside_a_made_split(tmp_path, name):
    for part, value in (("train", 10), ("test", 20), (name, 30)):
        for label in ("cat", "dog"):
            put(tmp_path / part / label / "0.png", value)
    data = folder.read(tmp_path, SHAPE, "validation")
    assert values(data) == ([20, 20] if name == "other" else [30, 30])
    assert data["label"].tolist() == [0, 1]


def test_validation_of_an_unknown_class(tmp_path):
    for file in ("train/cat/0.png", "test/dog/0.png", "val/cow/0.png"):
        put(tmp_path / file, 10)
    with pytest.raises(UserError, match=r"cow.0\.png is of no class; the classes are cat, dog"):
        folder.read(tmp_path, SHAPE, "validation")


def test_hidden_and_other_files_are_left_out_and_links_followed_once(tmp_path):
    real = tmp_path / "elsewhere"
    for i in range(2):
        put(real / f"{i}.png", 5)
    root = tmp_path / "root"
    put(root / ".hidden" / "x.png", 1)
    put(root / "__MACOSX" / "x.png", 1)
    put(root / "._0.png", 1)
    (root / "notes.txt").write_text("no image")
    os.symlink(real, root / "link")
    os.symlink(root, root / "loop")
    both = [value for split in ("train", "test") for value in values(folder.read(root, SHAPE, split))]
    assert both == [5, 5]


def test_no_images(tmp_path):
    with pytest.raises(UserError, match="holds no images"):
        folder.read(tmp_path, SHAPE, "train")
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(UserError, match="holds no images"):
        folder.read(tmp_path, SHAPE, "train")
    (tmp_path / "test").mkdir()
    put(tmp_path / "train" / "0.png", 0)
    with pytest.raises(UserError, match="test holds no images"):
        folder.read(tmp_path, SHAPE, "test")


def test_a_single_image(tmp_path):
    put(tmp_path / "only.png", 0)
    with pytest.raises(UserError, match="a single image, which cannot be split into training and held-out data"):
        folder.read(tmp_path, SHAPE, "train")


@pytest.mark.parametrize("damage", ["text", "empty", "cut", "flipped"])
def test_a_broken_image_is_named(tmp_path, damage):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    for name in ("0.png", "1.png", "2.png"):
        Image.fromarray(noise).save(tmp_path / name)
    good = (tmp_path / "1.png").read_bytes()
    bad = {"text": b"hello", "empty": b"", "cut": good[: len(good) // 2], "flipped": good[:20] + b"\xff" + good[21:]}
    (tmp_path / "1.png").write_bytes(bad[damage])
    held_out = split_indices(3, "test", "").tolist() == [1]
    with pytest.raises(UserError, match=r"Cannot read the image .*1\.png"):
        folder.read(tmp_path, SHAPE, "test" if held_out else "train")


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    for name in "ab":
        put(tmp_path / f"{name}.png", 0, size=(40, 40))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)  # Pillow refuses twice as many
    with pytest.raises(UserError, match="too large to be opened safely"):
        folder.read(tmp_path, SHAPE, "train")
