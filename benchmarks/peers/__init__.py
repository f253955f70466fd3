"""The libraries jaxgen is measured against, each in its own virtual environment.

A peer is a folder with `requirements.txt`, pinned, `worker.py`, which speaks `benchmarks.protocol`, and a file for each
kind of job that it has. Its environment lies under `benchmarks/.venvs` (ignored by git), made at first use and again
whenever the requirements change.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.suites import Case
from benchmarks.worker import Command
from jaxgen.config import (
    MLP,
    MLPVAE,
    Clip,
    Conv,
    PassageVAE,
    Recurrent,
    Residual,
    SliceVAE,
    Spade,
    Spectrogram,
    UNet,
    Variational,
    Vocoder,
    Wave,
)

HERE = Path(__file__).resolve().parent
VENVS = HERE.parent / ".venvs"


@dataclass(frozen=True)
class Peer:
    """`variants(case, device)` are the ways to run its best on a device of that name; the fastest of them is the one
    that we are compared to. None where the peer has no such thing."""

    name: str
    variants: Callable[[Case, str], tuple[str, ...]]
    python: str = ""
    """An interpreter that has it, where it is not to be installed."""

    def command(self) -> Command:
        """How to start its worker; installs it first where need be."""
        return Command((self.python or str(environment(self.name)), "-m", f"benchmarks.peers.{self.name}.worker"))


def _torch(case: Case, device: str) -> tuple[str, ...]:
    """`compile` runs on the memory format that suits the networks: channels_last for convolutions. On a card its
    programs are also replayed as CUDA graphs. `loops` are the completions of texts as public implementations make
    them."""
    if not (HERE / "torch" / f"{case.kind}.py").exists():
        return ()
    model = case.config.model if case.config else None
    flat = isinstance(model, MLP | MLPVAE | SliceVAE | PassageVAE | Recurrent)
    convolves = case.kind == "layer" or (model and not flat)
    compiled = ("compile",) if device == "cpu" else ("compile", "compile_graphs")
    loops = ("loops",) if case.config and getattr(case.config.game, "estimator", "") == "reinforce" else ()
    return ("eager", *("channels_last",) * bool(convolves), *compiled, *loops)


def _artifex(case: Case, device: str) -> tuple[str, ...]:
    """`own` networks under its own trainers, and where it has our kind of pair, the `same` on its objectives: its
    peers/artifex/step.py says more."""
    if case.kind != "step" or not case.config or case.config.precision != "fp32":
        return ()
    ours_alone = Residual | UNet | Spade | SliceVAE | PassageVAE | Recurrent | Clip | Spectrogram | Wave | Vocoder
    if isinstance(case.config.model, ours_alone):
        return ()
    return ("own", "same") if isinstance(case.config.model, Conv) else ("own",)


def _pythae(case: Case, device: str) -> tuple[str, ...]:
    """`own` networks, and the `same` as ours, of a fully connected VAE: its peers/pythae/step.py says more."""
    config = case.config
    if case.kind != "step" or not config or config.precision != "fp32" or not isinstance(config.model, MLPVAE):
        return ()
    game = config.game
    if not isinstance(game, Variational) or (game.likelihood, game.beta, game.samples) != ("bernoulli", 1.0, 1):
        return ()
    return ("own", "same") if not game.beta_warmup else ()


PEERS = {peer.name: peer for peer in (Peer("torch", _torch), Peer("artifex", _artifex), Peer("pythae", _pythae))}


def environment(name: str, root: Path = VENVS) -> Path:
    """The Python of the peer's environment, installed from its pinned requirements. Returns at once where it is there.

    Raises `RuntimeError` with pip's words where the installation fails.
    """
    requirements = HERE / name / "requirements.txt"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    folder = root / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    mark = folder / "installed.sha256"
    if mark.exists() and mark.read_text() == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    root.mkdir(parents=True, exist_ok=True)
    (root / ".gitignore").write_text("*\n")
    print(f"installing {requirements.relative_to(HERE.parents[1])} into {folder}", file=sys.stderr)
    venv.create(folder, with_pip=True)
    argv = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)]
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"pip could not install {requirements}:\n{done.stderr[-4000:]}")
    mark.write_text(wanted)
    return python
