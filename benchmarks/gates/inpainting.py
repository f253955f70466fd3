"""Part of gate 8: photographs with free-form holes, against the mean of what is left."""

from pathlib import Path

from benchmarks import restored
from benchmarks.gates import Verdict

DATA = None


def measure(seed: int, data: Path | None, workdir: Path) -> Verdict:
    """Trains `inpainting` with the seed."""
    return restored.measure({"": "inpainting"}, ("mean_fill",), seed, workdir)
