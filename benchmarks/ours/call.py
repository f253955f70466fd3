"""A call of K steps as a run makes them. Option `steps_per_call`: K."""

from collections.abc import Callable, Mapping
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
from jaxgen.types import PyTree

EXAMPLES = 4000
"""Resident examples that a call of several steps draws its batches from: as many as the digits to train on."""


class Calls:
    """A state that goes on by `k` steps a dispatch: the data lie on the device, batches are drawn within the call.

    `fetch` makes the batch of some indices into `data`; `init` is the state of step 0.
    """

    def __init__(self, config: Config, k: int, step: Callable, fetch: Callable, init: PyTree, data: Mapping[str, Any]):
        self._config, self._k, self._done = config, k, 0
        self._n = len(next(iter(data.values())))
        self._where = parallel.layout("single", config.batch)
        self._data = parallel.replicate(data, self._where)
        self.state = parallel.replicate(init, self._where)
        self._compile = lambda: parallel.compile_call(step, fetch, self._where, self.state, self._data, self._feed())
        self._call = None  # compiled by the first run, as the plain step is: that is how the compile time is told

    def run(self, steps: int) -> None:
        self._call = self._call or self._compile()
        for _ in range(0, steps, self._k):
            self.state, _ = self._call(self.state, self._data, self._feed())
            self._done += self._k
        jax.block_until_ready(self.state)

    def _feed(self) -> Any:
        c = self._config
        return parallel.split(call_indices(c.seed, self._done, self._k, self._n, c.batch), self._where)


class Call:
    """K steps in one dispatch, of a batch of the kind that the config's domain has."""

    def __init__(self, job: Job, assemble: Callable[[Config], Built] = jaxgen.build):
        config = config_of(job)
        game, init, train_step = assemble(config)
        self._config, self._assemble = config, assemble
        k = job["options"]["steps_per_call"]
        # Calls enough for one penalty: the share of penalised steps is then right to within one step in a turn.
        self.unit = k * -(-interval(config) // k)
        self.facts = facts()
        data = examples(config, EXAMPLES)
        state = init(jax.random.key(config.seed), {name: a[: config.batch] for name, a in data.items()}, game)
        fetch = lambda resident, indices: jax.tree.map(lambda a: a[indices], resident)  # noqa: E731
        self._calls = Calls(config, k, partial(train_step, game=game), fetch, state, data)

    def run(self, steps: int) -> None:
        self._calls.run(steps)

    def costs(self) -> dict[str, Any]:
        return costs(self._config, self._assemble)

    def losses(self, steps: int, path: str) -> list[list[float]]:
        raise ValueError("the check takes the bare step: kind `step`")


build = Call
