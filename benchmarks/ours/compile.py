"""Tracing, lowering and compiling the call of the config as a run makes it. Option `cached`: with the persistent cache.

Each "step" is a compilation: nothing is left in memory of the one before.
"""

import atexit
import shutil
import tempfile
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from benchmarks.ours.call import EXAMPLES
from benchmarks.ours.system import config_of, facts
from benchmarks.protocol import Job
from jaxgen import assemble, parallel


class Compile:
    """A game built, a call of `loop.steps_per_call` steps compiled, both thrown away."""

    unit = 1

    def __init__(self, job: Job):
        self._config = config_of(job)
        self.facts = facts() | {"items": "compilations"}
        self._where = parallel.layout("single", self._config.batch)
        self._state = parallel.replicate(
            assemble.new_state(self._config, assemble.build(self._config).game), self._where
        )
        if job["options"].get("cached"):
            folder = tempfile.mkdtemp(prefix="jaxgen-xla-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            # Every other setting is JAX's own, as in `jaxgen train`: what compiles in under a second is not kept.
            jax.config.update("jax_compilation_cache_dir", folder)
        else:
            jax.config.update("jax_enable_compilation_cache", False)
        compilation_cache.reset_cache()

    def run(self, steps: int) -> None:
        for _ in range(steps):
            jax.clear_caches()
            self._compile()

    def losses(self, steps: int, path: str) -> list[list[float]]:
        raise ValueError("nothing is trained here")

    def _compile(self) -> None:
        config, to_batch = self._config, assemble.domain(self._config).to_batch
        game, _, train_step = assemble.build(config)
        resident: Any = assemble.example_raw(config, EXAMPLES)
        feed = np.zeros((config.loop.steps_per_call, config.batch), np.int32)

        def fetch(resident: Any, one: Any) -> Any:
            return to_batch({name: a[one] for name, a in resident.items()})

        parallel.compile_call(
            partial(train_step, game=game),
            fetch,
            self._where,
            self._state,
            parallel.replicate(resident, self._where),
            parallel.split(feed, self._where),
        )


build = Compile
