"""The input alone: what the loop makes and places on the device for each call, without the steps.

Option `resident` (true unless said): the data lie on the device and a call is sent the numbers of its examples; else
they stay in the host's memory, as sets above `train.RESIDENT_BYTES` do, and a call is sent its images.
"""

from typing import Any

import jax

from benchmarks.ours.cost import peak_memory
from benchmarks.ours.system import config_of, facts
from benchmarks.protocol import Job
from jaxgen import parallel, train


class Feed:
    """The loop's own feed of the config's data set, on one device."""

    def __init__(self, job: Job):
        config = config_of(job)
        nothing: Any = None  # where a run would have its directory and checkpoints
        run = train._Run(config, nothing, nothing, parallel.layout("single", config.batch))
        if not job["options"].get("resident", True):
            train.RESIDENT_BYTES = 0
        self._resident, _, self._feed = train._feeding(run)
        self.unit = config.loop.steps_per_call
        self.facts = facts()
        self._done = 0

    def run(self, steps: int) -> None:
        for _ in range(0, steps, self.unit):
            jax.block_until_ready(self._feed(self._done, self.unit))
            self._done += self.unit

    def losses(self, steps: int, path: str) -> list[list[float]]:
        raise ValueError("nothing is trained here")

    def costs(self) -> dict[str, Any]:
        return peak_memory()


build = Feed
