"""How the benchmark and its workers talk: one JSON object a line, standard library only.

A worker holds one training step, built and warmed up, and sleeps in `readline` between its turns, so that two of them
can alternate on the same cores without disturbing each other.

    benchmark                                   worker
    {"do": "build", "job": {...}}               {"compile_s": 4.1, "step_s": 0.02, "unit": 1, "facts": {...}}
    {"do": "time", "steps": 40}                 {"seconds": 0.81, "steps": 40, "idle_s": 0.9, "idle_cpu_s": 0.0}
    {"do": "losses", "steps": 3, "path": "x"}   {"losses": [[0.69, 0.69], ...]}
    {"do": "costs"}                             {"costs": {"peak_memory_bytes": 3e8, "peak_memory_source": "process"}}
    end of file                                 exits

A reply of {"error": traceback} means that the request failed, one of {"incomparable": reason} that the losses are of
something else than ours; the worker stays alive.
"""

import importlib
import importlib.util
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TextIO

Job = dict[str, Any]
"""Plain JSON values that say what a worker builds.

`kind` names the module that builds it, `config` the system (None where there is none), `options` what that kind takes;
`sgd` above 0 is the rate of a check; a peer's job also names its `variant`.
"""


class Incomparable(Exception):  # noqa: N818 (no error: an answer)
    """A peer computes something else than we do; the message says what."""


class Contestant(Protocol):
    """One training step, ready to run.

    It may also have `costs() -> dict`, asked for after its turns: `flops_per_step`, and `peak_memory_bytes` with
    `peak_memory_source` where it knows better than the process's largest resident size.
    """

    unit: int
    """Turns are whole multiples of this many steps: steps in one dispatch, or the interval of a lazy penalty."""
    facts: dict[str, Any]
    """`versions` by package and `device`, as JSON; `items` where the batch does not count examples."""

    def run(self, steps: int) -> None:
        """Take `steps` steps and return when the last has finished."""
        ...

    def losses(self, steps: int, path: str) -> list[list[float]]:
        """The losses of `steps` steps from given weights. Ours writes weights, batch and noise to `path`, a peer reads
        them; both take the network's dropout as they find it (the job turns it off). Raises `Incomparable` where a
        peer computes something else: the check says so, and goes on."""
        ...


def serve(build: Callable[[Job], Contestant], requests: TextIO, replies: TextIO) -> None:
    """Answer requests until they end. Each reply is one line, flushed."""
    contestant: Contestant | None = None
    idle_since, cpu_then = time.perf_counter(), time.process_time()
    for line in requests:
        idle = {"idle_s": time.perf_counter() - idle_since, "idle_cpu_s": time.process_time() - cpu_then}
        try:
            request = json.loads(line)
            if request["do"] == "build":
                contestant = build(request["job"])
                reply = {"unit": contestant.unit, "facts": contestant.facts}
                if not request["job"].get("sgd"):
                    reply |= _warm_up(contestant)
            elif contestant is None:
                raise RuntimeError("the first request must be `build`")
            elif request["do"] == "time":
                steps = request["steps"]
                reply = {"seconds": _seconds(contestant, steps), "steps": steps} | idle
            elif request["do"] == "losses":
                reply = {"losses": contestant.losses(request["steps"], request["path"])}
            elif request["do"] == "costs":
                reply = {"costs": _costs(contestant)}
            else:
                raise RuntimeError(f"unknown request {request['do']!r}")
        except Incomparable as answer:
            reply = {"incomparable": str(answer)}
        except Exception:  # the benchmark, at the other end, is who can act on it
            reply = {"error": traceback.format_exc()}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
        idle_since, cpu_then = time.perf_counter(), time.process_time()


def by_kind(package: str) -> Callable[[Job], Contestant]:
    """Builds by `build` of the module `package.<kind>`. The module is imported with the first job that asks for it.

    Raises `ValueError` for a kind that the package has not.
    """

    def build(job: Job) -> Contestant:
        name = f"{package}.{job['kind']}"
        module = importlib.import_module(name) if importlib.util.find_spec(name) else None
        if not hasattr(module, "build"):
            raise ValueError(f"{package} has no kind {job['kind']!r}")
        return module.build(job)  # pyright: ignore[reportOptionalMemberAccess]

    return build


def serve_standard_streams(build: Callable[[Job], Contestant]) -> None:
    """`serve` on stdin and stdout. What libraries print goes to stderr instead: stdout carries replies only."""
    with os.fdopen(os.dup(1), "w") as replies:
        os.dup2(2, 1)
        serve(build, sys.stdin, replies)


def _costs(contestant: Contestant) -> dict[str, Any]:
    """The contestant's own figures; the process's peak memory (imports and compilation included) where it has none."""
    own = getattr(contestant, "costs", dict)()
    return {"peak_memory_bytes": _peak_bytes(), "peak_memory_source": "process", "flops_per_step": None} | own


def _peak_bytes() -> int:
    """The most that this process had in memory. Linux's `ru_maxrss` begins at what its parent had when it forked."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _warm_up(contestant: Contestant) -> dict[str, float]:
    """The first call compiles; what it took beyond the second is the compile time."""
    first = _seconds(contestant, contestant.unit)
    second = _seconds(contestant, contestant.unit)
    return {"compile_s": max(0.0, first - second), "step_s": second / contestant.unit}


def _seconds(contestant: Contestant, steps: int) -> float:
    start = time.perf_counter()
    contestant.run(steps)
    return time.perf_counter() - start
