"""A call of K steps as a run makes them. Option `steps_per_call`: K."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax

import jaxgen
from benchmarks.ours.cost import costs
from benchmarks.ours.system import config_of, examples, facts, interval
from benchmarks.protocol import Job
from jaxgen import parallel
from jaxgen.assemble import Built
from jaxgen.config import Config
from jaxgen.data.order import call_indices

EXAMPLES = 4000
"""Resident examples that a call of several steps draws its batches from: as many as the digits to train on."""


class Call:
    """K steps in one dispatch: the data lie on the device, the batches are drawn within the call."""

    def __init__(self, job: Job, assemble: Callable[[Config], Built] = jaxgen.build):
        config = config_of(job)
        game, init, train_step = assemble(config)
        self._config, self._assemble = config, assemble
        self._k, self._done = job["options"]["steps_per_call"], 0
        # Calls enough for one penalty: the share of penalised steps is then right to within one step in a turn.
        self.unit = self._k * -(-interval(config) // self._k)
        self.facts = facts()
        self._where = parallel.layout("single", config.batch)
        data = examples(config, EXAMPLES)
        self._data = parallel.replicate(data, self._where)
        state = init(jax.random.key(config.seed), {name: a[: config.batch] for name, a in data.items()}, game)
        self._state = parallel.replicate(state, self._where)
        fetch = lambda resident, indices: jax.tree.map(lambda a: a[indices], resident)  # noqa: E731
        step = partial(train_step, game=game)
        self._compile = lambda: parallel.compile_call(step, fetch, self._where, self._state, self._data, self._feed())
        self._call = None  # compiled by the first run, as the plain step is: that is how the compile time is told

    def run(self, steps: int) -> None:
        self._call = self._call or self._compile()
        for _ in range(0, steps, self._k):
            self._state, _ = self._call(self._state, self._data, self._feed())
            self._done += self._k
        jax.block_until_ready(self._state)

    def costs(self) -> dict[str, Any]:
        return costs(self._config, self._assemble)

    def losses(self, steps: int, path: str) -> list[list[float]]:
        raise ValueError("the check takes the bare step: kind `step`")

    def _feed(self) -> Any:
        c = self._config
        return parallel.split(call_indices(c.seed, self._done, self._k, EXAMPLES, c.batch), self._where)


build = Call
