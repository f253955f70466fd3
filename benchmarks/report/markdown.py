"""The tables of README.md and of the page's Markdown twin."""

import re
from collections.abc import Mapping, Sequence

from benchmarks.report import quality, results
from benchmarks.report.results import Results, Row, Verdict
from benchmarks.report.speed import STEPS
from jaxgen.errors import UserError


def whole(found: Results) -> str:
    """The Markdown table beside the page: every machine, then the gates."""
    parts = ["# jaxgen: benchmarks", throughput(found.of(*STEPS)), quality_table(found)]
    return "\n\n".join(parts) + "\n"


def tables(found: Results) -> dict[str, str]:
    """What README.md has between its marks, by their names."""
    return {"throughput": throughput(featured(found)), "quality": quality_table(found)}


def featured(found: Results) -> list[Row]:
    """Steps on the CPU with the most rows, and on every accelerator."""
    by_machine = results.machines(found.of(*STEPS)).values()
    cpu = [of for of in by_machine if of[0]["device"] == "cpu"][:1]
    return [row for of in (*cpu, *(of for of in by_machine if of[0]["device"] != "cpu")) for row in of]


def throughput(rows: Sequence[Row]) -> str:
    """A line for each case; for each machine milliseconds, ratios, and where from."""
    titles, by_machine = results.titles(), results.machines(rows)
    head = ["step"]
    for machine in by_machine:
        head += [f"batch: ms on {machine}", "PyTorch's time / ours", "others' / ours", "commit"]
    lines = []
    for name, title in titles.items():
        cells = [title]
        for of in by_machine.values():
            row = next((row for row in of if results.system(row) == name), None)
            cells += _cells(row) if row else [""] * 4
        if any(cells[1:]):
            lines.append(cells)
    return _table(head, lines) + "\n\n" + "\n\n".join(results.origin(of) for of in by_machine.values())


def _cells(row: Row) -> list[str]:
    torch = row["against"].get("torch")
    shown = "" if not torch else f"{_ratio(torch['ratio'])} ({torch['variant'].replace('_', ' ')})"
    others = [f"{_ratio(of['ratio'])} {name}" for name, of in row["against"].items() if name != "torch"]
    bf16 = " bf16" if results.precision(row) == "bf16" else ""
    return [f"{row['batch']}: {row['step_ms']['median']:.3g}{bf16}", shown, ", ".join(others), results.commit(row)]


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def quality_table(found: Results) -> str:
    """A line for each gate: all that is asked, what is measured of it in the same order, and how many seeds pass."""
    lines = []
    for name, seeds in quality.ordered(found):
        columns = quality.parts(seeds)
        asked = "; ".join(quality.asked(seeds, column) for column in columns)
        measured = "; ".join(quality.over_seeds(seeds, column) + _missed(seeds, column) for column in columns)
        lines.append([quality.title(name), asked, measured, quality.passes(seeds)])
    return _table(["gate", "asked", "measured (mean ± deviation over seeds)", "seeds that pass"], lines)


def _missed(seeds: Sequence[Verdict], column: str) -> str:
    """In bold, where not every seed meets it."""
    count = sum(quality.met(verdict, column) for verdict in seeds)
    return "" if count == len(seeds) else f" **({count} of {len(seeds)})**"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def filled(text: str, parts: Mapping[str, str]) -> str:
    """README's text with each part between `<!-- name: ... -->` and `<!-- end of name -->`. Raises `UserError` where
    the marks of one are missing."""
    for name, part in parts.items():
        marks = re.compile(rf"(<!-- {name}:[^\n]*-->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        if not marks.search(text):
            raise UserError(
                f"README.md has no marks for the table {name!r}: <!-- {name}: ... --> to <!-- end of {name} -->."
            )
        text = marks.sub(lambda found, part=part: f"{found[1]}\n{part}\n\n{found[2]}", text)
    return text
