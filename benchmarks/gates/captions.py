"""Beside gate 3: its captions again, held out from those that are about the same things.

Texygen's test file is about other things than its training file, so that BLEU against it goes by how often a generator
writes of which subject (benchmarks/NOTES.md). Here the end of each of the two files is held out.
"""

from pathlib import Path

from benchmarks import captions, texts
from benchmarks.gates import Verdict

DATA = "text"


def measure(seed: int, data: Path, workdir: Path) -> Verdict:
    """Trains and judges as `benchmarks.captions` says."""
    return captions.judge(seed, texts.captions_alike(data.parent, workdir / "captions"), workdir)
