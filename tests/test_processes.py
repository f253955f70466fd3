"""Two processes of two devices, through the command line, are one process of four: also killed, stopped and resumed."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxgen import assemble, cli, run_directory
from jaxgen import train as training
from jaxgen.checkpoint import Checkpoints
from jaxgen.data import synthetic

pytestmark = pytest.mark.usefixtures("compiled_once")

ROOT = Path(__file__).parent.parent
GLOO = re.compile(r"\[Gloo\]|peer ranks|^$")  # what it prints, in pieces: two processes' lines can mix
LIMIT = 240  # s that anything may take; a twentieth of it where nothing else runs

# Large eps: with the usual one, Adam's first updates of a parameter are lr * sign(gradient), which turns rounding into
# a difference where the gradient is nearly 0. Few steps: the processes exchange each gradient through sockets.
CONFIG = """
from jaxgen.config import MLP, Adam, Adversarial, Config, Loop

GENTLE = Adam(lr=0.1, b1=0.5, eps=1.0)


def get_config():
    return Config(
        domain="digits",
        data="DATA",
        shape=(8, 8, 1),
        model=MLP(z_dim=4, gen=(16,), disc=(16,)),
        game=Adversarial(gen=GENTLE, disc=GENTLE),
        batch=8,
        loop=Loop(steps=1_000_000, steps_per_call=2, log_every=2, sample_every=1_000_000, save_every=4),
    )
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A directory with a config that would run for many minutes, `tiny.py`, its data, and a cache."""
    home = tmp_path_factory.mktemp("home")
    np.savez(home / "images.npz", image=synthetic.images((8, 8, 1), 160)["image"])
    (home / "tiny.py").write_text(CONFIG.replace("DATA", str(home / "images.npz")))
    return home


@pytest.fixture
def start(home):
    """`start(workdir, *words)`: two processes at work on one run. None outlives the test."""
    with contextlib.ExitStack() as at_the_end:

        def start(workdir, *words, each=((), ())):
            """`words` to both processes, `each` to its own."""
            # Bound but not listening, and sharing as gRPC's servers do: nobody else is given the port.
            port = at_the_end.enter_context(socket.socket(socket.AF_INET6))
            port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            port.bind(("::", 0))
            group = ["--distributed", f"--coordinator=localhost:{port.getsockname()[1]}", "--processes=2"]
            processes = [
                jaxgen(
                    "train",
                    home / "tiny.py",
                    "--workdir",
                    workdir,
                    *group,
                    f"--process={i}",
                    *words,
                    *each[i],
                    home=home,
                )
                for i in range(2)
            ]
            for process in processes:
                at_the_end.callback(process.communicate)
                at_the_end.callback(process.kill)
            return processes

        yield start


def jaxgen(*words, home):
    """Starts `jaxgen ...` in a process of its own, on two devices."""
    known = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "2", "JAXGEN_CACHE": str(home / "cache")}
    known |= {"PYTHONPATH": str(ROOT), "COLUMNS": "200", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    known["XLA_FLAGS"] = "--xla_backend_optimization_level=0"  # a few steps: the compiler's time is what counts
    command = [sys.executable, "-m", "jaxgen.cli", *map(str, words)]
    return subprocess.Popen(
        command, env=os.environ | known, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    )


def wait_for(processes, condition):
    """Returns once the condition holds; fails where a process ends first."""
    end = time.monotonic() + LIMIT
    while not condition():
        for process in processes:
            assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.02)


def ended(processes):
    """[(code, stdout, stderr)] of processes that end within the limit."""
    end = time.monotonic() + LIMIT
    said = [process.communicate(timeout=max(end - time.monotonic(), 0.1)) for process in processes]
    return [(process.returncode, *texts) for process, texts in zip(processes, said, strict=True)]


def finished(processes):
    """What process 0 said, (stdout, stderr), of processes that end well; the other one has nothing to say."""
    (code, *said), (other_code, *other) = ended(processes)
    assert (code, other_code) == (0, 0), [*said, *other]
    assert [line for line in "".join(other).splitlines() if line and not GLOO.search(line)] == []
    return said


def alone(home, workdir, parallel, steps):
    """The same run, or the rest of it, in this process, on one device or on four."""
    _, config = assemble.config_named(str(home / "tiny.py"))
    loop = dataclasses.replace(config.loop, steps=steps)
    training.train(dataclasses.replace(config, parallel=parallel, loop=loop), workdir, quiet=True)


def newest(workdir):
    """The newest step that is saved, 0 where there is none."""
    return max([0, *Checkpoints(run_directory.checkpoints(workdir)).steps()])


def assert_same_runs(a, b, step):
    """To 1e-6: all that decides their future, and all that they logged, with every step in its place."""
    states, logs = [], []
    for workdir in (a, b):
        config, _ = run_directory.read_config(workdir)
        one = assemble.on_one_device(config)
        game = assemble.build(one).game
        with Checkpoints(run_directory.checkpoints(workdir)) as checkpoints:
            restored = checkpoints.restore(assemble.abstract_state(one, game), step)
        assert restored is not None
        states.append(restored[0].replace(key=jax.random.key_data(restored[0].key)))
        text = run_directory.metrics(workdir).read_text()
        logs.append([json.loads(line) for line in text.splitlines()])
    start = assemble.new_state(one, game).gen.params
    moved = [np.abs(x - y).max() for x, y in zip(*map(jax.tree.leaves, (start, states[0].gen.params)), strict=True)]
    assert max(moved) > 1e-2
    for x, y in zip(*map(jax.tree.leaves, states), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=1e-6)
    assert [line["step"] for line in logs[0]] == list(range(2, step + 1, 2))
    for x, y in zip(*logs, strict=True):
        assert x.keys() == y.keys()
        for name in x.keys() - {"time", "examples_per_second"}:
            assert abs(x[name] - y[name]) <= 1e-6, (x["step"], name)


@pytest.mark.parametrize(("parallel", "victim"), [("jit", 1), ("pmap", 0)])
def test_one_is_killed_and_both_go_on_as_one_process(parallel, victim, start, home, tmp_path):
    """Without its peer a process ends too, by JAX's hand; the next start has to find a whole run."""
    run = tmp_path / "two"
    processes = start(run, "--parallel", parallel)
    wait_for(processes, lambda: newest(run) >= 8)
    processes[victim].kill()
    codes = [code for code, *_ in ended(processes)]
    assert codes[victim] == -signal.SIGKILL
    assert codes[1 - victim] != 0
    before = newest(run)
    steps = before + 8
    out, err = finished(start(run, "--parallel", parallel, f"--loop.steps={steps}"))
    assert f"Going on from step {before}." in err
    assert f"step {steps}/{steps} " in err
    assert "\ndensity " in out
    assert out.endswith(f"{run}/samples/{steps}.gif\n{run}/samples/{steps}.png\n{run}/checkpoints/{steps}\n")
    _, environment = run_directory.read_config(run)
    assert (environment["devices"], environment["processes"]) == (4, 2)
    alone(home, tmp_path / "one", parallel, steps)
    assert_same_runs(run, tmp_path / "one", steps)


def test_signals_save_and_another_number_of_processes_goes_on(start, home, tmp_path):
    """SIGTERM to one of two processes, then to both; then four devices of one process, then one device."""
    run, before = tmp_path / "moved", 0
    for victims, parallel in (((1,), "jit"), ((0, 1), "pmap")):
        processes = start(run, "--parallel", parallel)
        wait_for(processes, lambda before=before: newest(run) > before)
        for i in victims:
            processes[i].send_signal(signal.SIGTERM)
        out, err = finished(processes)
        before = newest(run)
        assert f"Stopped by a signal at step {before}, which is saved." in err
        assert [line for line in out.splitlines() if not GLOO.search(line)] == []
    for parallel, steps in (("jit", before + 4), ("single", before + 8)):
        alone(home, run, parallel, steps)
    alone(home, tmp_path / "one", "single", before + 8)
    assert_same_runs(run, tmp_path / "one", before + 8)


def test_processes_that_do_not_belong_together(start, home, tmp_path):
    """All groups at once, as each waits for most of its time."""
    np.savez(tmp_path / "few.npz", image=synthetic.images((8, 8, 1), 4)["image"])
    groups = {
        "options": start(tmp_path / "a", each=([], ["--seed=1"])),
        "directories": start(tmp_path / "b", each=([], ["--workdir", tmp_path / "c"])),
        "alone": start(tmp_path / "d", each=([], ["--data", tmp_path / "few.npz"])),
    }
    found = {name: ended(processes) for name, processes in groups.items()}
    for name, said in (
        ("options", "The processes of this run were started with different options or data; give all the same."),
        ("directories", "is not the same directory for all processes of this run. Use a --workdir on a disk"),
    ):
        assert [code for code, *_ in found[name]] == [2, 2], found[name]
        assert all(said in err for *_, err in found[name])
    (waiting, *_), (code, _, err) = found["alone"]  # the first waits for the second until that leaves without it
    assert code == 2
    assert "fewer than a batch of 8" in err
    assert waiting != 0


def test_a_process_that_finds_no_other(home, tmp_path):
    def joining(*words):
        return jaxgen("train", home / "tiny.py", "--workdir", tmp_path / "run", *words, home=home)

    started = {}
    for i, said in ((0, "Start all 2 processes, each with its --process"), (1, "Check that process 0 runs")):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        words = [f"--coordinator=localhost:{port}", "--processes=2", f"--process={i}", "--join-timeout=3"]
        started[f"not all had come after 3 s (--join-timeout). {said}"] = joining(*words)
    started["Give each process --coordinator HOST:PORT"] = joining("--distributed")
    try:
        for said, process in started.items():
            [(code, out, err)] = ended([process])
            assert (code, out) == (2, ""), err
            assert "Traceback" not in err
            assert "This process could not join the others: " in err
            assert said in err
    finally:
        for process in started.values():
            process.kill()
            process.communicate()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--coordinator", "localhost:1234"], "--processes N and --process I must be given too"),
        (["--processes", "2", "--process", "0"], "--coordinator HOST:PORT must be given too"),
        (["--coordinator", "localhost", "--processes", "2", "--process", "0"], "must be HOST:PORT"),
        (["--coordinator", "localhost:99999", "--processes", "2", "--process", "0"], "must be HOST:PORT"),
        (["--coordinator", "localhost:1234", "--processes", "2", "--process", "2"], "--process must lie in 0 to 1"),
    ],
)
def test_a_group_is_named_in_full(words, said, home, capsys):
    assert cli.main(["train", str(home / "tiny.py"), "--distributed", *words]) == 2
    assert said in capsys.readouterr().err
