"""A whole run, `jaxgen.train.train`: steps, input, logging, checkpoints, pictures, at the config's own intervals.

Option `pictures` (true unless said): whether pictures are written at `loop.sample_every`.
"""

import atexit
import math
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from benchmarks.ours.cost import costs
from benchmarks.ours.system import config_of, facts
from benchmarks.protocol import Job
from jaxgen import train
from jaxgen.config import Config
from jaxgen.report import Report

END = 1 << 40
"""No turn comes so far."""


class _Over(BaseException):
    """Unwinds the run when the worker ends."""


class Gate:
    """Where a run waits between the turns: at a log, when the devices have nothing left to do."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._reached = self._until = 0
        self._over = False
        self.error: BaseException | None = None

    def wait(self, step: int) -> None:
        """In the run's thread: `step` is done. Returns when a turn asks for more."""
        with self._condition:
            self._reached = step
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._over or step < self._until)
            if self._over:
                raise _Over

    def go(self, steps: int) -> None:
        """In the worker's thread: `steps` more, done when this returns. Raises what the run raised."""
        with self._condition:
            self._until += steps
            self._condition.notify_all()
            self._condition.wait_for(lambda: self.error or self._reached >= self._until)
        if self.error:
            raise RuntimeError("the run failed") from self.error

    def close(self, error: BaseException | None = None) -> None:
        """No more turns; the run's own end where it failed."""
        with self._condition:
            self._over, self.error = True, error
            self._condition.notify_all()


class Run:
    """One run that goes on from turn to turn in a thread. A turn has a whole number of each interval in it."""

    def __init__(self, job: Job):
        config = config_of(job)
        pictures = job["options"].get("pictures", True)
        self.unit = math.lcm(config.loop.log_every, config.loop.save_every, config.loop.sample_every if pictures else 1)
        steps = END // self.unit * self.unit
        sample_every = config.loop.sample_every if pictures else steps
        self._config = replace(config, loop=replace(config.loop, steps=steps, sample_every=sample_every))
        self.facts = facts()
        self._gate = Gate()
        self._thread = threading.Thread(target=self._train, args=(self._config,), daemon=True)
        atexit.register(self._close)

    def run(self, steps: int) -> None:
        if not self._thread.ident:
            self._thread.start()
        self._gate.go(steps)

    def losses(self, steps: int, path: str) -> list[list[float]]:
        raise ValueError("the check takes the bare step: kind `step`")

    def costs(self) -> dict[str, object]:
        return costs(self._config)

    def _train(self, config: Config) -> None:
        gate = self._gate

        class Gated(Report):
            def log(self, step: int, metrics: Mapping[str, float]) -> None:
                super().log(step, metrics)
                gate.wait(step)

        train.Report = Gated
        try:
            with tempfile.TemporaryDirectory(prefix="jaxgen-run-") as folder:
                train.train(config, Path(folder) / "run", quiet=True)
        except _Over:
            pass
        except BaseException as error:  # told to the worker's thread, which raises it
            gate.close(error)

    def _close(self) -> None:
        self._gate.close()
        if self._thread.ident:
            self._thread.join(30)


build = Run
