"""What each system must reach, one file a system, found by name.

A gate file has

    DATA             folder under the benchmark data, e.g. "digits/mnist"; None where the data come with a package
    measure(seed, data, workdir) -> Verdict

and trains its runs with `trained`, which goes on with what it finds. Nothing is retrained to be judged.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath

from jaxgen import run_directory
from jaxgen.assemble import config_named
from jaxgen.checkpoint import Checkpoints
from jaxgen.config import AdversarialSequence, Config
from jaxgen.errors import UserError
from jaxgen.train import train
from jaxgen.trained import Trained

Row = Mapping[str, float | int | str]


@dataclasses.dataclass(frozen=True)
class Part:
    """One condition: what it asks, of which number, and whether a row meets it."""

    name: str
    column: str
    low: float = float("-inf")
    high: float = float("inf")

    def met(self, row: Row) -> bool:
        """False too where the row has no such number."""
        value = row.get(self.column)
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The table and what is asked of it. `ours` must meet every part, each impostor must miss at least one."""

    ours: Row
    parts: tuple[Part, ...]
    impostors: Mapping[str, Row]
    others: Mapping[str, Row]  # the ceiling, variants, other checkpoints, published figures: shown, not judged
    facts: Mapping[str, Any]  # extractor, seeds, steps, minutes: what makes the numbers comparable
    # Parts as first worded that cannot be asked, each with the row of real data that is to show it: see `impossible`.
    doubted: tuple[tuple[Part, Row], ...] = ()

    @property
    def judged(self) -> tuple[Part, ...]:
        return *self.parts, *(part for part, real in self.doubted if part.met(real))

    @property
    def impossible(self) -> tuple[tuple[Part, Row], ...]:
        """The doubted parts that real data miss, as a perfect generator would. They are shown, not judged."""
        return tuple((part, real) for part, real in self.doubted if not part.met(real))

    @property
    def missed(self) -> list[str]:
        return [part.name for part in self.judged if not part.met(self.ours)]

    @property
    def passing_impostors(self) -> list[str]:
        return [name for name, row in self.impostors.items() if all(part.met(row) for part in self.judged)]


def memorisation(ceiling: Row) -> Part:
    """Samples lie as far from the training items as held-out items do; `ceiling` is `sample_quality.ceiling`'s."""
    return Part(
        "memorisation AUC within 0.1 of two real halves",
        "memorisation_auc",
        low=float(ceiling["memorisation_low"]) - 0.1,
        high=float(ceiling["memorisation_high"]) + 0.1,
    )


def below(bar: float) -> float:
    """The largest number that is smaller: a tie beats nothing."""
    return float(np.nextafter(bar, -np.inf))


def above(bar: float) -> float:
    """The smallest number that is larger."""
    return float(np.nextafter(bar, np.inf))


def config(name: str, data: Path | None, seed: int) -> Config:
    """A config that came with jaxgen, on the benchmark's data; None: on its own."""
    cfg = dataclasses.replace(config_named(name)[1], seed=seed)
    return cfg if data is None else dataclasses.replace(cfg, data=str(data))


def trained(cfg: Config, workdir: Path) -> tuple[list[int], float]:
    """(the steps kept, minutes of training), after training or going on. Raises `UserError` where a signal stopped it:
    half a run is not judged."""
    train(cfg, workdir)
    with Checkpoints(run_directory.checkpoints(workdir)) as checkpoints:
        steps = checkpoints.steps()
    if cfg.loop.steps not in steps:
        raise UserError(f"{workdir} stopped before step {cfg.loop.steps} and is not judged; run the same again.")
    return steps, minutes(workdir, cfg.batch)


def likelihood_alone(run: Trained) -> Trained:
    """A GAN of text at the end of its first phase, which is kept: what it is held against."""
    assert isinstance(run.config.game, AdversarialSequence)
    return run.at(run.config.game.pretrain)


def minutes(workdir: Path, batch: int) -> float:
    """Wall time of the training in all its sittings, from the rates it logged."""
    seconds, last = 0.0, 0
    for line in run_directory.metrics(epath.Path(workdir)).read_text().splitlines():
        entry = json.loads(line)
        seconds += (entry["step"] - last) * batch / entry["examples_per_second"]
        last = entry["step"]
    return seconds / 60
