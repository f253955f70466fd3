"""Turns, and what is made of their times."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Steps(Protocol):
    """What `pairs` needs: a worker, or a test's stand-in for one."""

    facts: Mapping[str, Any]
    compile_s: float
    step_s: float
    unit: int

    def turn(self, steps: int) -> float:
        """Seconds per step over one turn of `steps` steps."""
        ...


def turn_steps(worker: Steps, seconds: float) -> int:
    """Steps in a turn of about `seconds`: a whole number of its units, at least one."""
    return worker.unit * max(1, round(seconds / (worker.step_s * worker.unit)))


def alternate(ours: Steps, other: Steps, n: int, seconds: float) -> tuple[list[float], list[float]]:
    """`n` pairs of turns, A B A B: (ours, other) seconds per step of each turn. Never both at once."""
    ours_steps, other_steps = turn_steps(ours, seconds), turn_steps(other, seconds)
    a, b = [], []
    for _ in range(n):
        a.append(ours.turn(ours_steps))
        b.append(other.turn(other_steps))
    return a, b


def fastest(variants: Mapping[str, Steps], seconds: float, rounds: int = 2) -> tuple[str, dict[str, float]]:
    """The name of the variant with the smallest time and every variant's, in ms: the best of `rounds` rotations."""
    times = {name: float("inf") for name in variants}
    for _ in range(rounds):
        for name, worker in variants.items():
            times[name] = min(times[name], 1e3 * worker.turn(turn_steps(worker, seconds)))
    return min(times, key=times.__getitem__), times


def summary(seconds: Sequence[float]) -> dict[str, Any]:
    """Milliseconds per step over turns: median, min, spread = (max - min) / median, n, and the turns in their order."""
    ms = [1e3 * s for s in seconds]
    median = statistics.median(ms)
    return {"median": median, "min": min(ms), "spread": (max(ms) - min(ms)) / median, "n": len(ms), "turns": ms}


def ratio(ours: Sequence[float], other: Sequence[float]) -> float:
    """Median over the pairs of other / ours: above 1, ours is faster."""
    return statistics.median(b / a for a, b in zip(ours, other, strict=True))


def loss_difference(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> float:
    """The largest difference between losses [steps][players], relative to ours where that is above 1; inf for a NaN."""
    pairs = [(a, b) for x, y in zip(ours, theirs, strict=True) for a, b in zip(x, y, strict=True)]
    differences = [abs(a - b) / max(1.0, abs(a)) for a, b in pairs]
    return max(d if d == d else float("inf") for d in differences)


def verdict(worst: float, moved: float, tolerance: float) -> str:
    """`same` or `DIFFERENT`; `BLIND` where training moved the losses so little that a wrong gradient would not show."""
    if worst > tolerance:
        return "DIFFERENT"
    return "same" if moved > 10 * tolerance else "BLIND"
