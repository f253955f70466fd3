"""Where and of what a figure was measured."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
QUIET_LOAD = 0.5
"""Above this load average (1 minute) somebody else is using the machine and the figures are not to be trusted."""


def load_average() -> float:
    return os.getloadavg()[0]


def hardware() -> dict[str, Any]:
    """CPU model and the cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": _cpu_model(), "cores": cores, "system": platform.platform()}


def versions() -> dict[str, str]:
    """Of Python, and of the libraries that a figure depends on."""
    of = {name: metadata.version(name) for name in ("jax", "jaxlib", "flax", "optax", "numpy")}
    return of | {"python": platform.python_version()}


def commit() -> str:
    """The checkout's commit, `-dirty` where tracked files differ from it; `unknown` outside a checkout.

    Results do not count: one seed's must not spoil the next one's.
    """
    argv = ["git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)benchmarks/results"]
    try:
        head, changed = (
            subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
            for command in (["git", "rev-parse", "HEAD"], argv)
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + "-dirty" * bool(changed)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
