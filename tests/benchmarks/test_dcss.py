import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import dcss
from jaxgen.errors import UserError

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "benchmarks"


def png(colour, alpha=255, size=(32, 32)):
    """Upper half opaque, lower half of this opacity."""
    image = np.full((size[1], size[0], 4), (*colour, alpha), np.uint8)
    image[: size[1] // 2, :, 3] = 255
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def bar(colour, place):
    """A coloured corner and a bar; bars of two places have nothing in common."""
    image = np.full((32, 32, 4), (*colour, 0), np.uint8)
    image[:, 4 * place + 1 : 4 * place + 5, 3] = image[0, 0, 3] = 255
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def archive(path, files):
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in files.items():
            opened.writestr(name, content)


def test_pairs_have_one_name_and_every_fifth_is_held_out(tmp_path, cache):
    files = {"README.txt": b"hello", "ancient/notes.txt": b"hello"}
    for i in reversed(range(11)):  # not in order
        files[f"ancient/t{i:02}.png"] = png((10 * i, 0, 0), alpha=0)
        files[f"new/t{i:02}.png"] = png((0, 10 * i, 0))
    archive(tmp_path / dcss.PAIRS, files)
    out = dcss.pairs(tmp_path)
    assert out == cache / "dcss-tile-pairs"
    assert [path.name for path in cache.iterdir()] == ["dcss-tile-pairs"]
    names = {
        split: [f"t{i:02}.png" for i in range(11) if (i in (4, 9)) == (split == "test")] for split in ("train", "test")
    }
    for split, expected in names.items():
        for letter, channel in (("A", 0), ("B", 1)):
            assert sorted(path.name for path in (out / f"{split}{letter}").iterdir()) == expected
            for name in expected:
                with Image.open(out / f"{split}{letter}" / name) as image:
                    assert image.mode == "RGB"
                    pixels = np.asarray(image)
                assert (pixels[:16, :, channel] == 10 * int(name[1:3])).all()
                assert (pixels[16:, :, channel] == (0 if letter == "A" else 10 * int(name[1:3]))).all()
    made = (out / "trainA").stat().st_mtime_ns
    assert dcss.pairs(tmp_path) == out
    assert (out / "trainA").stat().st_mtime_ns == made


def test_a_process_that_was_slower_keeps_what_is_there(tmp_path, cache, monkeypatch):
    files = {f"{age}/t{i}.png": png((9, 9, 9)) for age in ("ancient", "new") for i in range(5)}
    archive(tmp_path / dcss.PAIRS, files)
    real = Image.Image.save

    def slow(self, path):
        real(self, path)
        (cache / "dcss-tile-pairs" / "trainA").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(Image.Image, "save", slow)
    dcss.pairs(tmp_path)
    assert [path.name for path in cache.iterdir()] == ["dcss-tile-pairs"]


def test_sprites_by_class(tmp_path, cache):
    files = {}
    for label, folders in enumerate(dcss._FOLDERS.values()):
        for i in range(6):
            files[f"{folders[-1]}/t{i}.png"] = bar((label + 1, 10 * i, 0), i)
    files |= {
        "mon/aaa.png": bar((2, 0, 0), 0),  # the same as the first animal, and before it
        "mon/tall.png": png((99, 0, 0), size=(32, 48)),
        "mon/unique/azrael.png": bar((99, 1, 0), 6),  # a demon, the first of its class
        "mon/unique/tiamat_red.png": png((99, 2, 0)),
        "mon/notes.txt": b"hello",
        "item/potion/i-blood.png": png((99, 3, 0)),
        "dngn/wall/brick.png": png((99, 4, 0)),
    }
    archive(tmp_path / dcss.SPRITES, files)
    out = dcss.sprites(tmp_path)
    assert [path.name for path in cache.iterdir()] == ["dcss-sprites-apart.npz"]
    with np.load(out, allow_pickle=False) as opened:
        arrays = dict(opened)
    assert arrays["x_train"].shape[1:] == arrays["x_test"].shape[1:] == (32, 32, 3)
    assert arrays["x_train"].dtype == np.uint8
    assert arrays["y_train"].dtype == np.int32
    shown = {
        split: [
            (int(y), *map(int, x[0, 0, :2])) for x, y in zip(arrays[f"x_{split}"], arrays[f"y_{split}"], strict=True)
        ]
        for split in ("train", "test")
    }
    everything = [(label, label + 1, 10 * i) for label in range(len(dcss.CLASSES)) for i in range(6)]
    everything[everything.index((1, 2, 0))] = (0, 2, 0)
    everything.append((dcss.CLASSES.index("demon"), 99, 1))
    assert sorted(shown["train"] + shown["test"]) == sorted(everything)
    assert (0, 2, 0) in shown["train"]
    animal, demon = dcss.CLASSES.index("animal"), dcss.CLASSES.index("demon")
    assert (animal, animal + 1, 50) in shown["test"]  # its first is gone before the split
    assert (demon, demon + 1, 40) in shown["test"]  # mon/demonspawn comes before mon/unique
    assert (arrays["x_train"][:, 1:, 0] == 0).all()  # transparent over black
    made = out.stat().st_mtime_ns
    assert dcss.sprites(tmp_path) == out
    assert out.stat().st_mtime_ns == made


def drawings(places):
    images = np.zeros((len(places), 32, 32, 3), np.uint8)
    for i, place in enumerate(places):
        images[i, :, 3 * place : 3 * place + 3] = 10 * i + 1
    return images


def test_near_copies_are_on_one_side():
    """In the order of first pictures: 0 (three copies, of three seen) no, 1 no, 2 (the fifth) yes, 3 (three, of eight)
    no, 4 no, 5 (the tenth) yes, 6 (two, of twelve) no."""
    assert np.flatnonzero(dcss.held_out(drawings([0, 1, 2, 3, 3, 3, 4, 5, 6, 6, 0, 0]))).tolist() == [2, 7]
    images = drawings([*range(9), 8])
    for rows, expected in ((3, [4]), (4, [4, 9])):  # 9 % less of a silhouette is a copy still, 12 % is none
        images[9, :rows] = 0
        assert np.flatnonzero(dcss.held_out(images)).tolist() == expected


@pytest.mark.parametrize(("make", "name"), [(dcss.pairs, dcss.PAIRS), (dcss.sprites, dcss.SPRITES)])
def test_missing_and_broken(tmp_path, cache, make, name):
    with pytest.raises(UserError, match=rf"{name} is missing\. Give its folder with --data DIR"):
        make(tmp_path)
    (tmp_path / name).write_bytes(b"hello")
    with pytest.raises(UserError, match=rf"{name} is not the whole set .* Compare its sha256"):
        make(tmp_path)
    archive(tmp_path / name, {"ancient/t.png": png((1, 2, 3)), "mon/t.png": b"hello"})
    with pytest.raises(UserError, match=rf"{name} is not the whole set \(.*(There is no item|cannot identify)"):
        make(tmp_path)
    archive(tmp_path / name, {"README.txt": b"hello"})
    with pytest.raises(UserError, match=r"is not the whole set \(it has fewer than five (pairs|of humanoid, animal)"):
        make(tmp_path)
    assert not cache.exists() or not list(cache.iterdir())


def test_the_real_sets():
    folders = (DATA / "style" / "dcss-tile-pairs", DATA / "games" / "dcss-tiles")
    if not all(folder.is_dir() for folder in folders):
        pytest.skip(f"the benchmark's tiles are not here: {' and '.join(map(str, folders))}")
    pairs = dcss.pairs(folders[0])
    counts = {path.name: len(list(path.iterdir())) for path in pairs.iterdir()}
    assert counts == {"trainA": 664, "trainB": 664, "testA": 165, "testB": 165}
    with np.load(dcss.sprites(folders[1]), allow_pickle=False) as arrays:
        train, test = (np.bincount(arrays[f"y_{split}"], minlength=10) for split in ("train", "test"))
        pictures = np.concatenate([arrays["x_train"], arrays["x_test"]])
    assert len(np.unique(pictures.reshape(len(pictures), -1), axis=0)) == len(pictures)
    assert train.sum() == 883
    assert test.sum() == 211
    for name, kept, held_out in zip(dcss.CLASSES, train, test, strict=True):
        assert f"{name} {kept} + {held_out}" in dcss.NOTE
