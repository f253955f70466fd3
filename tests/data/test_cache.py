import subprocess
import sys
from pathlib import Path

import pytest

from jaxgen.data.cache import cache_dir, lock
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
