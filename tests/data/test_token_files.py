import zipfile

import numpy as np
import pytest

from jaxgen.data import token_files
from jaxgen.errors import UserError

TRAIN = np.arange(12).reshape(4, 3) % 5
TEST = TRAIN[:2] + 1


@pytest.fixture
def save(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "tokens.npz", **arrays)
        return str(tmp_path / "tokens.npz")

    return save


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.uint64])
def test_splits_are_those_of_the_file(save, dtype):
    path = save(train=TRAIN.astype(dtype), test=TEST.astype(dtype))
    train = token_files.read(path, "train", 3, 6)
    assert train.dtype == np.int32
    np.testing.assert_array_equal(train, TRAIN)
    for split in ("test", "validation"):
        np.testing.assert_array_equal(token_files.read(path, split, 3, 6), TEST)


def test_the_home_directory_is_known(save, tmp_path, monkeypatch):
    save(train=TRAIN, test=TEST)
    monkeypatch.setenv("HOME", str(tmp_path))
    np.testing.assert_array_equal(token_files.read("~/tokens.npz", "train", 3, 6), TRAIN)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (TRAIN.astype(float), r"`train` in .*tokens\.npz is float64 \[4, 3\]; it must be whole numbers, \[N, 3\]"),
        (TRAIN > 2, r"is bool \[4, 3\]"),
        (TRAIN[0], r"is int64 \[3\]"),
        (TRAIN[:, :2], r"is int64 \[4, 2\]; it must be whole numbers, \[N, 3\], as --shape says"),
        (TRAIN[:0], r"is int64 \[0, 3\]"),
        (TRAIN - 1, r"has tokens from -1 to 3; --model\.vocabulary 5 allows 0 to 4"),
        (TRAIN + 1, r"has tokens from 1 to 5; --model\.vocabulary 5 allows 0 to 4"),
        (TRAIN + 2**40, r"has tokens from 1099511627776"),
    ],
)
def test_tokens_that_do_not_fit(save, train, message):
    path = save(train=train, test=TRAIN)
    with pytest.raises(UserError, match=message):
        token_files.read(path, "train", 3, 5)
    np.testing.assert_array_equal(token_files.read(path, "test", 3, 5), TRAIN)


def test_what_is_no_file_of_arrays(save, tmp_path):
    good = save(train=TRAIN, test=TEST)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "tokens.npz").read_bytes()[:-200])
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "words.npz").write_text("a cat")
    np.save(tmp_path / "bare.npy", TRAIN)
    np.savez(tmp_path / "pickled.npz", train=np.array([{}, {}], object))
    with zipfile.ZipFile(tmp_path / "no_array.npz", "w") as archive:
        archive.writestr("train", "a cat")
    for name in ("cut.npz", "empty.npz", "words.npz", "bare.npy", "pickled.npz", "no_array.npz"):
        with pytest.raises(UserError, match=rf"{name} .*must (be an .npz of plain arrays|be whole numbers)"):
            token_files.read(str(tmp_path / name), "train", 3, 6)
    for path in ("nowhere.npz", str(tmp_path), ""):
        with pytest.raises(UserError, match=r"There is no file .*come as an \.npz with `train` and `test`"):
            token_files.read(path, "train", 3, 6)
    assert token_files.read(good, "train", 3, 6).shape == (4, 3)
    lonely = save(train=TRAIN)
    with pytest.raises(UserError, match=r"Cannot read .*test.* plain arrays, `train` and `test`"):
        token_files.read(lonely, "test", 3, 6)
