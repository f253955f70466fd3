"""The benchmark's MNIST: idx files to the .npz that `--data` takes."""

import gzip
import os
from pathlib import Path

import numpy as np

from jaxgen.data.cache import cache_dir
from jaxgen.errors import UserError

NOTE = "40 of the 256 grey levels of the training images are 1 lower than in the original (2% of pixels); see SOURCE.md"


def prepare(folder: Path) -> Path:
    """An .npz with `x_train`, `y_train`, `x_test`, `y_test`, made once. Raises `UserError` where a file is missing."""
    out = cache_dir() / "benchmarks" / "mnist.npz"
    parts = {"x_train": "train-images-idx3", "y_train": "train-labels-idx1"}
    parts |= {"x_test": "t10k-images-idx3", "y_test": "t10k-labels-idx1"}
    files = {name: folder / f"{stem}-ubyte.gz" for name, stem in parts.items()}
    if missing := [str(path) for path in files.values() if not path.is_file()]:
        raise UserError(f"The benchmark needs MNIST; missing: {', '.join(missing)}. Give its folder with --data DIR.")
    if not out.is_file():
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = out.with_suffix(f".{os.getpid()}.npz")  # of this process alone: two seeds may start at once
        np.savez(partial, allow_pickle=False, **{name: _read(path) for name, path in files.items()})
        partial.replace(out)
    return out


def _read(path: Path) -> np.ndarray:
    """An idx file: two zero bytes, type 8 (uint8), the number of axes, their sizes (big-endian), the values."""
    raw = gzip.decompress(path.read_bytes())
    axes = raw[3]
    shape = np.frombuffer(raw, ">i4", axes, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)
