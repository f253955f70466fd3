import contextlib
import json
import shutil
import socket
import sys
import urllib.request

import numpy as np
import pytest

from jaxgen.data import tfds
from jaxgen.data.heldout import split_indices
from jaxgen.errors import UserError

SHAPE = (4, 4, 1)


def rows(data):
    """Which rows of a tiny set these are."""
    assert (data["image"] == data["image"][:, :1, :1]).all()
    return (data["image"][:, 0, 0, 0] // 10).tolist()


@pytest.mark.parametrize("png", [False, True])
def test_reads_images_and_labels_in_order(prepare_tiny, png):
    directory = prepare_tiny({"train": 7, "test": 3}, png=png)
    train, test = tfds.read(directory, SHAPE, "train"), tfds.read(directory, SHAPE, "test")
    assert (rows(train), train["label"].tolist()) == (list(range(7)), [0, 1, 2, 0, 1, 2, 0])
    assert (rows(test), test["label"].tolist()) == ([0, 1, 2], [0, 1, 2])
    assert (train["image"].dtype, train["label"].dtype) == (np.uint8, np.int32)
    assert "tensorflow" not in sys.modules


def test_reads_in_several_pieces(prepare_tiny, monkeypatch):
    directory = prepare_tiny({"train": 7, "test": 3})
    monkeypatch.setattr(tfds, "_CHUNK", 3)
    assert rows(tfds.read(directory, SHAPE, "train")) == list(range(7))


def test_other_sizes_are_brought_to_the_shape(prepare_tiny):
    data = tfds.read(prepare_tiny({"train": 3, "test": 3}), (2, 6, 3), "test")
    assert data["image"].shape == (3, 2, 6, 3)
    assert rows(data) == [0, 1, 2]


def test_validation_stands_in_for_test(prepare_tiny):
    directory = prepare_tiny({"train": 5, "validation": 2})
    assert rows(tfds.read(directory, SHAPE, "test")) == [0, 1]
    assert rows(tfds.read(directory, SHAPE, "train")) == list(range(5))
    assert rows(tfds.read(directory, SHAPE, "validation")) == [0, 1]


def test_validation_beside_test(prepare_tiny):
    directory = prepare_tiny({"train": 5, "validation": 2, "test": 3})
    sizes = {split: len(rows(tfds.read(directory, SHAPE, split))) for split in ("train", "validation", "test")}
    assert sizes == {"train": 5, "validation": 2, "test": 3}


def test_else_a_tenth_is_held_out(prepare_tiny):
    directory = prepare_tiny({"train": 20})
    for split in ("train", "test"):
        expected = split_indices(20, split, "").tolist()
        data = tfds.read(directory, SHAPE, split)
        assert rows(data) == expected
        assert data["label"].tolist() == [i % 3 for i in expected]


def test_no_training_split(prepare_tiny):
    with pytest.raises(UserError, match="no split `train`; it has extra"):
        tfds.read(prepare_tiny({"extra": 2}), SHAPE, "train")


@pytest.mark.parametrize("label", ["", "text", "hidden"])
def test_sets_without_usable_labels(prepare_tiny, label):
    assert tfds.read(prepare_tiny({"train": 3, "test": 2}, label=label), SHAPE, "train").keys() == {"image"}


def test_a_set_without_images_says_what_it_has(prepare_tiny):
    directory = prepare_tiny({"train": 3, "test": 2})
    features = json.loads((directory / "features.json").read_text())
    inner = features["featuresDict"]["features"]
    inner["picture"] = inner.pop("image")
    (directory / "features.json").write_text(json.dumps(features))
    with pytest.raises(UserError, match="no feature `image`, only label, picture"):
        tfds.read(directory, SHAPE, "train")


def test_a_set_prepared_for_tensorflow_is_refused(prepare_tiny):
    directory = prepare_tiny({"train": 3, "test": 2})
    info = (directory / "dataset_info.json").read_text()
    (directory / "dataset_info.json").write_text(info.replace("array_record", "tfrecord"))
    with pytest.raises(UserError, match="prepared as tfrecord, which needs TensorFlow"):
        tfds.read(directory, SHAPE, "train")


def damage(directory, what):
    records = next(directory.glob("*train.array_record*"))
    good = records.read_bytes()
    if what == "flipped":
        records.write_bytes(good[:70] + bytes([good[70] ^ 255]) + good[71:])
    elif what == "cut":
        records.write_bytes(good[: len(good) // 2])
    elif what == "emptied":
        records.write_bytes(b"")
    elif what == "missing":
        records.unlink()
    elif what == "features":
        (directory / "features.json").write_text("{")
    elif what == "no features":
        (directory / "features.json").unlink()
    elif what == "deep features":
        (directory / "features.json").write_text("[" * 100_000)
    elif what == "huge features":
        (directory / "features.json").write_text(" " * 2**21)
    elif what == "info":
        (directory / "dataset_info.json").write_text('{"name": 3')


DAMAGES = (
    "flipped",
    "cut",
    "emptied",
    "missing",
    "features",
    "no features",
    "deep features",
    "huge features",
    "info",
)


@pytest.mark.parametrize("what", DAMAGES)
def test_damage_is_reported(prepare_tiny, what):
    directory = prepare_tiny({"train": 7, "test": 3})
    damage(directory, what)
    with pytest.raises(tfds.UnreadableError, match=r"Cannot read the data set in .*1\.0\.0"):
        tfds.read(directory, SHAPE, "train")


TEXT = "tensorflow_datasets.core.features.text_feature.Text"
SEQUENCE = "tensorflow_datasets.core.features.sequence_feature.Sequence"
DICT = "tensorflow_datasets.core.features.features_dict.FeaturesDict"
HIDING_PLACES = {  # each makes TFDS 4.9.10 import the module `hostile`
    "protobuf": {"pythonClassName": "hostile.Feature", "jsonFeature": {"json": "{}"}},
    "other spelling": {"python_class_name": "hostile.Feature", "jsonFeature": {"json": "{}"}},
    "legacy": {"type": "hostile.Feature", "content": {}},
    "nested": {
        "pythonClassName": DICT,
        "featuresDict": {"features": {"image": {"pythonClassName": "hostile.Feature", "jsonFeature": {"json": "{}"}}}},
    },
    "json in json": {
        "pythonClassName": SEQUENCE,
        "jsonFeature": {"json": json.dumps({"feature": {"type": "hostile.Feature", "content": {}}, "length": 3})},
    },
    "protobuf in a string": {
        "type": DICT,
        "proto_cls": "tensorflow_datasets.FeaturesDict",
        "content": json.dumps(
            {"features": {"image": {"pythonClassName": "hostile.Feature", "jsonFeature": {"json": "{}"}}}}
        ),
    },
    "legacy in protobuf": {
        "type": SEQUENCE,
        "content": {"feature": {"python_class_name": "hostile.Feature", "jsonFeature": {"json": "{}"}}, "length": 3},
    },
}


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A module on the path that leaves a file behind when it is imported; the file's path."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "hostile.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    yield tmp_path / "owned"
    sys.modules.pop("hostile", None)


@pytest.mark.parametrize("features", HIDING_PLACES.values(), ids=HIDING_PLACES)
def test_a_set_that_names_foreign_code_is_refused(prepare_tiny, hostile, features):
    directory = prepare_tiny({"train": 3, "test": 2})
    (directory / "features.json").write_text(json.dumps(features))
    with pytest.raises(tfds.UnreadableError, match=r"names the class 'hostile\.Feature'.*could run foreign code"):
        tfds.read(directory, SHAPE, "train")
    assert not hostile.exists()
    with contextlib.suppress(Exception):  # what the check is for: TFDS imports it, whatever it says of it then
        tfds.library().builder_from_directory(str(directory))
    assert hostile.exists()


@pytest.mark.parametrize("name", [3, ["x"], None, "os.path", "tensorflow_datasets.core.features.video_feature.Video"])
def test_only_listed_classes_pass(tmp_path, name):
    (tmp_path / "features.json").write_text(json.dumps({"pythonClassName": name}))
    with pytest.raises(tfds.UnreadableError, match="names the class"):
        tfds.check_features(tmp_path)


def test_listed_classes_exist():
    library = tfds.library()
    public = {f"{c.__module__}.{c.__name__}" for c in map(library.features.__dict__.get, library.features.__all__)}
    assert public >= tfds.FEATURES


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        ("mnist", ("mnist", "", "")),
        ("a_1/b-2.c", ("a_1", "b-2.c", "")),
        ("a:1.0.0", ("a", "", "1.0.0")),
        ("a/b:1.0.0", ("a", "b", "1.0.0")),
        ("../etc", None),
        ("a/../b", None),
        ("a/..", None),
        ("huggingface:mnist", None),
        ("A", None),
    ],
)
def test_names(data, parts):
    assert tfds.parse(data) == parts
    assert tfds.find(data) is None


def test_finds_the_newest_version_the_named_one_and_the_config(prepare_tiny, cache):
    first = prepare_tiny({"train": 3, "test": 2})
    base = first.parent
    for version in ("1.10.0", "1.9.0"):
        shutil.copytree(first, base / version)
    (base / "2.0.0").mkdir()  # not prepared
    assert tfds.find("tiny") == base / "1.10.0"
    assert tfds.find("tiny:1.9.0") == base / "1.9.0"
    assert tfds.find("tiny:2.0.0") is None
    assert tfds.find("tiny/grey") is None

    shutil.copytree(first, cache / "tfds" / "many" / "grey" / "1.0.0")
    assert tfds.find("many") == cache / "tfds" / "many" / "grey" / "1.0.0"
    shutil.copytree(first, cache / "tfds" / "many" / "colour" / "1.0.0")
    with pytest.raises(UserError, match="name one of them: many/colour, many/grey"):
        tfds.find("many")
    assert tfds.find("many/grey:1.0.0") == cache / "tfds" / "many" / "grey" / "1.0.0"
    (cache / "tfds" / "many" / ".config").mkdir()
    (cache / "tfds" / "many" / ".config" / "metadata.json").write_text('{"default_config_name": "colour"}')
    assert tfds.find("many") == cache / "tfds" / "many" / "colour" / "1.0.0"


def test_looks_in_the_directory_given_too(prepare_tiny, cache):
    """`data_dir` may be the directory in which TFDS itself prepares its sets."""
    directory = prepare_tiny({"train": 3, "test": 2})
    assert tfds.find("tiny", str(cache / "tfds")) == directory
    assert tfds.find("tiny", str(cache)) == directory
    assert tfds.find("tiny", str(cache / "other")) is None


def test_download_prepares_in_a_readable_format(cache, monkeypatch, tiny):
    monkeypatch.setattr(tfds.library(), "builder_cls", lambda name: {"tiny": tiny({"train": 5, "test": 2})}[name])
    directory = tfds.download("tiny")
    assert directory == cache / "tfds" / "tiny" / "1.0.0"
    assert rows(tfds.read(directory, SHAPE, "train")) == list(range(5))
    monkeypatch.undo()
    monkeypatch.setenv("JAXGEN_CACHE", str(cache))
    assert tfds.download("tiny") == directory  # there already: TFDS, which knows no such set, is not asked


def test_download_without_a_network_fails_at_once(monkeypatch):
    asked = []

    def unknown(host, *args, **kwargs):
        asked.append(host)
        raise socket.gaierror("no network")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    with pytest.raises(UserError, match=r"mnist has to be downloaded from storage\.googleapis\.com"):
        tfds.download("mnist")
    assert asked == ["storage.googleapis.com"]


def test_whatever_tfds_says_is_passed_on():
    with pytest.raises(UserError, match=r"could not download and prepare 'mnist/none'.*none"):
        tfds.download("mnist/none")


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(UserError, match=r'pip install "jaxgen\[data\]"'):
        tfds.names()
