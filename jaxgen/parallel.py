"""One device, `pmap`, or `jit` with shardings, over the same pure step. Only this file says which.

The state has one shape under each and is the same on every device; the batch is split. `jit` means one program over
sharded arrays; `pmap` one program a device, which averages by `axis_name`.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding

from jaxgen.compiler import compiled
from jaxgen.errors import UserError
from jaxgen.types import PyTree

AXIS = "data"
Device: TypeAlias = Any  # jax.Device, which type checkers see as a value


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a run lies on its devices."""

    mode: str  # "single", "pmap" or "jit"
    devices: tuple[Device, ...]  # of all processes

    @property
    def axis_name(self) -> str | None:
        """What a step run in this layout gets as `axis_name`."""
        return AXIS if self.mode == "pmap" else None

    @property
    def replicated(self) -> jax.sharding.Sharding:
        """Where the state lies: whole, on every device."""
        return self._sharding()

    def _sharding(self, *axes: str | None) -> jax.sharding.Sharding:
        if self.mode == "single":
            return SingleDeviceSharding(self.devices[0])
        mesh = Mesh(np.array(self.devices), (AXIS,), axis_types=(AxisType.Auto,))
        return NamedSharding(mesh, PartitionSpec(*axes))


def layout(mode: str, batch: int, devices: Sequence[Device] | None = None) -> Layout:
    """The layout for a mode ("auto": pmap where there are several devices). `batch` is the global batch.

    Raises `UserError` where the batch can't be split evenly.
    """
    devices = tuple(devices or jax.devices())
    if mode == "auto":
        mode = "pmap" if len(devices) > 1 else "single"
    if mode == "single":
        devices = devices[:1]
    n = len(devices)
    if batch < 1 or batch % n:
        low = max(batch // n, 1) * n
        raise UserError(
            f"A batch of {batch} can't be split over {n} devices; sizes that fit: {low}, {low + n}, {low + 2 * n}, ... "
            "(--batch N), or use one device with --parallel single."
        )
    return Layout(mode, devices)


def replicate(tree: PyTree, where: Layout) -> PyTree:
    """The tree, the same in every process, whole on every device, placed as the compiled call wants it."""
    if jax.process_count() == 1:
        return jax.device_put(tree, where.replicated)
    return jax.tree.map(partial(_replicated, where=where), tree)


def _replicated(leaf: Any, where: Layout) -> jax.Array:
    """Each process places its own copy: `device_put` reaches no other process's devices."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        words = _replicated(jax.random.key_data(leaf), where)
        return jax.random.wrap_key_data(words, impl=str(jax.random.key_impl(leaf)))
    host = np.asarray(leaf)
    return jax.make_array_from_callback(host.shape, where.replicated, lambda index: host[index])


def local(tree: PyTree) -> PyTree:
    """This process's own copy of a replicated tree, on one device: for previews, metrics and files."""
    return jax.tree.map(lambda a: a.addressable_data(0) if isinstance(a, jax.Array) else a, tree)


def split(feed: PyTree, where: Layout) -> PyTree:
    """Arrays [K, B, ...] of K global batches, the same in every process, to where their parts are needed.

    THE split: example i of the B goes to device i // (B / D). Under pmap the result is [D, K, B / D, ...].
    """
    n = len(where.devices)

    def place(a: np.ndarray) -> jax.Array:
        sharding = where._sharding(None, AXIS)
        if where.mode == "pmap":
            a = np.moveaxis(a.reshape(a.shape[0], n, a.shape[1] // n, *a.shape[2:]), 1, 0)
            sharding = where._sharding(AXIS)
        if jax.process_count() == 1:
            return jax.device_put(a, sharding)
        return jax.make_array_from_callback(a.shape, sharding, lambda index: a[index])

    return jax.tree.map(place, feed)


def compile_call(
    step: Callable[..., tuple[Any, Any]],
    fetch: Callable[[PyTree, PyTree], PyTree],
    where: Layout,
    state: PyTree,
    resident: PyTree,
    feed: PyTree,
) -> Callable[[PyTree, PyTree, PyTree], tuple[PyTree, PyTree]]:
    """K steps in one dispatch, compiled once: `(state, resident, feed) -> (state, metrics [K])`. Donates the state.

    `step(state, batch, axis_name=...)`; `fetch(resident, one) -> batch` draws the batch of each step from what
    lies on the device and that step's part of the feed. State and resident as from `replicate`, feed [K, ...] as from
    `split`.
    """

    def call(state: PyTree, resident: PyTree, feed: PyTree) -> tuple[PyTree, PyTree]:
        body = partial(step, axis_name=where.axis_name)
        return jax.lax.scan(lambda state, one: body(state, fetch(resident, one)), state, feed)

    if where.mode == "pmap":
        mapped = jax.pmap(
            call, AXIS, in_axes=(None, None, 0), out_axes=None, devices=_pmap_devices(where), donate_argnums=0
        )
    else:
        mapped = jax.jit(call, donate_argnums=0, out_shardings=where.replicated)
    # Ahead of time: pmap takes compiler options in no other way, and a second compile is impossible.
    return compiled(mapped.lower(state, resident, feed))


def settle(state: PyTree) -> None:
    """Waits for a call's state where the next call, or another collective, must not be started before.

    Processes on CPUs talk through Gloo, where the messages of two programs that run at once can get mixed up. jax
    0.10.2, two processes of two devices: a loop that never waited hung (2 of 2 within 600 steps). One that kept one
    call ahead did not (4 of 4), but once, with `agree` beside a call under way, a process died of a message of the
    wrong size. GPUs and TPUs take one program after the other.
    """
    if jax.process_count() > 1 and jax.default_backend() == "cpu":
        jax.block_until_ready(state)


def agree(flag: bool) -> bool:
    """Whether any process says so; all must ask. Free where there is one process."""
    return flag if jax.process_count() == 1 else bool(_gathered(np.array([flag])).any())


def same(*facts: Any) -> bool:
    """Whether all processes say the same, by `repr`; all must ask, and none goes on before all have asked."""
    if jax.process_count() == 1:
        return True
    digest = np.frombuffer(hashlib.sha256(repr(facts).encode()).digest(), np.uint32)
    return bool((_gathered(digest) == digest).all())


def _gathered(row: np.ndarray) -> np.ndarray:
    """[N] of each process -> [D, N], a row a device. Done on all of them when it returns (see `settle`), which
    `multihost_utils.process_allgather` is not."""
    where = layout("jit", jax.device_count())
    shape = (len(where.devices), len(row))
    rows = jax.make_array_from_callback(shape, where._sharding(AXIS), lambda _: row[None])
    everywhere = jax.jit(_same_array, out_shardings=where.replicated)(rows)
    return np.asarray(jax.block_until_ready(everywhere).addressable_data(0))


def _same_array(a: jax.Array) -> jax.Array:
    """Named, so that `jit` compiles it once."""
    return a


def _pmap_devices(where: Layout) -> Sequence[Device] | None:
    """None, all of them, in a run of several processes: pmap takes a list only from one."""
    return where.devices if jax.process_count() == 1 else None
