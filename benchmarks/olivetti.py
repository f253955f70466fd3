"""The benchmark's Olivetti faces: MATLAB's file to the .npz that `--data` takes."""

import os
from pathlib import Path

import numpy as np
import scipy.io

from jaxgen.data.cache import cache_dir
from jaxgen.data.order import permutation
from jaxgen.errors import UserError

PERSONS, EACH, HELD_OUT = 40, 10, 3
NOTE = "40 persons, of each 7 of 10 pictures to train on and 3 held out; licence unclear: for measurement only"


def prepare(folder: Path) -> Path:
    """An .npz with `x_train`, `y_train`, `x_test`, `y_test`, made once: uint8 [N, 64, 64, 1] and persons.

    Of person p, the pictures at the first three places of `permutation(10, (400, p))` are held out. Raises `UserError`
    where the file is missing.
    """
    out, file = cache_dir() / "benchmarks" / "olivetti.npz", folder / "olivettifaces.mat"
    if not file.is_file():
        raise UserError(f"The benchmark needs the Olivetti faces; {file} is missing. Give its folder with --data DIR.")
    if out.is_file():
        return out
    faces = scipy.io.loadmat(file)["faces"]  # [4096, 400], each column a picture, column by column
    images = faces.T.reshape(-1, 64, 64).swapaxes(1, 2)[..., None]
    person = np.repeat(np.arange(PERSONS), EACH)
    order = np.stack([EACH * p + permutation(EACH, (len(images), p)) for p in range(PERSONS)])  # [40, 10]
    rows = {"train": order[:, HELD_OUT:].ravel(), "test": order[:, :HELD_OUT].ravel()}
    arrays = {f"x_{split}": images[i] for split, i in rows.items()} | {f"y_{s}": person[i] for s, i in rows.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_suffix(f".{os.getpid()}.npz")  # of this process alone: two seeds may start at once
    np.savez(partial, allow_pickle=False, **arrays)
    partial.replace(out)
    return out
