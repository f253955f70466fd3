"""What README.md shows works: every Python block runs, and every command does, made short."""

import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxgen.data import synthetic

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"

# Starts of commands that are not run here: CI runs the first four, the others need another machine or a person.
ELSEWHERE = (
    "python -m pip install",
    "bash .ci/run",
    "python -m pytest",
    "python -m benchmarks",
    "pip install",
    "git clone",
    "cd ",
    "tensorboard ",
    "gcloud ",
    "sbatch ",
)
SHORT = ["steps", "steps-per-call", "log-every", "sample-every", "save-every"]


def blocks(*languages):
    """The contents of the fenced blocks of these languages, in order."""
    text = README.read_text() if README.exists() else ""
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def commands():
    """Every command of the shell blocks, without output and comments: (its words, what it sets in the environment)."""
    found = []
    for block in blocks("bash", "sh", "shell", "console"):
        lines = block.replace("\\\n", " ").splitlines()
        if any(line.startswith("$ ") for line in lines):
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        for line in lines:
            tokens = shlex.split(line, comments=True)
            for between, group in itertools.groupby(tokens, lambda token: token == "&&"):
                words, env = list(group), {}
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    name, value = words.pop(0).split("=", 1)
                    env[name] = value
                if words and not between:
                    found.append((words, env))
    return found


def elsewhere(words):
    several = "--processes" in words or any("gs://" in word for word in words)  # tests/test_processes.py has these
    return shlex.join(words).startswith(ELSEWHERE) or several


def run(command, cwd, **env):
    known = {"JAX_PLATFORMS": "cpu", "JAXGEN_CACHE": str(cwd / "cache"), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    known["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    known["XLA_FLAGS"] = "--xla_backend_optimization_level=0"  # ten steps: the compiler's time is what counts
    done = subprocess.run(command, cwd=cwd, env=os.environ | env | known, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{shlex.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_readme_shows_both_ways_to_use_it():
    assert README.exists()
    shown = "\n".join(blocks("python"))
    assert "from jaxgen.steps.gan import" in shown
    assert "train_step" in shown
    assert ["jaxgen", "train"] in [words[:2] for words, _ in commands()]


def test_every_command_is_run_here_or_known_to_be_run_elsewhere():
    unknown = [words for words, _ in commands() if words[0] != "jaxgen" and not elsewhere(words)]
    assert unknown == []


def test_python_blocks_run(tmp_path):
    """One after the other, as one program on four devices: a later block may use what an earlier one made."""
    parts = blocks("python")
    if not parts:
        pytest.fail("README.md has no Python blocks")
    (tmp_path / "readme.py").write_text("\n\n".join(parts))
    run([sys.executable, "-W", "error", "readme.py"], tmp_path, JAX_NUM_CPU_DEVICES="4")


def test_commands_run(tmp_path):
    """In order and in one directory, on synthetic images and for ten steps."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    images = synthetic.images((28, 28, 1), 400)["image"]
    np.savez(tmp_path / "images.npz", image=images)
    one = np.zeros(len(images), np.int32)  # a single class: no classifier is trained to measure with
    np.savez(tmp_path / "labelled.npz", image=images, label=one)
    ours = [(words, env) for words, env in commands() if words[0] == "jaxgen" and not elsewhere(words)]
    assert ours
    latest = ""
    for words, env in ours:
        words = [latest if word == "RUN" else word for word in words[1:]]
        if words[0] == "train" and "--help" not in words:
            data = "labelled.npz" if any("classes" in word for word in words) else "images.npz"
            words += ["--data", data, *(f"--loop.{name}=10" for name in SHORT)]
        devices = "2" if any("--parallel" in word for word in words) else "1"
        said = run([sys.executable, "-m", "jaxgen.cli", *words], tmp_path, JAX_NUM_CPU_DEVICES=devices, **env)
        if words[0] == "train" and "--help" not in words:
            checkpoint = Path(said.splitlines()[-1])
            assert checkpoint.is_dir()
            latest = str(checkpoint.parent.parent)
