"""Checkpoints: plain Orbax directories that are checked leaf by leaf before anyone trusts them.

Orbax notices neither a flipped bit nor a dtype that differs, lists a step of which half was deleted, and says nothing
when asked to save a step twice (all measured, 0.12.8). So each step carries a manifest of its leaves, and nothing is
restored that does not agree with it.
"""

import contextlib
import errno
import functools
import hashlib
import json
import logging
import sys
import types
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts
from etils import epath
from jax.experimental import multihost_utils

from jaxgen.errors import UserError
from jaxgen.types import PyTree

Leaves: TypeAlias = dict[str, dict[str, Any]]
"""What a manifest says: {"gen/params/Dense_0/kernel": {"shape": [100, 256], "dtype": "float32", "sha256": ...}};
`impl` beside them for a typed key. Orbax keeps it as JSON, {"leaves": ..., "sha256": of the leaves}."""

_DELETED = ".deleted"  # Orbax moves old steps here in one rename, so a kill leaves no half-deleted step in sight
_TEMPORARY = ".orbax-checkpoint-tmp"  # in the names of saves under way or interrupted


class _DamagedError(Exception):
    """A step that is torn, unreadable or not what its manifest says."""


class Checkpoints:
    """The steps saved in one directory, `<directory>/<step>/{state,manifest}`. Local paths and gs://.

    Making one touches no file: directories are made, and leftovers of interrupted saves removed, at the first save.
    All processes of a run call every method, but for `restore`, which waits for no other; process 0 writes, moves and
    deletes. One run at a time may save (`run_directory.claim`); any number may restore beside it.
    """

    def __init__(self, directory: epath.PathLike, keep: int = 3):
        path = epath.Path(directory)
        self.directory = path if "://" in str(path) else path.absolute()  # Orbax takes no relative path
        self.keep = keep
        self.bad: list[int] = []  # the damaged steps that the last `restore` passed over
        self._manager: ocp.CheckpointManager | None = None
        self._saving: int | None = None  # the step that may still be on its way to disk
        logging.getLogger("absl").addFilter(_not_from_orbax)
        logging.getLogger("asyncio").addFilter(_not_from_orbax)
        _silence_closed_loops()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.close()

    def path(self, step: int) -> epath.Path:
        """Where a step is kept."""
        return self.directory / str(step)

    def steps(self) -> list[int]:
        """Steps that look good, oldest first: finished, with all their parts. Only `restore` reads their arrays."""
        return [step for step in self._present() if not self._missing(step)]

    def save(self, step: int, state: PyTree) -> None:
        """Starts to save a pytree of `jax.Array`, equal on all devices; returns once `state` may be donated.

        Writing goes on behind: its errors appear at the next `save`, `wait` or `close`. Saving again what a step
        already holds does nothing. Raises `UserError` where a leaf is not finite, the step holds another state, or the
        disk is full; the older steps stay as they were.
        """
        self.wait()
        leaves = _hashed(state, self._last_good())
        if step in self._present():
            self._check_same(step, leaves)
            return
        manifest = {"leaves": leaves, "sha256": _seal(leaves)}
        with self._translated(step):
            self._writer().save(
                step,
                args=ocp.args.Composite(state=ocp.args.StandardSave(state), manifest=ocp.args.JsonSave(manifest)),
                force=True,  # unforced, Orbax skips a step that is not the newest and says nothing
            )
        self._saving = step

    def wait(self) -> None:
        """Returns when the last save is on disk. Raises `UserError` if it failed for a full or forbidden disk."""
        if self._manager is None:
            return
        step, self._saving = self._saving, None
        with self._translated(step):
            self._manager.wait_until_finished()
        self._clean()

    def close(self) -> None:
        """Waits as `wait` does, and lets go of Orbax's threads whatever comes of it."""
        try:
            self.wait()
        finally:
            self._discard()

    def restore(self, target: PyTree, step: int | None = None) -> tuple[PyTree, int, list[str]] | None:
        """(state, step, notes) from the newest good step, or from `step`; None where nothing was ever saved.

        `target` is the state as `jax.ShapeDtypeStruct`; leaves go to its shardings, those without one to this
        process's first device. Every leaf is checked against its SHA-256. A note names each damaged step passed over
        and why, and `self.bad` lists them. Raises `UserError` where `step` is absent or damaged, where no step is
        good, and, naming the first leaf that differs, where the checkpoint is another model's.
        """
        self.wait()
        self.bad = []
        present = self._present()
        if step is not None and step not in present:
            raise UserError(f"There is no checkpoint of step {step} in {self.directory}; there are {present}.")
        notes = []
        for candidate in reversed(present) if step is None else [step]:
            try:
                state = self._read(candidate, target)
            except _DamagedError as error:
                self.bad.append(candidate)
                notes.append(f"The checkpoint of step {candidate} is damaged and was passed over: {error}.")
            else:
                return state, candidate, notes
        if not notes:
            return None
        found = " ".join(notes)
        raise UserError(f"No checkpoint in {self.directory} is good. {found} Move the directory away to start afresh.")

    def set_aside(self, steps: Iterable[int]) -> None:
        """Moves damaged steps to `corrupt/` beside this directory, so that they can be saved anew. Deletes nothing."""
        self.wait()
        for step in steps if jax.process_index() == 0 else ():
            with self._translated(None):
                goal, n = self.directory.parent / "corrupt" / str(step), 1
                while goal.exists():
                    goal, n = goal.with_name(f"{step}.{n}"), n + 1
                goal.parent.mkdir(parents=True, exist_ok=True)
                self.path(step).rename(goal)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("jaxgen.checkpoint.set_aside")
        self._discard()  # Orbax keeps a list of the steps it has seen

    def _present(self) -> list[int]:
        """Every step whose save was finished, damaged since or not."""
        if not self.directory.exists():
            return []
        return sorted(int(path.name) for path in self.directory.iterdir() if path.name.isdecimal() and _finished(path))

    def _missing(self, step: int) -> list[str]:
        parts = ("_CHECKPOINT_METADATA", "state", "manifest")
        return [name for name in parts if not (self.path(step) / name).exists()]

    def _last_good(self) -> str:
        steps = self.steps()
        return f"the last good checkpoint is step {steps[-1]}" if steps else "there is no good checkpoint"

    def _manifest(self, step: int) -> Leaves:
        """The leaves of a step. Raises `_DamagedError`."""
        if missing := self._missing(step):
            raise _DamagedError(f"{' and '.join(missing)} missing")
        try:
            manifest = json.loads((self.path(step) / "manifest" / "metadata").read_text())
            leaves, seal = manifest["leaves"], manifest["sha256"]
        except (ValueError, OSError, TypeError, KeyError) as error:
            raise _DamagedError(f"its manifest cannot be read ({_first_line(error)})") from error
        if seal != _seal(leaves):
            raise _DamagedError("its manifest does not match its own checksum")
        return leaves

    def _check_same(self, step: int, leaves: Leaves) -> None:
        try:
            same = self._manifest(step) == leaves
        except _DamagedError as error:
            raise UserError(
                f"Step {step} was not saved: {self.path(step)} is damaged ({error}). Move it away."
            ) from None
        if not same:
            raise UserError(
                f"Step {step} was not saved: {self.path(step)} holds another state. Use another --workdir, or move "
                "that directory away."
            )

    def _read(self, step: int, target: PyTree) -> PyTree:
        """One step, checked. Raises `_DamagedError`, or `UserError` where its leaves are not the target's."""
        saved = self._manifest(step)
        _check_model(saved, _described(target))
        paths = dict(zip(_named(target), _named(target, separator="."), strict=True))
        stored = _stored(self.path(step) / "state", paths)
        for name, array in stored.items():
            if _sha256(array) != saved[name]["sha256"]:
                raise _DamagedError(f"{name} does not match its checksum")
        leaves = [_placed(stored[name], leaf, saved[name]) for name, leaf in _named(target).items()]
        return jax.tree.unflatten(jax.tree.structure(target), leaves)

    def _writer(self) -> ocp.CheckpointManager:
        if self._manager is None:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._clean()
            self._manager = ocp.CheckpointManager(
                self.directory,
                options=ocp.CheckpointManagerOptions(
                    preservation_policy=ocp.checkpoint_managers.LatestN(self.keep), todelete_subdir=_DELETED
                ),
            )
        return self._manager

    def _clean(self) -> None:
        """Removes what interrupted saves and deletions left. Only while nothing is being saved."""
        if jax.process_index() != 0 or not self.directory.exists():
            return
        for path in self.directory.iterdir():
            if path.name == _DELETED or _TEMPORARY in path.name or (path.name.isdecimal() and not _finished(path)):
                with contextlib.suppress(OSError):  # out of sight already; the next start tries again
                    path.rmtree()

    def _discard(self) -> None:
        manager, self._manager, self._saving = self._manager, None, None
        if manager is not None:
            with contextlib.suppress(Exception):  # its failure has been raised once, by `wait`
                manager.close()

    @contextlib.contextmanager
    def _translated(self, step: int | None) -> Iterator[None]:
        """Says what a user can do about a failed save of `step`, and leaves the directory fit for the next one."""
        try:
            yield
        except Exception as error:
            self._discard()
            self._clean()
            what = f"step {step} could not be saved in" if step is not None else "nothing more can be written to"
            if _disk_full(error):
                raise UserError(
                    f"The disk is full: {what} {self.directory}; {self._last_good()}. Free some space and start again "
                    "with the same --workdir."
                ) from error
            if isinstance(error, OSError):
                raise UserError(
                    f"Cannot write: {what} {self.directory} ({_first_line(error)}); {self._last_good()}. Mend that, or "
                    "use another --workdir."
                ) from error
            raise


def _finished(path: epath.Path) -> bool:
    """Whether a step's save came to its end: locally it then got its name; gs:// renames nothing and adds a file."""
    return "://" not in str(path) or (path / "commit_success.txt").exists()


def _named(tree: PyTree, separator: str = "/") -> dict[str, Any]:
    """{"gen/params/Dense_0/kernel": leaf} in the tree's order."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    named = {jax.tree_util.keystr(path, simple=True, separator=separator): leaf for path, leaf in leaves}
    if len(named) != len(leaves):
        raise ValueError("two leaves of the state have the same path")
    return named


def _described(tree: PyTree) -> Leaves:
    """Shapes and dtypes only. A typed key's dtype says which kind it is: key<fry> is threefry2x32."""
    return {name: {"shape": list(x.shape), "dtype": str(x.dtype)} for name, x in _named(tree).items()}


def _hashed(state: PyTree, last_good: str) -> Leaves:
    """The manifest of a state. Raises `UserError` naming the first leaf with a NaN or infinity."""
    named = _named(state)
    jax.block_until_ready(state)
    leaves = _described(state)
    for name, leaf in named.items():
        host = _host(leaf)
        if jnp.issubdtype(host.dtype, jnp.inexact) and not np.isfinite(host).all():
            raise UserError(
                f"The state was not saved: {name} holds values that are not finite; {last_good}. Lower the learning "
                "rate, or start again with --loop.nonfinite skip."
            )
        leaves[name]["sha256"] = _sha256(host)
        if _is_key(leaf):
            leaves[name]["impl"] = str(jax.random.key_impl(leaf))
    return leaves


def _host(leaf: jax.Array) -> np.ndarray:
    """This process's copy of a replicated leaf; the numbers behind a typed key."""
    if not leaf.is_fully_addressable:
        leaf = leaf.addressable_data(0)
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _is_key(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _stored(directory: epath.Path, paths: dict[str, str]) -> dict[str, np.ndarray]:
    """The arrays that Orbax wrote, by their names: one zarr array a leaf in one OCDBT store, at `gen.params.kernel`.
    A key may hold a slash of its own (`nn.SpectralNorm`: "Conv_0/kernel/sigma"), which stays in the path.

    Raises `_DamagedError`. TensorStore alone, not Orbax: on a damaged file Orbax leaves reads behind in a closed event
    loop, which go on to print tracebacks after the error has been dealt with. It would also cast dtypes unasked.
    """
    path = str(directory)
    base = f"{path}/" if "://" in path else {"driver": "file", "path": f"{path}/"}
    try:
        arrays = {}
        for name, leaf in paths.items():
            store = {"driver": "ocdbt", "base": base, "path": f"{leaf}/"}
            arrays[name] = ts.open({"driver": "zarr", "kvstore": store}, open=True, read=True)
        reads = {name: array.result().read() for name, array in arrays.items()}
        return {name: np.asarray(read.result()) for name, read in reads.items()}
    except (ValueError, OSError, LookupError, RuntimeError) as error:
        raise _DamagedError(f"it cannot be read ({_first_line(error)})") from error


def _placed(array: np.ndarray, target: Any, saved: dict[str, Any]) -> jax.Array:
    sharding = getattr(target, "sharding", None) or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    leaf = jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
    return jax.random.wrap_key_data(leaf, impl=saved["impl"]) if "impl" in saved else leaf


def _check_model(saved: Leaves, wanted: Leaves) -> None:
    """Raises `UserError` naming the first leaf whose presence, shape or dtype differs."""
    for name in [*wanted, *saved]:
        there, here = _spelled(saved.get(name)), _spelled(wanted.get(name))
        if there != here:
            raise UserError(
                f"The checkpoint was made by another model: {name} is {there} in the checkpoint, {here} in this "
                "config. Use the config it was made with, or another --workdir."
            )


def _spelled(leaf: dict[str, Any] | None) -> str:
    return "absent" if leaf is None else f"{leaf['dtype']}{leaf['shape']}".replace(" ", "")


def _sha256(array: np.ndarray) -> str:
    """Of dtype, shape and bytes."""
    digest = hashlib.sha256(f"{array.dtype}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _seal(leaves: Leaves) -> str:
    """The manifest's own checksum: a flipped bit in a shape would otherwise read as another model."""
    return hashlib.sha256(json.dumps(leaves, sort_keys=True).encode()).hexdigest()


def _disk_full(error: BaseException) -> bool:
    """TensorStore's errors are ValueErrors with the system's text in them."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(text in str(error) for text in ("No space left on device", "Disk quota exceeded"))


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _not_from_orbax(record: logging.LogRecord) -> bool:
    """Orbax logs a traceback for every error in every thread it crosses; the error itself reaches the caller."""
    return "/orbax/" not in record.pathname and "/orbax/" not in record.getMessage()


@functools.cache
def _silence_closed_loops() -> None:
    """After a failed write Orbax closes its event loop; each write still under way would then print a traceback."""
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    sys.unraisablehook = hook
