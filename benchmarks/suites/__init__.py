"""One question a file. A suite is a tuple `CASES`; a new system gets its row by adding one entry to it."""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.protocol import Job
from benchmarks.worker import Command
from jaxgen.config import Config, Variational, nearest, to_dict
from jaxgen.errors import UserError


@dataclass(frozen=True)
class Case:
    """One row of the table: a system of ours, and what it is measured against."""

    name: str
    config: Config
    steps_per_call: int = 0
    """0 times the bare train step on one batch; K times a call of K steps that samples its batches itself."""
    flax_layers: bool = False
    """Put Flax's transposed convolution in the place of ours."""
    rivals: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Other forms of our own: name -> the fields of this case that differ. Timed in every run, no peer needed."""
    pairs: int = 0
    """Pairs of turns; 0 leaves it to the command line."""
    check_rate: float = 0.01
    """Of SGD, in the check: large enough to move the losses, too small to blow rounding up."""

    def job(self, check: bool = False) -> Job:
        """What a worker is told to build.

        `sgd` above 0 is the rate of SGD in the place of the config's optimisers, in the check: Adam's division by the
        gradient's size would turn rounding into a difference.
        """
        return {
            "config": to_dict(self.config),
            "steps_per_call": self.steps_per_call,
            "flax_layers": self.flax_layers,
            "sgd": self.check_rate if check else 0.0,
        }


def deterministic(case: Case) -> Case:
    """The case without the noise that two libraries can't share: dropout and pixels drawn anew."""
    model, game = case.config.model, case.config.game
    if hasattr(model, "dropout"):
        model = replace(model, dropout=0.0)
    if isinstance(game, Variational):
        game = replace(game, binarise=False)
    return replace(case, config=replace(case.config, model=model, game=game))


OURS = "benchmarks.ours"


def ours(python: str) -> Command:
    """How to start our own worker."""
    return Command((python, "-m", OURS))


def names() -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules(__path__))


def load(name: str) -> tuple[Case, ...]:
    """The cases of `suites/<name>.py`. Raises `UserError` where there is none."""
    if name not in names():
        raise UserError(f"There is no suite {name!r}{nearest(name, names())}.")
    return importlib.import_module(f"{__name__}.{name}").CASES
