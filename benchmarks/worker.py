"""The benchmark's end of a worker process."""

import json
import os
import re
import selectors
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.protocol import Incomparable, Job
from jaxgen.memory import huge_pages

ROOT = Path(__file__).resolve().parents[1]
SHARED = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
QUIET_IDLE = 0.02
"""The share of a core that a waiting worker may burn; more means that it spins and slows the other down."""


WANT_OF_MEMORY = re.compile(
    r"RESOURCE_EXHAUSTED|MemoryError|out of memory|(?:can't|cannot) allocate memory|bad_alloc|ALLOC_FAILED",
    re.IGNORECASE,
)
"""What Python, NumPy, XLA, PyTorch, C++ and CUDA's libraries say of it."""


class OutOfMemory(RuntimeError):  # noqa: N818 (a size that does not fit is an answer)
    """A worker had not the memory for what it was asked."""


@dataclass(frozen=True)
class Command:
    """How to start a worker."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)  # added to ours


class Worker:
    """A worker process: built and warmed up when the constructor returns, asleep between turns.

    Each gets large pages, as the command line does: PyTorch's steps gain from them too. On a card, which several
    workers share, JAX takes memory as it needs it.

    Raises `RuntimeError` with the worker's own words where it fails, dies or does not answer within `timeout` seconds;
    where that is for want of memory, `OutOfMemory`.
    """

    def __init__(self, command: Command, job: Job, timeout: float = 900.0):
        self._timeout = timeout
        self._argv = command.argv
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `close`)
        self._process = subprocess.Popen(
            command.argv,
            cwd=ROOT,
            env=os.environ | huge_pages() | SHARED | {"PYTHONPATH": str(ROOT)} | dict(command.env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
        )
        try:
            built = self._ask({"do": "build", "job": job})
        except BaseException:
            self.close()
            raise
        self.unit: int = built["unit"]
        self.facts: Mapping[str, Any] = built["facts"]
        self.compile_s: float = built.get("compile_s", 0.0)
        self.step_s: float = built.get("step_s", 0.0)
        self._idle_s = self._idle_cpu_s = 0.0

    def turn(self, steps: int) -> float:
        reply = self._ask({"do": "time", "steps": steps})
        self._idle_s += reply["idle_s"]
        self._idle_cpu_s += reply["idle_cpu_s"]
        return reply["seconds"] / reply["steps"]

    @property
    def idle_cpu(self) -> float:
        """The share of a core that it burnt while it waited for its turns: more than `QUIET_IDLE` slows the others. 0
        where it hardly had to wait."""
        return self._idle_cpu_s / self._idle_s if self._idle_s > 0.1 else 0.0

    def losses(self, steps: int, path: str) -> list[list[float]]:
        """Raises `Incomparable` where the worker says so."""
        return self._ask({"do": "losses", "steps": steps, "path": path})["losses"]

    def costs(self) -> dict[str, Any]:
        """Peak memory and FLOPs of a step; ask after the turns, since finding out may take time and memory."""
        return self._ask({"do": "costs"})["costs"]

    def memory(self, steps: int) -> dict[str, Any]:
        """The most that `steps` steps have in memory, in bytes, as `benchmarks.protocol` says. Raises `OutOfMemory`."""
        return self._ask({"do": "memory", "steps": steps})["memory"]

    def draw(self, path: str) -> None:
        """Has it write there, as an .npz, what its quality is computed of."""
        self._ask({"do": "draw", "path": path})

    def hang_up(self) -> None:
        """Ends its input, after which it ends by itself, and does not wait for that."""
        if self._process.stdin:
            self._process.stdin.close()

    def close(self) -> None:
        """End of its input ends the worker; one that does not listen is killed."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        try:
            stdin.write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            raise self._death(f"died before {request['do']!r}.") from None
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            if not selector.select(self._timeout):
                raise RuntimeError(f"{self._name()} gave no answer to {request['do']!r} in {self._timeout:g} s.")
        line = stdout.readline()
        if not line:
            raise self._death(f"died of {request['do']!r}.")
        reply = json.loads(line)
        if "incomparable" in reply:
            raise Incomparable(reply["incomparable"])
        if "error" in reply:
            raise _failure(f"{self._name()} failed at {request['do']!r}.", reply["error"])
        return reply

    def _death(self, how: str) -> RuntimeError:
        """Of a process that was killed it is taken that the kernel had no memory left: nobody else kills it."""
        try:
            killed = self._process.wait(10) == -signal.SIGKILL
        except subprocess.TimeoutExpired:  # it closed its output and lives on
            killed = False
        return _failure(f"{self._name()} {how}", self._tail(), killed)

    def _name(self) -> str:
        return "The worker `" + " ".join(self._argv) + "`"

    def _tail(self, size: int = 4000) -> str:
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - size))
        return self._log.read().decode(errors="replace")


def _failure(what: str, words: str, out_of_memory: bool = False) -> RuntimeError:
    kind = OutOfMemory if out_of_memory or WANT_OF_MEMORY.search(words) else RuntimeError
    return kind(f"{what}\n{words}")
