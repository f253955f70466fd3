import numpy as np
import pytest

from jaxgen.data import npz
from jaxgen.data.heldout import split_indices
from jaxgen.errors import UserError

SHAPE = (4, 4, 1)
IMAGES = np.arange(20 * 16, dtype=np.int64).reshape(20, 4, 4).astype(np.uint8)
LABELS = np.arange(20) % 4


@pytest.fixture
def save(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "data.npz", **arrays)
        return tmp_path / "data.npz"

    return save


def test_without_a_split_a_tenth_is_held_out(save):
    path = save(image=IMAGES, label=LABELS)
    for split, size in [("train", 18), ("test", 2)]:
        data, rows = npz.read(path, SHAPE, split), split_indices(20, split, "")
        np.testing.assert_array_equal(data["image"], IMAGES[rows][..., None])
        np.testing.assert_array_equal(data["label"], LABELS[rows])
        assert data["image"].shape == (size, 4, 4, 1)
        assert data["label"].dtype == np.int32


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_image", "train_label", "test_image", "test_label"),
        ("train_images", "train_labels", "test_images", "test_labels"),
    ],
)
def test_a_split_in_the_file_is_kept(save, names):
    column = LABELS[15:, None].astype(np.uint8)  # [N, 1], as Keras has them for cifar10
    path = save(**dict(zip(names, (IMAGES[:15], LABELS[:15], IMAGES[15:], column), strict=True)))
    train, test = npz.read(path, SHAPE, "train"), npz.read(path, SHAPE, "test")
    np.testing.assert_array_equal(train["image"], IMAGES[:15, ..., None])
    np.testing.assert_array_equal(test["image"], IMAGES[15:, ..., None])
    np.testing.assert_array_equal(test["label"], LABELS[15:])


@pytest.mark.parametrize(("images", "labels"), [("x_{}", "y_{}"), ("{}_image", "{}_label"), ("{}_images", "{}_labels")])
def test_validation_is_val_or_else_test(save, images, labels):
    arrays = {images.format(part): IMAGES[i : i + 5] for i, part in ((0, "train"), (5, "val"), (10, "test"))}
    path = save(**arrays, **{labels.format("val"): LABELS[5:10, None]})
    data = npz.read(path, SHAPE, "validation")
    np.testing.assert_array_equal(data["image"], IMAGES[5:10, ..., None])
    np.testing.assert_array_equal(data["label"], LABELS[5:10])
    np.testing.assert_array_equal(npz.read(path, SHAPE, "test")["image"], IMAGES[10:15, ..., None])
    del arrays[images.format("val")]
    np.testing.assert_array_equal(npz.read(save(**arrays), SHAPE, "validation")["image"], IMAGES[10:15, ..., None])


def test_labels_may_be_missing(save):
    assert npz.read(save(image=IMAGES), SHAPE, "train").keys() == {"image"}
    assert npz.read(save(x_train=IMAGES, x_test=IMAGES), SHAPE, "test").keys() == {"image"}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_rounded_to_8_bits(save, dtype):
    path = save(x_train=(IMAGES / 255).astype(dtype), x_test=np.full((1, 4, 4), [0.0, 1.0, 0.5, 0.2], dtype))
    np.testing.assert_array_equal(npz.read(path, SHAPE, "train")["image"], IMAGES[..., None])
    assert npz.read(path, SHAPE, "test")["image"][0, 0, :, 0].tolist() == [0, 255, 128, 51]  # 127.5 goes to even


def test_other_sizes_are_brought_to_the_shape(save):
    data = npz.read(save(image=np.full((3, 9, 7, 4), 255, np.uint8)), (5, 5, 1), "train")
    np.testing.assert_array_equal(data["image"], np.full((2, 5, 5, 1), 255))


NAN = np.where(np.arange(16).reshape(4, 4) == 3, np.nan, 0.5) * np.ones((20, 1, 1))
BAD = {
    "unknown keys": ({"pixels": IMAGES}, "holds pixels. It needs `image`"),
    "half a split": ({"x_train": IMAGES}, "holds x_train. It needs"),
    "nan": ({"image": NAN}, "NaN"),
    "infinite": ({"image": np.full((20, 4, 4), np.inf)}, "infinite"),
    "range -1 to 1": ({"image": np.linspace(-1, 1, 320).reshape(20, 4, 4)}, "from -1 to 1; floats must lie in"),
    "range 0 to 255": ({"image": IMAGES.astype(np.float32)}, "from 0 to 255"),
    "int64": ({"image": IMAGES.astype(np.int64)}, "is int64; images are uint8"),
    "bool": ({"image": IMAGES > 3}, "is bool"),
    "text": ({"image": IMAGES.astype(str)}, "images are uint8"),
    "flat": ({"image": IMAGES.reshape(20, 16)}, r"shape \[20, 16\]"),
    "rank 5": ({"image": IMAGES[:, None, ..., None]}, "images are"),
    "two channels": ({"image": np.zeros((20, 4, 4, 2), np.uint8)}, "has 2 channels in its last axis"),
    "channels first": ({"image": np.zeros((20, 3, 5, 5), np.uint8)}, "transpose with"),
    "empty": ({"image": IMAGES[:0]}, "is empty"),
    "no width": ({"image": IMAGES[:, :, :0]}, "is empty"),
    "single": ({"image": IMAGES[:1]}, "a single image, which cannot be split"),
    "labels too short": ({"image": IMAGES, "label": LABELS[:-1]}, r"shape \[19\]; 20 images need 20 labels"),
    "one-hot": ({"image": IMAGES, "label": np.eye(4)[LABELS]}, r"shape \[20, 4\]"),
    "float labels": ({"image": IMAGES, "label": LABELS / 1}, "is float64; labels are whole numbers"),
    "negative labels": ({"image": IMAGES, "label": LABELS - 1}, "from -1 to 2"),
    "huge labels": ({"image": IMAGES, "label": LABELS + 2**40}, "counted from 0"),
    "empty test": ({"x_train": IMAGES, "x_test": IMAGES[:0]}, "`x_test` .* is empty"),
}


@pytest.mark.parametrize(("arrays", "said"), BAD.values(), ids=BAD)
def test_bad_content_is_refused(save, arrays, said):
    path = save(**arrays)
    with pytest.raises(UserError, match=said) as error:
        npz.read(path, SHAPE, "test")
    assert "data.npz" in str(error.value)


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_pickled_content_is_never_loaded(save, tmp_path):
    array = np.empty(1, object)
    array[0] = Payload(tmp_path / "owned")
    path = save(image=array)
    with pytest.raises(UserError, match="pickled objects are refused"):
        npz.read(path, SHAPE, "train")
    assert not (tmp_path / "owned").exists()


def test_files_that_are_no_npz(tmp_path, save):
    good = save(image=IMAGES).read_bytes()
    middle = len(good) // 2
    broken = {
        "text": b"not a zip",
        "empty": b"",
        "cut": good[:middle],
        "flipped": good[:middle] + bytes([good[middle] ^ 255]) + good[middle + 1 :],
        "magic": b"PK\x03\x04",
    }
    for name, content in broken.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"Cannot read .*{name}.npz"):
            npz.read(path, SHAPE, "train")
    with (tmp_path / "bare.npz").open("wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(UserError, match="one bare array"):
        npz.read(tmp_path / "bare.npz", SHAPE, "train")
