"""Who may write to a run's directory, and what it remembers of its beginning."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys

import jax
import pytest

from jaxgen import run_directory
from jaxgen.config import MLP, Adversarial, Config, ConvVAE, Loop, Variational
from jaxgen.errors import UserError

GAN = Config(domain="digits", model=MLP(), game=Adversarial())
VAE = Config(domain="digits", model=ConvVAE(widths=(8, 16)), game=Variational(beta=0.5), shape=(8, 8, 1), seed=3)

HOLD = """
import sys, time
from jaxgen.run_directory import claim
with claim(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the claim on tmp_path / "run"."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": "."},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path, holder):
    named = rf"process {holder.pid} on {socket.gethostname()}, started 20.*another --workdir"
    with pytest.raises(UserError, match=named), run_directory.claim(tmp_path / "run"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with run_directory.claim(tmp_path / "run") as workdir:
        assert json.loads((workdir / ".lock").read_text())["pid"] == os.getpid()


def test_a_claim_ends_with_its_context_even_by_an_error(tmp_path):
    with pytest.raises(UserError, match=f"process {os.getpid()} "), run_directory.claim(tmp_path / "a" / "b"):
        run_directory.claim(tmp_path / "a" / "b").__enter__()
    with run_directory.claim(tmp_path / "a" / "b"):
        pass


def test_a_claim_on_a_file_or_under_one(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(UserError, match="file, not a directory"), run_directory.claim(path):
            pass


def test_a_claim_where_nothing_may_be_written(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o700)
    if root := os.geteuid() == 0:  # to root all is permitted: be nobody
        os.seteuid(65534)
    else:
        locked.chmod(0o500)
    try:
        with pytest.raises(UserError, match=r"cannot be used: Permission denied"), run_directory.claim(locked / "run"):
            pass
    finally:
        if root:
            os.seteuid(0)
        else:
            locked.chmod(0o700)


def test_other_processes_of_a_run_take_no_lock_and_write_nothing(tmp_path, monkeypatch):
    with run_directory.claim(tmp_path):
        monkeypatch.setattr(jax, "process_index", lambda: 1)
        with run_directory.claim(tmp_path):
            run_directory.write_config(tmp_path, GAN)
    assert os.listdir(tmp_path) == [".lock"]


@pytest.mark.parametrize("config", [GAN, VAE])
def test_config_comes_back_equal(tmp_path, config):
    run_directory.write_config(tmp_path / "run", config, data_fingerprint="abc")
    read, environment = run_directory.read_config(tmp_path / "run")
    assert read == config
    assert type(read.model) is type(config.model)
    assert environment["data_fingerprint"] == "abc"
    assert environment["versions"]["jax"] == jax.__version__
    assert (environment["backend"], environment["devices"]) == (jax.default_backend(), jax.device_count())
    assert (environment["prng"], environment["processes"]) == ("threefry2x32", 1)
    assert os.listdir(tmp_path / "run") == ["config.json"]


def test_a_failed_write_leaves_the_old_config(tmp_path, monkeypatch):
    run_directory.write_config(tmp_path, GAN)
    monkeypatch.setattr(os, "replace", fail := lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(UserError, match="No space left on device"):
        run_directory.write_config(tmp_path, VAE)
    assert run_directory.read_config(tmp_path)[0] == GAN


def test_no_run(tmp_path):
    with pytest.raises(UserError, match="There is no run at"):
        run_directory.read_config(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"is not a run: it holds no config.json"):
        run_directory.read_config(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "3", "{}", "\udcff"),
        '{"config": 3, "environment": {}}',
        '{"config": {}, "environment": {}}',
        '{"config": {"domain": "x", "model": 3, "game": 4}, "environment": {}}',
        '{"config": {"no": 1}, "environment": {}}',
    ],
)
def test_a_broken_config(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("utf8", "surrogateescape"))
    with pytest.raises(UserError, match=r"config.json (cannot be read|does not fit)"):
        run_directory.read_config(tmp_path)


def test_what_a_resumed_run_may_change(tmp_path):
    run_directory.write_config(tmp_path, GAN, data_fingerprint="abc")
    run_directory.check_resumable(tmp_path, GAN, "abc")
    longer = dataclasses.replace(GAN, loop=Loop(steps=9), parallel="jit", data_dir="/x", download=True)
    run_directory.check_resumable(tmp_path, longer, "abc")


def test_what_it_may_not_change(tmp_path):
    run_directory.write_config(tmp_path, GAN, data_fingerprint="abc")
    other = dataclasses.replace(GAN, batch=64, game=Adversarial(loss="hinge"))
    with pytest.raises(UserError) as error:
        run_directory.check_resumable(tmp_path, other, "def")
    for part in ("batch: 128 -> 64", "game.loss: relativistic -> hinge", "abc -> def", "another --workdir"):
        assert part in str(error.value)


def test_files_that_are_kept(tmp_path, monkeypatch):
    run_directory.write_kept(tmp_path, {"words.json": '["\u00e4", "b"]', "other.txt": "1"})
    assert sorted(os.listdir(tmp_path)) == ["other.txt", "words.json"]
    assert json.loads(run_directory.read_kept(tmp_path, "words.json")) == ["\u00e4", "b"]
    run_directory.write_kept(tmp_path, {"words.json": "[]"})
    assert json.loads(run_directory.read_kept(tmp_path, "words.json")) == []
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    run_directory.write_kept(tmp_path, {"words.json": "[1]"})
    assert json.loads(run_directory.read_kept(tmp_path, "words.json")) == []


def test_files_that_are_kept_but_gone_or_damaged(tmp_path):
    with pytest.raises(UserError, match=r"words\.json cannot be read .*Go on with the run, which writes it"):
        run_directory.read_kept(tmp_path, "words.json")
    (tmp_path / "words.json").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UserError, match=r"words\.json cannot be read"):
        run_directory.read_kept(tmp_path, "words.json")


def test_paths():
    assert str(run_directory.checkpoints("gs://b/run")) == "gs://b/run/checkpoints"
    assert str(run_directory.samples("/x")) == "/x/samples"
    assert str(run_directory.metrics("/x")) == "/x/metrics.jsonl"
