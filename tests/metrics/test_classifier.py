import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.metrics import classifier as module
from jaxgen.metrics.classifier import classifier

STEPS = 40


def bars(n, seed, channels=1):
    """[n, 8, 8, C] uint8: a bright bar, upright (class 1) or lying (class 0), at any place, in noise."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (n, 8, 8, channels))
    labels = rng.integers(0, 2, n)
    for image, label, at in zip(images, labels, rng.integers(1, 7, n), strict=True):
        image[(slice(None), at) if label else at] += 180
    return images.astype(np.uint8), labels


@pytest.fixture(scope="module")
def data():
    return *bars(300, 0), *bars(100, 1)


@pytest.fixture(scope="module")
def trained(data):
    return classifier(*data, cache_dir=None, steps=STEPS)


@pytest.fixture
def no_training(monkeypatch):
    def fail(*_):
        raise AssertionError("trained again")

    return lambda: monkeypatch.setattr(module, "_train", fail)


def test_learns_and_says_how_well(data, trained):
    assert trained.heldout_accuracy > 0.9
    assert trained.heldout_accuracy == (trained.probabilities(data[2]).argmax(1) == data[3]).mean()


def test_features_and_probabilities(data, trained):
    features, probabilities = trained.features_and_probabilities(data[0])
    assert features.shape == (300, 128)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(features.std(1), 1, atol=1e-3)
    assert probabilities.shape == (300, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(trained.features(data[0]), features)


def test_the_batch_an_image_comes_in_does_not_matter(data, trained):
    together = trained.features(data[0])  # 300: a full batch of 256 and a filled one
    alone = np.concatenate([trained.features(data[0][i : i + 1]) for i in (0, 255, 256, 299)])
    np.testing.assert_allclose(alone, together[[0, 255, 256, 299]], atol=1e-5)


def test_same_data_and_seed_same_hash(data, trained):
    assert classifier(*data, cache_dir=None, steps=STEPS).hash == trained.hash
    assert classifier(*data, cache_dir=None, steps=STEPS, seed=1).hash != trained.hash


def test_the_cache_saves_training(data, trained, tmp_path, no_training):
    assert classifier(*data, cache_dir=tmp_path / "new", steps=STEPS).hash == trained.hash
    assert [p.suffix for p in (tmp_path / "new").iterdir()] == [".npz"]  # and no .tmp left
    no_training()
    again = classifier(*data, cache_dir=tmp_path / "new", steps=STEPS)
    assert again.hash == trained.hash
    assert again.heldout_accuracy == trained.heldout_accuracy
    other = data[0].copy()
    other[0, 0, 0] += 1
    with pytest.raises(AssertionError, match="trained again"):
        classifier(other, *data[1:], cache_dir=tmp_path / "new", steps=STEPS)
    with pytest.raises(AssertionError, match="trained again"):
        classifier(*data, cache_dir=tmp_path / "new", steps=STEPS, seed=1)


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "another network", "not an archive"])
def test_a_damaged_copy_is_made_again(data, trained, tmp_path, damage, monkeypatch):
    monkeypatch.setattr(module, "_train", lambda *_: trained.params)
    classifier(*data, cache_dir=tmp_path, steps=STEPS)
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    if damage == "another network":
        np.savez(path, hash=np.array(module._hash({"w": np.ones(3)})), w=np.ones(3))
    else:
        middle = len(good) // 2
        flipped = good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]
        path.write_bytes({"empty": b"", "cut": good[:middle], "flipped": flipped, "not an archive": b"x" * 99}[damage])
    assert classifier(*data, cache_dir=tmp_path, steps=STEPS).hash == trained.hash
    with np.load(path) as file:
        assert str(file["hash"]) == trained.hash


def test_shifts_move_content_by_two_pixels_at_most():
    images = np.zeros((200, 9, 9, 1), np.uint8)
    images[:, 4, 4] = 255
    at = np.argwhere(module._shifted(images, np.random.default_rng(0)))[:, 1:3] - 4
    assert len(at) == 200
    assert {tuple(a) for a in at} == {(i, j) for i in range(-2, 3) for j in range(-2, 3)}


def test_colour_and_odd_sizes():
    images, labels = bars(20, 0, channels=3)
    wide = np.pad(images, ((0, 0), (0, 1), (0, 3), (0, 0)))  # 9 x 11
    found = classifier(wide, labels, wide, labels, cache_dir=None, steps=1)
    assert found.features(wide).shape == (20, 128)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"images": np.zeros((300, 8, 8, 1), np.float32)}, "images is float32"),
        ({"labels": np.zeros(299, int)}, "labels"),
        ({"labels": np.zeros(300, int)}, "two classes"),
        ({"labels": np.full(300, -1)}, "from 0"),
        ({"heldout_labels": np.full(100, 2)}, "has class 2"),
        ({"heldout_images": np.zeros((100, 9, 9, 1), np.uint8)}, "resize"),
    ],
)
def test_refuses(data, change, says):
    names = ("images", "labels", "heldout_images", "heldout_labels")
    with pytest.raises(UserError, match=says):
        classifier(**(dict(zip(names, data, strict=True)) | change), cache_dir=None, steps=1)


def test_refuses_images_of_another_shape(trained):
    with pytest.raises(UserError, match="resize"):
        trained.features(np.zeros((2, 28, 28, 1), np.uint8))
