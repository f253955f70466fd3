"""How a row is shown."""

from collections.abc import Mapping
from typing import Any

from benchmarks.worker import QUIET_IDLE


def table_line(row: Mapping[str, Any] | None) -> str:
    """One line of the table; its head where there is no row."""
    if row is None:
        return (
            f"{'step':28}{'batch':>6}{'examples/s':>12}{'ms':>10}{'min':>10}{'spread':>8}{'n':>4}{'compile s':>11}"
            "     MB  peak   ratio (above 1: ours is faster)"
        )
    step = row["step_ms"]
    ratios = [
        f"{theirs['ratio']:.2f} to {name}"
        + (f" {theirs['variant']}" if theirs["variant"] != name else "")
        + f" ({theirs['step_ms']['median']:.4g} ms)"
        for name, theirs in row["against"].items()
    ]
    share = "     -" if row["fraction_of_matmul_peak"] is None else f"{row['fraction_of_matmul_peak']:6.0%}"
    return (
        f"{row['name']:28}{row['batch']:6}{row['examples_per_s']:12.1f}{step['median']:10.4g}{step['min']:10.4g}"
        f"{step['spread']:8.0%}{step['n']:4}{row['compile_s']:11.1f}"
        f"{row['peak_memory_bytes'] / 1e6:7.0f}{share}   {', '.join(ratios)}"
    )


def notes(row: Mapping[str, Any]) -> list[str]:
    """What a reader of the row must know: variants that failed, and processes that did not sleep."""
    out = []
    for name, side in {"ours": row, **row["against"]}.items():
        if side.get("idle_cpu", 0) > QUIET_IDLE:
            out.append(f"{name} burnt {side['idle_cpu']:.0%} of a core while it waited: the ratios suffer from it")
        for variant, why in side.get("failed", {}).items():
            out.append(f"{name} {variant} did not run: {why.strip().splitlines()[-1]}")
    return out
