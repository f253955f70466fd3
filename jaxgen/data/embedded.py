"""Data sets that ship inside an installable package: a fresh, offline machine has them."""

import importlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.data import tfds
from jaxgen.data.cache import cache_dir, lock
from jaxgen.data.transforms import Shape, fit_all
from jaxgen.errors import UserError

BUILDERS = {"mnist_5k": "jaxgen.data.mnist_5k:Mnist5k"}
"""The TFDS builder of each set of records, imported when the set has to be prepared."""

READERS = {
    "lfw_faces": "jaxgen.data.lfw_faces:read",
    "tissue_patches": "jaxgen.data.tissue_patches:read",
    "photo_patches": "jaxgen.data.photos:read",
}
"""The function that reads each set that lies in its package as arrays or pictures; it takes the split."""

VALIDATED = frozenset({"photo_patches"})
"""The sets with validation data of their own."""

NAMES = (*BUILDERS, *READERS)
"""All embedded sets."""


def read(name: str, shape: Shape, split: str, data_dir: str = "") -> dict[str, np.ndarray]:
    """The set `name`, one of `NAMES`: {"image": uint8 [N, *shape], and "label": int32 [N] where there are classes}.

    One of `READERS` is read where it lies and brought to `shape` by `transforms.fit`. One of `BUILDERS` is what
    `tfds.read` gives, prepared at first use (about a second) in the cache; found damaged, by an interruption or later,
    it is prepared anew. Processes that need it at the same time wait for the one that prepares it. "validation" is the
    same as "test", but for the sets in `VALIDATED`.

    Raises `UserError` where the package that carries the set is missing.
    """
    if split == "validation" and name not in VALIDATED:
        split = "test"
    if name in READERS:
        data = _load(READERS[name])(split)
        return data | {"image": fit_all(data["image"], shape)}
    root = cache_dir(data_dir) / "tfds"
    try:
        return _read(name, root, shape, split)
    except tfds.UnreadableError:
        pass
    with lock(root / f".{name}.lock"):
        try:
            return _read(name, root, shape, split)  # another process was quicker
        except tfds.UnreadableError:
            _prepare(name, root)
        return _read(name, root, shape, split)


def _read(name: str, root: Path, shape: Shape, split: str) -> dict[str, np.ndarray]:
    return tfds.read(root / name / str(_builder(name).VERSION), shape, split)


def _prepare(name: str, root: Path) -> None:
    """Prepares the set in place of what there is. Only under the lock."""
    builder = _builder(name)
    shutil.rmtree(root / name / str(builder.VERSION), ignore_errors=True)
    for left_over in (root / name).glob("incomplete.*"):  # TFDS writes there, then renames
        shutil.rmtree(left_over, ignore_errors=True)
    try:
        with tfds.quiet():
            builder(data_dir=str(root)).download_and_prepare(file_format="array_record")
    except OSError as error:
        raise UserError(f"Cannot prepare {name} in {root} ({error}). Make room there, or pass --data-dir.") from error


def _builder(name: str) -> Any:
    tfds.library()
    return _load(BUILDERS[name])


def _load(path: str) -> Any:
    """What `path`, module:name, names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
