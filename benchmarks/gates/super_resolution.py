"""Part of gate 8: photographs twice and four times as large, against enlargement by bicubic and Lanczos filters."""

from pathlib import Path

from benchmarks import restored
from benchmarks.gates import Verdict

DATA = None
CONFIGS = {"": "super_resolution", "_x4": "super_resolution_x4"}


def measure(seed: int, data: Path | None, workdir: Path) -> Verdict:
    """Trains both with the seed."""
    return restored.measure(CONFIGS, ("bicubic", "lanczos"), seed, workdir)
