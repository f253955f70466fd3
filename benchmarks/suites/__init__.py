"""One question a file. A suite is a tuple `CASES`; a new system gets its row by adding one entry to it.

Most suites ask how long a step takes. One that asks something else has two functions beside its cases:

    measure(case, peers, device) -> row    the row, less what is the same for the whole run; `measures` says of what
    line(row) -> str                       how it is shown; its head where `row` is None
"""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any, TypeVar

from benchmarks.protocol import Job
from benchmarks.worker import Command
from jaxgen.config import Config, nearest, to_dict
from jaxgen.errors import UserError

T = TypeVar("T", bound=Any)


@dataclass(frozen=True)
class Case:
    """One row of the table: a system of ours, and what it is measured against."""

    name: str
    config: Config | None
    """The system; None for a kind that takes all from `options`."""
    kind: str = "step"
    """What is timed: a module of `benchmarks.ours`, and of each peer that has it."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON values; that module's docstring says which it takes."""
    rivals: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Other forms of our own: name -> the fields of this case that differ. Timed in every run, no peer needed."""
    peers: tuple[str, ...] | None = None
    """Those that it is compared with, of the ones asked for; None: all that have such a thing."""
    pairs: int = 0
    """Pairs of turns; 0 leaves it to the command line."""
    check_rate: float = 0.01
    """Of SGD, in the check: large enough to move the losses, too small to blow rounding up."""
    title: str = ""
    """The row in words, where tables show it."""

    @property
    def batch(self) -> int:
        """What a step counts as its batch: option `batch`, else the config's examples, all devices together."""
        return self.config.batch if self.config and "batch" not in self.options else self.options["batch"]

    def job(self, check: bool = False) -> Job:
        """What a worker is told to build.

        `sgd` above 0 is the rate of SGD in the place of the config's optimisers, in the check: Adam's division by the
        gradient's size would turn rounding into a difference.
        """
        return {
            "kind": self.kind,
            "config": to_dict(self.config) if self.config else None,
            "options": dict(self.options),
            "sgd": self.check_rate if check else 0.0,
        }


def deterministic(case: Case) -> Case:
    """The case without the noise that two libraries can't share: dropout, augmentation, pixels drawn anew, fakes of
    earlier steps, music that is transposed or in part not shown, frames of a clip and shifts of a waveform that a
    critic draws (it sees all frames, and no shifts), products in bf16.

    Of a call of several steps, the step that it repeats.
    """
    case = replace(case, options={name: value for name, value in case.options.items() if name != "steps_per_call"})
    if case.kind == "call":
        case = replace(case, kind="step")
    if case.config is None:
        return case
    model, game = case.config.model, case.config.game
    of_model = {"dropout": 0.0, "critic_dropout": 0.0, "blind": 0.0, "shuffle": 0, "frames": case.config.shape[0]}
    of_game = {"binarise": False, "augment": "", "pool": 0, "transpose": 0}
    return replace(
        case,
        config=replace(case.config, model=_changed(model, of_model), game=_changed(game, of_game), precision="fp32"),
    )


def _changed(of: T, fields: Mapping[str, Any]) -> T:
    """With the values of those fields that it has."""
    return replace(of, **{name: value for name, value in fields.items() if hasattr(of, name)})


OURS = "benchmarks.ours"


def ours(python: str) -> Command:
    """How to start our own worker."""
    return Command((python, "-m", OURS))


def names() -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules(__path__))


def load(name: str) -> tuple[Case, ...]:
    """The cases of `suites/<name>.py`. Raises `UserError` where there is none."""
    return _module(name).CASES


def own_question(name: str) -> ModuleType | None:
    """The suite itself where it asks something else than how long a step takes: it has `measure` and `line`."""
    suite = _module(name)
    return suite if hasattr(suite, "measure") else None


def _module(name: str) -> ModuleType:
    if name not in names():
        raise UserError(f"There is no suite {name!r}{nearest(name, names())}.")
    return importlib.import_module(f"{__name__}.{name}")
