"""The page's parts on speed: a function for each suite, from rows to blocks."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.report import results
from benchmarks.report.results import Results, Row
from jaxgen import charts, page
from jaxgen.page import Block, Section

STEPS = ("step", "accelerator")


def sections(found: Results) -> list[Section]:
    return [
        Section("Throughput", throughput(found)),
        Section("Against the batch", against_batch(found.of("batch"))),
        Section("Roofline", roofline(found.of(*STEPS))),
        Section("Scaling", scaling(found.of("scaling"))),
        Section("Steps per call", steps_per_call(found.of("dispatch"))),
        Section("Compile time", compile_time(found)),
        Section("What a run adds", overhead(found.of("input"))),
        Section("Layers", layers(found.of("layers"))),
        Section("Precision", precision(found.of("precision"))),
    ]


def ratio_chart(rows: Iterable[Row]) -> str:
    """An SVG: every system's ratio to the best of PyTorch, by machine."""
    titles, values = results.titles(), dict[str, dict[str, float]]()
    for row in results.in_order(rows):
        if "torch" in row["against"]:
            name = titles.get(results.system(row), results.system(row))
            values.setdefault(name, {})[results.machine(row)] = row["against"]["torch"]["ratio"]
    return charts.ratios(values, "PyTorch's time / jaxgen's: above 1, jaxgen is faster")


def throughput(found: Results) -> list[Block]:
    rows = found.of(*STEPS)
    if not rows:
        return []
    blocks = [
        page.paragraph(
            "A training step of each system, in turns with the best of PyTorch (eager, channels_last, torch.compile, "
            "on a card also CUDA graphs: the fastest is found first), the same networks, losses, batch and precision. "
            "Milliseconds are the median of the turns; a ratio is the median over pairs of turns, its range beside it; "
            "above 1, jaxgen is faster. The share of the peak is that of large matrix products on the same machine."
        )
    ]
    by_machine = results.machines(rows)
    blocks.append(page.side_by_side(page.drawing(ratio_chart(of), machine) for machine, of in by_machine.items()))
    for machine, of in by_machine.items():
        blocks += [page.heading(machine), _steps(of)]
    return blocks


def _steps(rows: Sequence[Row]) -> Block:
    titles = results.titles()
    peers = list(dict.fromkeys(name for row in rows for name in row["against"] if name != "torch"))
    head = ["step", "batch", "ms", "spread", "examples/s", "PyTorch, ms", "its form", "ratio", "range"]
    head += [f"ratio to {name}" for name in peers] + ["share of peak", "compile, s", "peak MB", "measured"]
    lines = []
    for row in results.in_order(rows):
        torch, name = row["against"].get("torch"), results.system(row)
        bf16 = f", {results.precision(row)}" if row["suite"] == "accelerator" else ""
        lines.append(
            [
                titles.get(name, name) + bf16,
                row["batch"],
                row["step_ms"]["median"],
                f"{row['step_ms']['spread']:.0%}",
                round(row["examples_per_s"]),
                torch and torch["step_ms"]["median"],
                torch and torch["variant"],
                torch and f"{torch['ratio']:.2f}",
                torch and f"{min(torch['ratios']):.2f} to {max(torch['ratios']):.2f}",
                *(_of_peer(row["against"].get(peer)) for peer in peers),
                _share(row),
                f"{row['compile_s']:.0f}",
                round(row["peak_memory_bytes"] / 1e6),
                results.measured(row),
            ]
        )
    return page.table(head, lines, results.origin(rows))


def _of_peer(theirs: Mapping[str, Any] | None) -> str | None:
    if not theirs:
        return None
    return f"{theirs['ratio']:.2f} ({theirs['variant']})"


def _share(row: Row) -> str | None:
    share = row["fraction_of_matmul_peak"]
    return None if share is None else f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"


def against_batch(rows: Sequence[Row]) -> list[Block]:
    blocks = []
    for machine, of in results.machines(rows).items():
        drawn = [
            page.drawing(charts.lines(sides, "batch", "examples/s", log_x=True, marks=True), name)
            for name, sides in rates_by_batch(of).items()
        ]
        blocks += [page.heading(machine), page.side_by_side(drawn), _plain(of)]
    return blocks


def rates_by_batch(rows: Sequence[Row]) -> dict[str, dict[str, charts.Line]]:
    """Of each system `<system>_batch_<n>` the examples/s at its batches: jaxgen's, and PyTorch's where it was timed."""
    titles, points = results.titles(), dict[str, dict[str, dict[float, float]]]()
    for row in rows:
        name = row["name"].rsplit("_batch_", 1)[0]
        sides = points.setdefault(titles.get(name) or str(name), {})
        sides.setdefault("jaxgen", {})[row["batch"]] = row["examples_per_s"]
        if "torch" in row["against"]:
            sides.setdefault("PyTorch", {})[row["batch"]] = row["examples_per_s"] / _slower(row, "torch")
    return {name: {side: _line(at.items()) for side, at in sides.items()} for name, sides in points.items()}


def roofline(rows: Sequence[Row]) -> list[Block]:
    """How near a step comes to what the machine allows: its arithmetic at the rate of large products, its state read
    and written once at the rate of a copy, whichever takes longer."""
    rows = [row for row in rows if row["flops_per_step"]]
    titles, blocks = results.titles(), []
    for machine, of in results.machines(rows).items():
        lines = []
        for row in results.in_order(of):
            floor = floor_ms(row)
            lines.append(
                [
                    titles.get(results.system(row), row["name"]),
                    row["batch"],
                    row["flops_per_step"] / 1e9,
                    row.get("state_bytes") and row["state_bytes"] / 1e6,
                    floor["arithmetic"],
                    floor["memory"],
                    row["step_ms"]["median"],
                    f"{max(v for v in floor.values() if v is not None) / row['step_ms']['median']:.0%}",
                ]
            )
        head = ["step", "batch", "GFLOP", "state, MB", "arithmetic, ms", "memory, ms", "measured, ms", "of the roof"]
        blocks += [page.heading(machine), page.table(head, lines, _peak(of) + " " + results.origin(of))]
    if not blocks:
        return []
    said = (
        "What a step must take at least: its floating-point operations (of the program before XLA optimises it; of "
        "sequences the matrix products alone) at the rate of large matrix products, and its weights, moments and "
        "averages read and written once at the rate of a copy. The share that is reached is of the larger of the two."
    )
    return [page.paragraph(said), *blocks]


def floor_ms(row: Row) -> dict[str, float | None]:
    """The least that `arithmetic` and `memory` allow, ms; None where it is not known."""
    peak = row["peak"]
    rate = peak["matmul_flops_per_s"][results.precision(row)]
    state = row.get("state_bytes")
    return {
        "arithmetic": 1e3 * row["flops_per_step"] / rate,
        "memory": 1e3 * 2 * state / peak["copy_bytes_per_s"] if state else None,
    }


def _peak(rows: Sequence[Row]) -> str:
    """In a sentence."""
    found = {}
    for peak in (row["peak"] for row in rows):
        rates = {name: f"{rate / 1e9:.0f}" for name, rate in peak["matmul_flops_per_s"].items()}
        copy = f"{peak['copy_bytes_per_s'] / 1e9:.0f}"
        found[f"{rates['fp32']} GFLOP/s in fp32, {rates['bf16']} in bf16, copy {copy} GB/s"] = None
    return f"Peaks, found before each run: {'; '.join(found)}."


def scaling(rows: Sequence[Row]) -> list[Block]:
    blocks = []
    for machine, of in results.machines(rows).items():
        drawn = []
        for kind, means in (("strong", "the whole batch stays as it is"), ("weak", "each device has as much as one")):
            lines = {form: _scaled(of, kind, form) for form in ("pmap", "jit")}
            if any(len(at) > 1 for at, _ in lines.values()):
                chart = charts.lines(lines, "devices", "examples/s", log_x=True, marks=True)
                drawn.append(page.drawing(chart, f"{kind} scaling: {means}."))
        virtual = "The devices are virtual and share the cores: at best the rate stays." if _on_cpu(of) else ""
        blocks += [page.heading(machine), page.paragraph(virtual), page.side_by_side(drawn), _plain(of)]
    return blocks


def _scaled(rows: Sequence[Row], kind: str, form: str) -> tuple[list[float], list[float]]:
    """(devices, examples/s) of rows `<system>_<kind>_<devices>`; of one device in both kinds."""
    rates = {}
    for row in rows:
        found = re.fullmatch(r".+_(strong|weak)_\d+", row["name"])
        if found and (found[1] == kind or row["devices"] == 1):
            rates[row["devices"]] = row["examples_per_s"] / _slower(row, form)
    return _line(rates.items())


def _on_cpu(rows: Sequence[Row]) -> bool:
    return all(row["device"] == "cpu" for row in rows)


def _slower(row: Row, name: str) -> float:
    """How many times the row's time that form takes; 1 for the row's own."""
    return row["against"][name]["ratio"] if name in row["against"] else 1.0


def _line(points: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
    points = sorted(points)
    return [x for x, _ in points], [y for _, y in points]


def steps_per_call(rows: Sequence[Row]) -> list[Block]:
    blocks = []
    for machine, of in results.machines(rows).items():
        points = _line((int(row["name"].rsplit("_", 1)[1]), row["examples_per_s"]) for row in of)
        chart = charts.lines({"": points}, "steps in a call", "examples/s", log_x=True, marks=True)
        note = "Several steps in one dispatch, over data that lie on the device."
        blocks += [page.heading(machine), page.side_by_side([page.drawing(chart, note)]), _plain(of)]
    return blocks


def compile_time(found: Results) -> list[Block]:
    blocks = []
    if suite := found.of("compile"):
        said = "A run's first call, compiled cold and from the persistent cache; a turn is a compilation."
        blocks += [page.paragraph(said), *(_plain(of) for of in results.machines(suite).values())]
    titles = results.titles()
    for machine, of in results.machines(found.of(*STEPS)).items():
        head = ["step", "jaxgen, s", "PyTorch, s", "PyTorch's form", "measured"]
        lines = []
        for row in results.in_order(of):
            theirs = row["against"].get("torch", {})
            seconds = theirs.get("compile_s")
            lines.append(
                [
                    titles.get(results.system(row), row["name"]),
                    f"{row['compile_s']:.1f}",
                    None if seconds is None else f"{seconds:.1f}",
                    theirs.get("variant"),
                    results.measured(row),
                ]
            )
        said = "What the first step took beyond the second, of the rows above."
        blocks += [page.folded(f"Of every step, {machine}", page.table(head, lines, f"{said} {results.origin(of)}"))]
    return blocks


def overhead(rows: Sequence[Row]) -> list[Block]:
    said = (
        "Whole runs, with input, logs, checkpoints and pictures, in turns with the bare step and bare calls: the ratio "
        "is how much of the run's time the step alone takes. A feed is the input alone."
    )
    return [page.paragraph(said), *(_plain(of) for of in results.machines(rows).values())] if rows else []


def layers(rows: Sequence[Row]) -> list[Block]:
    said = "jaxgen's own layers, forward and with all gradients, in turns with Flax's and PyTorch's."
    blocks = [page.folded(machine, _plain(of)) for machine, of in results.machines(rows).items()]
    return [page.paragraph(said), *blocks] if blocks else []


def precision(rows: Sequence[Row]) -> list[Block]:
    said = "Steps in bfloat16, in turns with fp32."
    return [page.paragraph(said), *(_plain(of) for of in results.machines(rows).values())] if rows else []


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _plain(rows: Sequence[Row]) -> Block:
    """A table of any suite that times steps."""
    opponents = list(dict.fromkeys(name for row in rows for name in row["against"]))
    head = ["case", "batch", "ms", "spread", "per second", *(f"ratio to {name}" for name in opponents), "measured"]
    lines = [
        [
            row["name"],
            row["batch"],
            row["step_ms"]["median"],
            f"{row['step_ms']['spread']:.0%}",
            f"{_rate(row['examples_per_s'])} {row['items']}",
            *(f"{row['against'][o]['ratio']:.2f}" if o in row["against"] else None for o in opponents),
            results.measured(row),
        ]
        for row in rows
    ]
    return page.table(head, lines, results.origin(rows))
