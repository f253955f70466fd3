"""A call of several steps over several devices, in one process or two. Options: `devices`, of all processes; `mode`
("single", "pmap" or "jit"); `processes` (1 unless said, or 2); `steps_per_call`.

On CPU the devices are virtual: they share the machine's cores, so the figures tell what splitting costs, not what more
hardware gains.
"""

import atexit
import faulthandler
import socket
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import jax

from benchmarks.ours.call import EXAMPLES
from benchmarks.ours.cost import costs
from benchmarks.ours.system import examples, facts, interval
from benchmarks.protocol import Job
from benchmarks.worker import Command, Worker
from jaxgen import assemble, parallel
from jaxgen.config import from_dict
from jaxgen.data.order import call_indices

TIMEOUT_S = 300
"""Within which two processes must have found each other, and finish a turn; they end themselves where they don't."""


class Scale:
    """Calls of K steps in one layout. Of two processes, this is the first and the other follows it."""

    def __init__(self, job: Job):
        options = job["options"]
        self._n, self._k, self._done = options["devices"], options["steps_per_call"], 0
        self._other: _Other | None = None
        self._several = options.get("processes", 1) > 1
        _devices(self._n // options.get("processes", 1))
        if self._several:
            self._other = _join(job)
        config = replace(from_dict(job["config"]), parallel=options["mode"])
        self._config = config
        self._where = parallel.layout(options["mode"], config.batch, jax.devices()[: self._n])
        game, _, train_step = assemble.build(config)
        self.unit = self._k * -(-interval(config) // self._k)
        self.facts = facts() | {"devices": self._n}
        self._data = parallel.replicate(examples(config, EXAMPLES), self._where)
        # Made where it lies: two processes then need not send it anywhere.
        new_state = jax.jit(lambda: assemble.new_state(config, game), out_shardings=self._where.replicated)
        self._state = new_state()
        step = partial(train_step, game=game)
        fetch = lambda resident, indices: jax.tree.map(lambda a: a[indices], resident)  # noqa: E731
        self._compile = lambda: parallel.compile_call(step, fetch, self._where, self._state, self._data, self._feed())
        self._call = None  # compiled by the first run: that is how the compile time is told

    def run(self, steps: int) -> None:
        if self._several:  # a process that waits for another in a collective hears neither signals nor the end of input
            faulthandler.dump_traceback_later(TIMEOUT_S, exit=True)
        turn = self._other.start(steps) if self._other else None
        self._call = self._call or self._compile()
        for _ in range(0, steps, self._k):
            self._state, _ = self._call(self._state, self._data, self._feed())
            self._done += self._k
            if self._several:  # jax 0.10.2 hangs where two processes of several devices each run ahead
                jax.block_until_ready(self._state)
        jax.block_until_ready(self._state)
        if turn:
            turn.result(TIMEOUT_S)
        faulthandler.cancel_dump_traceback_later()

    def losses(self, steps: int, path: str) -> list[list[float]]:
        raise ValueError("the check takes the bare step: kind `step`")

    def costs(self) -> dict[str, Any]:
        return costs(self._config) if not self._several else {}

    def _feed(self) -> Any:
        c = self._config
        return parallel.split(call_indices(c.seed, self._done, self._k, EXAMPLES, c.batch), self._where)


class _Other:
    """The second process: a worker with the same job, told of each turn as it begins here."""

    def __init__(self, job: Job):
        self._threads = ThreadPoolExecutor(1)
        command = Command((sys.executable, "-m", "benchmarks.ours"))
        # A job with a rate is not warmed up by itself: here every run is a turn of both.
        self._worker: Future[Worker] = self._threads.submit(Worker, command, job | {"sgd": 1.0}, TIMEOUT_S)

    def end(self) -> None:
        if self._worker.done() and not self._worker.exception():
            self._worker.result().hang_up()

    def start(self, steps: int) -> "Future[float]":
        """Behind: the constructor's end is waited for there too."""
        return self._threads.submit(lambda: self._worker.result().turn(steps))


def _join(job: Job) -> _Other | None:
    """Both processes call this. The first starts the other, which ends when the first closes its input or dies."""
    address, other = job["options"].get("address"), None
    if not address:
        address = f"localhost:{_free_port()}"
        other = _Other(job | {"options": job["options"] | {"address": address}})
    jax.distributed.initialize(address, 2, 0 if other else 1, initialization_timeout=TIMEOUT_S)
    if other:  # before JAX's own handler, which waits for the other process to end too
        atexit.register(other.end)
    return other


def _devices(n: int) -> None:
    """So many virtual devices, where the CPU is what JAX runs on. Before JAX has looked for its devices only."""
    jax.config.update("jax_num_cpu_devices", n)


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("localhost", 0))
        return s.getsockname()[1]


build = Scale
