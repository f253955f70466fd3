"""Where prepared data sets live, and how two processes keep out of each other's way there."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from jaxgen.errors import UserError


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
