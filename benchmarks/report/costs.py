"""The page's parts on what else than a step's time a user pays: memory, and the time until a model is good."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.report import results
from benchmarks.report.results import Results, Row
from jaxgen import charts, page
from jaxgen.page import Block, Section

MB = 1e6


def sections(found: Results) -> list[Section]:
    return [
        Section("Memory", memory(found.of("memory"))),
        Section("Time to quality", time_to_quality(found.of("time_to_quality"))),
    ]


def memory(rows: Sequence[Row]) -> list[Block]:
    blocks = []
    for machine, of in results.machines(rows).items():
        drawn, lines = [], []
        for row in of:
            sides = _sides(row)
            curves = {name: _curve(side) for name, side in sides.items()}
            title = results.titles().get(row["name"]) or str(row["name"])
            drawn.append(
                page.drawing(charts.lines(curves, "batch", "peak, MB", log_x=True, log_y=True, marks=True), title)
            )
            lines += [
                [title, name, side["largest_batch"], row["limit_bytes"] / MB, _least(side), results.measured(row)]
                for name, side in sides.items()
            ]
        head = ["step", "of", "largest batch that fits", "limit, MB", "at the smallest batch, MB", "measured"]
        blocks += [page.heading(machine), page.side_by_side(drawn), page.table(head, lines, results.origin(of))]
    if not blocks:
        return []
    said = (
        "The most memory that was in use while steps were taken, beyond what the process had before anything was "
        "built. What compiling took and gave back is not in it; what it keeps in the process is. The largest batch is "
        "the largest that stays within the limit, to an eighth: on a card its memory, on CPU a budget."
    )
    return [page.paragraph(said), *blocks]


def _sides(row: Row) -> dict[str, Mapping[str, Any]]:
    """Ours and each peer's, by name."""
    return {"jaxgen": row, **{f"{name}, {theirs['variant']}": theirs for name, theirs in row["against"].items()}}


def _curve(side: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    points = sorted((point["batch"], (point["peak_bytes"] - point["base_bytes"]) / MB) for point in side["curve"])
    return [batch for batch, _ in points], [peak for _, peak in points]


def _least(side: Mapping[str, Any]) -> int:
    return round(_curve(side)[1][0])


def time_to_quality(rows: Sequence[Row]) -> list[Block]:
    blocks = []
    for machine, of in results.machines(rows).items():
        drawn, lines = [], []
        for row in of:
            sides = _sides(row)
            title = results.titles().get(row["name"]) or str(row["name"])
            for measure, bounds in row["bar"].items():
                curves = {name: _reached(side, measure) for name, side in sides.items()}
                (bar,) = bounds.values()
                drawn.append(
                    page.drawing(charts.lines(curves, "seconds of training", measure, level=bar), f"{title}: {measure}")
                )
            for name, side in sides.items():
                each = ", ".join("-" if s["seconds"] is None else f"{s['seconds']:.1f}" for s in side["runs"])
                ratio = "" if side is row else _ratio(row, name.partition(",")[0])
                lines.append(
                    [
                        title,
                        name,
                        row["metric"],
                        side["seconds"],
                        side["steps"],
                        each,
                        f"{side['compile_s']:.1f}",
                        ratio,
                    ]
                )
        head = ["system", "of", "rule", "seconds", "steps", "each seed", "compile, s", "their time / ours"]
        blocks += [page.heading(machine), page.side_by_side(drawn), page.table(head, lines, results.origin(of))]
    if not blocks:
        return []
    said = (
        "Seconds of training until the rule first holds on held-out data, medians over seeds: the same networks, data, "
        "batches, optimisers and averages, judged by the same code. Judging is not counted, compiling stands apart."
    )
    return [page.paragraph(said), *blocks]


def _reached(side: Mapping[str, Any], measure: str) -> tuple[list[float], list[float]]:
    """Seconds and what was measured then, of the first seed; a look that told nothing is left out."""
    points = [(point["seconds"], point[measure]) for point in side["curve"] if point[measure] is not None]
    return [seconds for seconds, _ in points], [value for _, value in points]


def _ratio(row: Row, peer: str) -> str:
    found = row.get(f"ratio_to_{peer}")
    return "-" if found is None else f"{found:.2f}"
