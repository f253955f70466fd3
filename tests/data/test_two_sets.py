import shutil

import numpy as np
import pytest
from PIL import Image

from jaxgen.data import images, scikit_image, tfds, two_sets
from jaxgen.data.heldout import split_indices
from jaxgen.errors import UserError

SHAPE = (4, 4, 1)
SPLITS = ("train", "test", "validation")


def put(root, **folders):
    """Images of one value each: put(root, trainA={"name.png": 10})."""
    for name, files in folders.items():
        for file, value in files.items():
            path = root / name.replace("__", "/") / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), value).save(path)
    return str(root)


def values(data):
    """The value of each image of A and of B."""
    for key in ("source", "image"):
        assert (data[key].shape[1:], data[key].dtype) == (SHAPE, np.uint8)
        assert (data[key] == data[key][:, :1, :1]).all()
    return data["source"][:, 0, 0, 0].tolist(), data["image"][:, 0, 0, 0].tolist()


def numbered(n, base=0, suffix="png"):
    return {f"{i:02d}.{suffix}": base + i for i in range(n)}


@pytest.mark.parametrize(("split", "n_a", "n_b"), [("train", 833, 165), ("validation", 54, 30), ("test", 80, 30)])
def test_photos_to_textures(split, n_a, n_b, cache):
    data = two_sets.load("photos_to_textures", (64, 64, 3), split, paired=False)
    assert data.keys() == {"source", "image"}
    assert data["source"].shape == data["image"].shape == (n_a, 64, 64, 3)
    np.testing.assert_array_equal(data["source"], images.load("photo_patches", (64, 64, 3), split)["image"])
    assert len(np.unique(data["image"], axis=0)) == n_b
    np.testing.assert_array_equal(
        data["image"][n_b:], data["image"][: n_a - n_b] if n_a < 2 * n_b else data["image"][:-n_b]
    )
    assert (data["image"] == data["image"][..., :1]).all()  # grey
    assert not cache.exists()


def test_textures_held_out_share_no_pixel_with_the_others(monkeypatch, tmp_path):
    y, x = np.mgrid[:512, :512]
    both = {}
    for name, picture in (("y", y), ("x", x)):
        Image.fromarray((picture // 2).astype(np.uint8)).save(tmp_path / "picture.png")
        monkeypatch.setattr(scikit_image, "file", lambda *_: (tmp_path / "picture.png").read_bytes())
        both[name] = [two_sets._gravel(split) for split in ("train", "test")]
    assert [len(patches) for patches in both["x"]] == [165, 30]
    assert both["x"][0].max() < 205 == both["x"][1].min()  # 410 of 512 columns
    assert [patches.max() for patches in both["y"]] == [255, 255]


@pytest.mark.parametrize("layout", ["{0}{1}", "{1}__{0}"])
def test_sub_folders_for_each_split(tmp_path, layout):
    folders = {"trainA": numbered(5, 10), "trainB": numbered(2, 20), "testA": numbered(1, 30), "testB": numbered(3, 40)}
    data = put(tmp_path, **{layout.format(name[:-1], name[-1]): files for name, files in folders.items()})
    found = {split: values(two_sets.load(data, SHAPE, split, paired=False)) for split in SPLITS}
    assert found["train"] == ([10, 11, 12, 13, 14], [20, 21, 20, 21, 20])
    assert found["test"] == found["validation"] == ([30, 30, 30], [40, 41, 42])
    put(tmp_path, **{layout.format("val", side): numbered(1, value) for side, value in (("A", 50), ("B", 60))})
    assert values(two_sets.load(data, SHAPE, "validation", paired=False)) == ([50], [60])
    assert values(two_sets.load(data, SHAPE, "test", paired=False)) == found["test"]


def test_of_two_folders_a_tenth_is_held_out(tmp_path):
    data = put(tmp_path, A=numbered(25), B=numbered(9, 100))
    held_out, rest = split_indices(25, "test", ""), split_indices(25, "train", "")
    train, test, validation = (values(two_sets.load(data, SHAPE, split, paired=False)) for split in SPLITS)
    assert (train[0], test[0]) == (rest.tolist(), held_out.tolist())
    assert test == validation
    assert len(set(train[1])) == 8
    assert {*train[1], *test[1]} == set(range(100, 109))
    assert not {*train[1]} & {*test[1]}


def test_pairs_have_the_same_name(tmp_path):
    """Whatever the endings, which may change the order: `a.1.png` lies before `a.png`, `a.bmp` before `a.x.bmp`."""
    a = {"a.png": 1, "a.1.png": 2, "a.x.jpg.png": 4, "b/c.png": 3, **{f"n{i}.png": 10 + i for i in range(20)}}
    b = {"a.bmp": 101, "a.1.bmp": 102, "a.x.jpg.bmp": 104, "b/c.png": 103, **{f"n{i}.bmp": 110 + i for i in range(20)}}
    data = put(tmp_path, A=a, B=b)
    seen = []
    for split in ("train", "test"):
        source, image = values(two_sets.load(data, SHAPE, split, paired=True))
        assert [value + 100 for value in source] == image
        seen += source
    assert sorted(seen) == sorted(a.values())


def test_pairs_of_split_folders(tmp_path):
    files = {"trainA": numbered(3), "trainB": numbered(3, 100, "bmp"), "testA": numbered(2, 50), "testB": numbered(1)}
    data = put(tmp_path, **files)
    assert values(two_sets.load(data, SHAPE, "train", paired=True)) == ([0, 1, 2], [100, 101, 102])
    with pytest.raises(UserError, match=r"testA/01\.png has no partner: .*testB holds no image 01\.\*"):
        two_sets.load(data, SHAPE, "test", paired=True)


def test_a_file_without_partner_is_named(tmp_path):
    data = put(tmp_path, A={"a.png": 1, "b.png": 1, "c.png": 1}, B={"a.png": 1, "b.png": 1, "c.png": 1, "d.png": 1})
    with pytest.raises(
        UserError, match=r"B/d\.png has no partner: .*/A holds no image d\.\*. Add it, or train unpaired"
    ):
        two_sets.load(data, SHAPE, "train", paired=True)
    put(tmp_path, A={"a.bmp": 1, "d.png": 1})
    with pytest.raises(UserError, match=r"/A holds both a\.bmp and a\.png, so a pair cannot be told\. Remove one"):
        two_sets.load(data, SHAPE, "train", paired=True)


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (
            {"other": {"a.png": 1}},
            "has no folder A nor B. It needs the folders trainA, trainB, testA and testB, or A and B",
        ),
        ({"A": {"a.png": 1}}, "has no folder B. It needs the folders A and B"),
        (
            {"trainA": {"a.png": 1}, "trainB": {"a.png": 1}},
            "has no folder testA. It needs all of trainA, trainB, testA",
        ),
        ({"A/train": {"a.png": 1}, "B": {"a.png": 1}}, "has no folder B/train"),
        ({"A": {"a.png": 1, "b.png": 1}, "B": {"a.png": 1}}, "/B holds a single image, which cannot be split"),
    ],
)
def test_folders_that_do_not_do(tmp_path, folders, said):
    data = put(tmp_path, **folders)
    with pytest.raises(UserError, match=said):
        two_sets.load(data, SHAPE, "train", paired=False)


@pytest.mark.parametrize("paired", [True, False])
def test_an_empty_folder(tmp_path, paired):
    data = put(tmp_path, A={"a.png": 1})
    (tmp_path / "B").mkdir()
    with pytest.raises(UserError, match=r"B holds no images\. Put those of B there"):
        two_sets.load(data, SHAPE, "train", paired=paired)


@pytest.fixture
def two_kinds(prepare_tiny, cache):
    """A prepared TFDS set `tiny` as cycle_gan has it; its directory."""
    return prepare_tiny({"trainA": 3, "trainB": 5, "testA": 2, "testB": 1})


def test_a_tfds_set_by_name_and_by_directory(two_kinds):
    for data in ("tiny", str(two_kinds)):
        assert values(two_sets.load(data, SHAPE, "train", paired=False)) == ([0, 10, 20, 0, 10], [0, 10, 20, 30, 40])
        for split in ("test", "validation"):
            assert values(two_sets.load(data, SHAPE, split, paired=False)) == ([0, 10], [0, 0])
    with pytest.raises(UserError, match=r"tiny/1\.0\.0 has no pairs\. Train unpaired, or give a folder"):
        two_sets.load("tiny", SHAPE, "train", paired=True)


def test_a_tfds_set_found_in_data_dir(two_kinds, cache, tmp_path):
    shutil.move(cache, tmp_path / "moved")
    data = two_sets.load("tiny:1.0.0", SHAPE, "test", paired=False, data_dir=str(tmp_path / "moved"))
    assert len(data["image"]) == 2


def test_a_tfds_set_of_one_kind(prepare_tiny):
    prepare_tiny({"train": 3, "test": 2})
    with pytest.raises(UserError, match=r"no split `trainA`; it has train, test\. Choose a set that has it"):
        two_sets.load("tiny", SHAPE, "train", paired=False)


def test_download_only_when_asked(monkeypatch, two_kinds):
    asked = []
    monkeypatch.setattr(tfds, "find", lambda data, data_dir: None)
    monkeypatch.setattr(tfds, "download", lambda data, data_dir: asked.append(data) or two_kinds)
    with pytest.raises(
        UserError, match=r"'cycle_gan/horse2zebra' is not prepared .looked in .*/cycle_gan.. Pass --download"
    ):
        two_sets.load("cycle_gan/horse2zebra", SHAPE, "train", paired=False)
    assert asked == []
    data = two_sets.load("cycle_gan/horse2zebra", SHAPE, "train", paired=False, download=True)
    assert len(data["image"]) == 5
    assert asked == ["cycle_gan/horse2zebra"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "No data given. Give photos_to_textures, a folder"),
        ("photos_to_texture", "no data set named 'photos_to_texture' .*did you mean 'photos_to_textures'"),
        ("cycle_gam/horse2zebra", "did you mean 'cycle_gan'"),
        ("qqqq", "no data set named 'qqqq' nor is .*/qqqq a folder. Give photos_to_textures"),
        ("./pictures", r"\./pictures does not exist \(looked at /"),
        ("/no/pictures", "/no/pictures does not exist"),
        ("here.txt", "here.txt is no folder"),
    ],
)
def test_data_that_are_not_there(tmp_path, monkeypatch, data, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.txt").write_text("text")
    with pytest.raises(UserError, match=said):
        two_sets.load(data, SHAPE, "train", paired=False)


def test_what_was_asked_for_comes_first():
    with pytest.raises(UserError, match="photos_to_textures has no pairs"):
        two_sets.load("photos_to_textures", SHAPE, "train", paired=True)
    with pytest.raises(UserError, match="height, width, channels"):
        two_sets.load("photos_to_textures", (64, 64), "train", paired=False)
    with pytest.raises(UserError, match="no split 'trian'"):
        two_sets.load("photos_to_textures", SHAPE, "trian", paired=False)
