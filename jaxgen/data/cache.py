"""Where prepared data sets live, and how two processes keep out of each other's way there."""

import contextlib
import fcntl
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from jaxgen.errors import UserError

Arrays = Mapping[str, np.ndarray]


def cache_dir(data_dir: str = "") -> Path:
    """`data_dir`, else the environment's JAXGEN_CACHE, else ~/.cache/jaxgen. It need not exist yet."""
    return Path(data_dir or os.environ.get("JAXGEN_CACHE") or "~/.cache/jaxgen").expanduser().absolute()


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Holds the lock file `path` while the block runs; waits for another process that holds it.

    The file stays behind: removing it would let two processes lock two files of one name. Raises `UserError` where the
    directory cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise UserError(
            f"Cannot write to {path.parent} ({error.strerror}). Pass --data-dir with a directory that can be written, "
            "or set JAXGEN_CACHE."
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go by the system when the file is closed or the process dies
        yield


def made_once(path: Path, make: Callable[[], Arrays], fits: Callable[[Arrays], bool]) -> Arrays:
    """The arrays of the file `path` (.npz), or if it is missing, damaged or does not fit, what `make` gives, which is
    kept there.

    `fits` is told the arrays of the file, and may raise KeyError where one is missing. Processes that need the file at
    the same time wait for the one that makes it, and none sees half of it. Raises `UserError` where it cannot be
    written.
    """
    made = _read(path, fits)
    if made is None:
        with lock(path.with_suffix(".lock")):
            made = _read(path, fits)  # another process was quicker
            if made is None:
                made = make()
                _write(path, made)
    return made


def _read(path: Path, fits: Callable[[Arrays], bool]) -> Arrays | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as opened:
            found = dict(opened)
        return found if fits(found) else None
    except (OSError, ValueError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error):
        return None


def _write(path: Path, made: Arrays) -> None:
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **made)
        partial.replace(path)
    except OSError as error:
        raise UserError(f"Cannot write {path} ({error}). Make room there, or pass --data-dir.") from error
