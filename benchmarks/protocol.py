"""How the benchmark and its workers talk: one JSON object a line, standard library only.

A worker holds one training step, built and warmed up, and sleeps in `readline` between its turns, so that two of them
can alternate on the same cores without disturbing each other.

    benchmark                                   worker
    {"do": "build", "job": {...}}               {"compile_s": 4.1, "step_s": 0.02, "unit": 1, "facts": {...}}
    {"do": "time", "steps": 40}                 {"seconds": 0.81, "steps": 40, "idle_s": 0.9, "idle_cpu_s": 0.0}
    {"do": "losses", "steps": 3, "path": "x"}   {"losses": [[0.69, 0.69], ...]}
    {"do": "costs"}                             {"costs": {"peak_memory_bytes": 3e8, "peak_memory_source": "process"}}
    {"do": "draw", "path": "x"}                 {"drawn": "x"}
    {"do": "memory", "steps": 2}                {"memory": {"peak_bytes": 9e8, "base_bytes": 4e8, ...}}
    end of file                                 exits

A reply of {"error": traceback} means that the request failed, one of {"incomparable": reason} that the losses are of
something else than ours; the worker stays alive.
"""

import ctypes
import gc
import importlib
import importlib.util
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

CLOSE = 16 << 20
"""Bytes by which a peak that was just reset may be above what is resident."""

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
    `peak_memory_source` where it knows better than the process's largest resident size. One that trains has
    `draw(path)`: writes there, as an .npz, what its quality is computed of, from the averaged weights.
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
    base_bytes = 0
    idle_since, cpu_then = time.perf_counter(), time.process_time()
    for line in requests:
        idle = {"idle_s": time.perf_counter() - idle_since, "idle_cpu_s": time.process_time() - cpu_then}
        try:
            request = json.loads(line)
            if request["do"] == "build":
                make = build.load(request["job"]) if isinstance(build, Kinds) else build
                base_bytes = _resident_bytes()
                contestant = make(request["job"])
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
            elif request["do"] == "draw":
                _draw(contestant, request["path"])
                reply = {"drawn": request["path"]}
            elif request["do"] == "memory":
                reply = {"memory": _memory(contestant, request["steps"], base_bytes)}
            else:
                raise RuntimeError(f"unknown request {request['do']!r}")
        except Incomparable as answer:
            reply = {"incomparable": str(answer)}
        except Exception:  # the benchmark, at the other end, is who can act on it
            reply = {"error": traceback.format_exc()}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()
        idle_since, cpu_then = time.perf_counter(), time.process_time()


@dataclass(frozen=True)
class Kinds:
    """Builds a job by `build` of the module `package.<kind>`, which is imported with the first job that asks for it.

    Raises `ValueError` for a kind that the package has not.
    """

    package: str

    def __call__(self, job: Job) -> Contestant:
        return self.load(job)(job)

    def load(self, job: Job) -> Callable[[Job], Contestant]:
        """What builds the job, imported: nothing is built."""
        name = f"{self.package}.{job['kind']}"
        module = importlib.import_module(name) if importlib.util.find_spec(name) else None
        if not hasattr(module, "build"):
            raise ValueError(f"{self.package} has no kind {job['kind']!r}")
        return module.build  # pyright: ignore[reportOptionalMemberAccess]


def serve_standard_streams(build: Callable[[Job], Contestant]) -> None:
    """`serve` on stdin and stdout. What libraries print goes to stderr instead: stdout carries replies only."""
    with os.fdopen(os.dup(1), "w") as replies:
        os.dup2(2, 1)
        serve(build, sys.stdin, replies)


def _costs(contestant: Contestant) -> dict[str, Any]:
    """The contestant's own figures; the process's peak memory (imports and compilation included) where it has none."""
    own = getattr(contestant, "costs", dict)()
    return {"peak_memory_bytes": _peak_bytes(), "peak_memory_source": "process", "flops_per_step": None} | own


def _memory(contestant: Contestant, steps: int, base_bytes: int) -> dict[str, Any]:
    """The most that `steps` steps have in memory, in bytes: `peak_bytes`, and `source`, what that is.

    "device": the allocator's peak since the process began, which knows no resident size: `base_bytes` and
    `before_bytes` are 0. "steps": the process's largest resident size in these steps; what building, compiling and
    warming up had, and gave back, is not in it. "process": that since the process began, where the kernel doesn't
    reset it. `base_bytes` were resident when all was imported and nothing built, `before_bytes` just before the steps.
    """
    gc.collect()
    _give_back()
    source = "steps" if _forget_peak() else "process"
    before = _resident_bytes()
    contestant.run(steps)
    found = {"peak_bytes": _peak_bytes(), "base_bytes": base_bytes, "before_bytes": before, "source": source}
    if contestant.facts["device"] == "cpu":  # its costs take long, and tell nothing of memory
        return found
    own = _costs(contestant)
    if own["peak_memory_source"] != "device":
        return found
    return {"peak_bytes": own["peak_memory_bytes"], "base_bytes": 0, "before_bytes": 0, "source": "device"}


def _give_back() -> None:
    """What was freed goes back to the kernel: glibc keeps it, and it would count as the steps'."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def _forget_peak() -> bool:
    """The largest resident size begins anew, at the present one. False where the kernel doesn't do that."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # man 5 proc; Linux only
    except OSError:
        return False
    return _peak_bytes() - _resident_bytes() < CLOSE


def _resident_bytes() -> int:
    """What this process has in memory; its peak where there is no `/proc`."""
    return _status("VmRSS") or _peak_bytes()


def _draw(contestant: Contestant, path: str) -> None:
    draw = getattr(contestant, "draw", None)
    if draw is None:
        raise RuntimeError("this kind of job draws nothing")
    draw(path)


def _peak_bytes() -> int:
    """The most that this process had in memory. Linux's `ru_maxrss` begins at what its parent had when it forked."""
    kept = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return _status("VmHWM") or kept


def _status(name: str) -> int:
    """A size in Linux's account of this process; 0 where there is none."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else ()
    return 1024 * next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def _warm_up(contestant: Contestant) -> dict[str, float]:
    """The first call compiles; what it took beyond the second is the compile time."""
    first = _seconds(contestant, contestant.unit)
    second = _seconds(contestant, contestant.unit)
    return {"compile_s": max(0.0, first - second), "step_s": second / contestant.unit}


def _seconds(contestant: Contestant, steps: int) -> float:
    start = time.perf_counter()
    contestant.run(steps)
    return time.perf_counter() - start
