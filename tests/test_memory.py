import os
import subprocess
import sys

import pytest

from jaxgen import memory

ASKED = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


@pytest.fixture
def setting(monkeypatch, tmp_path):
    """The kernel's setting, as a file to write; a machine with glibc."""
    monkeypatch.setattr(memory, "_SETTING", tmp_path / "enabled")
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("glibc", "2.36"))
    return tmp_path / "enabled"


def test_large_pages_are_asked_for_where_the_kernel_gives_them_on_request(setting):
    setting.write_text("always [madvise] never\n")
    assert memory.huge_pages({}) == ASKED
    for unasked in ("[always] madvise never\n", "always madvise [never]\n"):
        setting.write_text(unasked)
        assert memory.huge_pages({}) == {}
    setting.unlink()
    assert memory.huge_pages({}) == {}


def test_the_users_own_choice_stays(setting, monkeypatch):
    setting.write_text("always [madvise] never\n")
    assert memory.huge_pages({"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}) == {}
    assert memory.huge_pages({"LD_PRELOAD": "libjemalloc.so"}) == {}
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("", ""))
    assert memory.huge_pages({}) == {}


def test_the_command_line_starts_anew_with_it_and_with_its_arguments():
    """Options of the interpreter are kept; the second start has nothing to add and goes on."""
    script = (
        "import os, sys\n"
        "from jaxgen import cli\n"
        "cli.huge_pages = lambda: {} if 'AGAIN' in os.environ else {'AGAIN': '1'}\n"
        "cli._dispatch = lambda words: print(os.environ.get('AGAIN'), words) or 0\n"
        "sys.exit(cli.main())\n"
    )

    def said(*words):
        env = {k: v for k, v in os.environ.items() if k != "AGAIN"}
        argv = [sys.executable, "-W", "error", "-c", script, *words]
        return subprocess.run(argv, env=env, capture_output=True, text=True, check=True, timeout=60).stdout

    assert said("train", "digits_gan", "--seed", "1") == "1 ['train', 'digits_gan', '--seed', '1']\n"
    assert said("sample", "runs/x") == "None ['sample', 'runs/x']\n"  # too short to gain anything
