"""A run's directory: who may write to it, what it was made from, where things are.

`config.json`, `metrics.jsonl`, TensorBoard events, `samples/`, `checkpoints/<step>/`; `corrupt/` once a checkpoint was
set aside; of a translation and of sequences `examples.npz`, held-out data; of text its vocabulary. Local paths and
gs://.
"""

import contextlib
import datetime
import fcntl
import importlib.metadata
import io
import json
import os
import platform
import socket
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from etils import epath

from jaxgen import files, preview
from jaxgen.config import Config, differences, from_dict, to_dict
from jaxgen.errors import UserError

PACKAGES = ("jaxgen", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def checkpoints(workdir: epath.PathLike) -> epath.Path:
    """The directory for `checkpoint.Checkpoints`."""
    return epath.Path(workdir) / "checkpoints"


def samples(workdir: epath.PathLike) -> epath.Path:
    """The directory of the previews."""
    return epath.Path(workdir) / "samples"


def metrics(workdir: epath.PathLike) -> epath.Path:
    """The file of the metrics, one JSON object a line."""
    return epath.Path(workdir) / "metrics.jsonl"


EXAMPLES = 64
"""Held-out examples that a run keeps, so that it can be sampled without its data set."""


def write_examples(workdir: epath.PathLike, heldout: Mapping[str, np.ndarray]) -> None:
    """Keeps the first of the raw held-out examples, by process 0, in one piece."""
    if jax.process_index() == 0:
        with _explained(epath.Path(workdir)):
            preview.write_npz(epath.Path(workdir) / "examples.npz", **{n: a[:EXAMPLES] for n, a in heldout.items()})


def read_examples(workdir: epath.PathLike) -> dict[str, np.ndarray]:
    """What `write_examples` wrote. Raises `UserError` where that is missing or damaged."""
    path = epath.Path(workdir) / "examples.npz"
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as found:
            return dict(found)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"{path} cannot be read ({error}), and the run has nothing else to begin with. Go on with the run, which "
            "writes it, or give something of your own (--input, --map of scenes, --melody, --prompt)."
        ) from None


def write_kept(workdir: epath.PathLike, texts: Mapping[str, str]) -> None:
    """Text files by name that a run keeps for whoever samples it, by process 0, each in one piece."""
    if jax.process_index() == 0:
        for name, text in texts.items():
            with _explained(epath.Path(workdir)):
                files.write(epath.Path(workdir) / name, f"{text}\n".encode())


def read_kept(workdir: epath.PathLike, name: str) -> str:
    """One of the files of `write_kept`. Raises `UserError` where it is missing or damaged."""
    path = epath.Path(workdir) / name
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}). Go on with the run, which writes it.") from None


@contextlib.contextmanager
def claim(workdir: epath.PathLike) -> Iterator[epath.Path]:
    """Makes `workdir` and keeps other runs out of it while the context lasts.

    Two writers in one directory remove each other's checkpoints. Process 0 holds `flock` on `<workdir>/.lock`, which
    says who it is; the kernel frees it when the process dies, however it dies. Object stores (gs://) have no such lock:
    there it is the user who keeps runs apart. Raises `UserError` where another process holds the lock, or the
    directory cannot be made.
    """
    workdir = epath.Path(workdir)
    with _explained(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
    if jax.process_index() != 0 or "://" in str(workdir):
        yield workdir
        return
    with _explained(workdir):
        lock = os.open(workdir / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with _explained(workdir):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(_taken(workdir, os.read(lock, 4096))) from None
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            holder = {"pid": os.getpid(), "host": socket.gethostname(), "started": now}
            os.ftruncate(lock, 0)
            os.write(lock, json.dumps(holder).encode())
            os.fsync(lock)  # the run's other processes, perhaps on other hosts, read it while the file is open here
        yield workdir
    finally:
        os.close(lock)  # and with it the lock; the file stays: removing it would let two runs lock two files


def holder(workdir: epath.PathLike) -> str:
    """Who claimed the directory, in words that no other claim uses; empty where nobody did, and for gs://."""
    path = epath.Path(workdir) / ".lock"
    return path.read_text() if "://" not in str(workdir) and path.exists() else ""


def write_config(workdir: epath.PathLike, config: Config, **environment: Any) -> None:
    """Writes `config.json`: the config and what it ran on, with the caller's own facts (`data_fingerprint=...`).

    Atomic, by process 0. A resumed run writes it anew, since it may have changed `config.MAY_CHANGE`.
    """
    if jax.process_index() != 0:
        return
    workdir = epath.Path(workdir)
    text = json.dumps({"config": to_dict(config), "environment": _environment() | environment}, indent=2)
    with _explained(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        partial = workdir / "config.json.tmp"
        partial.write_text(text + "\n")
        partial.replace(workdir / "config.json")


def read_config(workdir: epath.PathLike) -> tuple[Config, dict[str, Any]]:
    """(config, environment) of a run. Raises `UserError` where there is no run, or `config.json` is not as written."""
    path = epath.Path(workdir) / "config.json"
    with _explained(path.parent):
        if not path.parent.exists():
            raise UserError(f"There is no run at {path.parent}. Check the path, or train one with --workdir.")
        if not path.exists():
            raise UserError(f"{path.parent} is not a run: it holds no config.json. Give the --workdir of a training.")
    return read_config_file(path)


def read_config_file(path: epath.PathLike) -> tuple[Config, dict[str, Any]]:
    """What a `config.json` holds, wherever it lies. Raises `UserError` where it is not as written."""
    path = epath.Path(path)
    try:
        tree = json.loads(path.read_text())
        return from_dict(tree["config"]), dict(tree["environment"])
    except UserError as error:
        raise UserError(f"{path} does not fit this version of jaxgen: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise UserError(
            f"{path} cannot be read ({type(error).__name__}: {error}). Restore it from a copy, or use another "
            "--workdir."
        ) from None


def check_resumable(workdir: epath.PathLike, config: Config, fingerprint: str) -> None:
    """Raises `UserError` naming each field, and the data, in which `config` departs from the run's beginning."""
    old, environment = read_config(workdir)
    changed = differences(old, config)
    if (before := environment.get("data_fingerprint")) != fingerprint:
        changed.append(f"the data (fingerprint): {before} -> {fingerprint}")
    if changed:
        raise UserError(
            f"The run at {workdir} was started otherwise: {'; '.join(changed)}. Restore these values to resume it, or "
            "use another --workdir."
        )


def _environment() -> dict[str, Any]:
    device = jax.devices()[0]
    settings: Any = jax.config  # its attributes appear only when it runs
    return {
        "versions": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "backend": jax.default_backend(),
        "device": device.device_kind,
        "devices": jax.device_count(),
        "processes": jax.process_count(),
        "prng": settings.jax_default_prng_impl,
        "matmul_precision": settings.jax_default_matmul_precision,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:  # jaxgen itself, run from a checkout
        return None


def _taken(workdir: epath.Path, holder: bytes) -> str:
    try:
        who = json.loads(holder)
        by = f"process {who['pid']} on {who['host']}, started {who['started']}"
        stop = f"stop it with `kill {who['pid']}` there"
    except (ValueError, KeyError, TypeError):  # it has the lock but has not signed yet
        by, stop = "another process", "stop it"
    return f"{workdir} is in use by {by}. Wait for it to end, {stop}, or use another --workdir."


@contextlib.contextmanager
def _explained(workdir: epath.Path) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{workdir} is or lies under a file, not a directory. Use another --workdir.") from None
    except OSError as error:
        raise UserError(f"{workdir} cannot be used: {error.strerror}. Mend that, or use another --workdir.") from error
