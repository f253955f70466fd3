"""Part of gate 8: photographs with white noise of 25 grey levels, against the median filter."""

from pathlib import Path

from benchmarks import restored
from benchmarks.gates import Verdict

DATA = None


def measure(seed: int, data: Path | None, workdir: Path) -> Verdict:
    """Trains `denoising` with the seed; what is to be beaten is the better of medians over 3x3 and 5x5 pixels."""
    return restored.measure({"": "denoising"}, ("median3", "median5"), seed, workdir)
