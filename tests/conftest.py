"""Four virtual CPU devices for every test, strict ranks, no network."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_collection_modifyitems(items):
    """The README's commands first: minutes in processes of their own, for which the last worker would be waited."""
    items.sort(key=lambda item: item.name != "test_commands_run")


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Any connection but one on this machine's own sockets is a defect: jaxgen is offline unless asked."""

    def refuse(self, address, *args):
        raise AssertionError(f"a test tried to connect to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


@pytest.fixture(scope="module", autouse=True)
def programs_are_dropped():
    """Each compiled program holds memory maps; after 20 minutes a worker had 25,718 of the 65,530 that Linux allows it,
    and another died in the compiler."""
    yield
    jax.clear_caches()


@pytest.fixture(autouse=True)
def maps_do_not_run_out():
    """Also within a module: each of 46 configs in one leaves some 350 maps, and a worker died in its compiler there."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 15_000:
        jax.clear_caches()


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory):
    """A second start of a run reads the programs that the first one compiled."""
    options = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("xla")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    before = {name: getattr(jax.config, name) for name in options}
    for name, value in options.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(scope="module")
def compiled_quickly():
    """For small networks that run a few times: compiling takes half as long, running them longer."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def disk(tmp_path):
    """Makes a small file system: `disk("6m")` is its directory."""
    mounted = []

    def make(size):
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        mount = shutil.which("mount")
        command = [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        if mount is None or subprocess.run(command, check=False).returncode:
            pytest.skip("mounting a small tmpfs takes root")
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)
