import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxgen.data.cache import cache_dir, lock, made_once
from jaxgen.errors import UserError


def test_the_argument_goes_before_the_environment_and_that_before_home(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXGEN_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    assert cache_dir(str(tmp_path / "other")) == tmp_path / "other"
    monkeypatch.delenv("JAXGEN_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "jaxgen"
    assert cache_dir("~/x") == tmp_path / "x"
    assert cache_dir("relative").is_absolute()


def test_a_second_process_waits_for_the_lock(tmp_path):
    path = tmp_path / "set.lock"
    code = f"import fcntl; fcntl.flock(open({str(path)!r}, 'a'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with lock(path):
        held = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    free = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "BlockingIOError" in held.stderr
    assert free.returncode == 0, free.stderr


def test_a_directory_that_cannot_be_made_is_the_users_to_mend(tmp_path):
    Path(tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="JAXGEN_CACHE"), lock(tmp_path / "file" / "set.lock"):
        pass


def test_arrays_are_made_once_and_again_where_they_do_not_fit(tmp_path):
    path, times = tmp_path / "sets" / "squares.npz", []

    def make():
        times.append(len(times))
        return {"squares": np.arange(4) ** 2 + times[-1]}

    def fit(found):
        return found["squares"][0] == 0

    for _ in range(2):
        np.testing.assert_array_equal(made_once(path, make, fit)["squares"], [0, 1, 4, 9])
    assert times == [0]
    np.testing.assert_array_equal(made_once(path, make, lambda found: False)["squares"], [1, 2, 5, 10])
    for spoil in (lambda: np.savez(path, cubes=np.arange(4)), lambda: path.write_bytes(path.read_bytes()[:99])):
        spoil()
        before = len(times)
        assert made_once(path, make, lambda found: found["squares"].shape == (4,))["squares"][0] == before
        assert len(times) == before + 1
    assert {file.name for file in path.parent.iterdir()} == {"squares.npz", "squares.lock"}


def test_arrays_that_cannot_be_kept_are_the_users_to_mend(tmp_path):
    (tmp_path / "a.partial").mkdir()
    with pytest.raises(UserError, match=r"Cannot write .*a\.npz.*--data-dir"):
        made_once(tmp_path / "a.npz", lambda: {"x": np.zeros(1)}, lambda found: True)
