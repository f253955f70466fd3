"""The JSON files under `benchmarks/results`, read once and sorted out."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks import suites
from jaxgen.errors import UserError

Row: TypeAlias = Mapping[str, Any]
"""A row of `benchmarks.throughput`, whose docstring names its fields."""
Verdict: TypeAlias = Mapping[str, Any]
"""What `benchmarks.quality` wrote of one gate and one seed."""

CALL = re.compile(r"(.+)_(fp32|bf16)_call$")
"""How suite `accelerator` names the rows of suite `step`."""


@dataclass(frozen=True)
class Results:
    """`rows` the newest of each case and machine, in the order of the files; `gates` by name, seed after seed;
    `defaults`, what `benchmarks.defaults` wrote of each config."""

    folder: Path
    rows: Sequence[Row]
    gates: Mapping[str, Sequence[Verdict]]
    defaults: Sequence[Mapping[str, Any]]

    def of(self, *names: str) -> list[Row]:
        """The rows of these suites."""
        return [row for row in self.rows if row["suite"] in names]


def read(folder: Path) -> Results:
    """Raises `UserError` where the folder has no results, or a file is none."""
    newest: dict[tuple[Any, ...], Row] = {}
    for path in sorted(folder.glob("*.json")):
        for row in _json(path, "rows"):
            key = (machine(row), row["suite"], row["name"], row["batch"])
            if key not in newest or newest[key]["date"] <= row["date"]:
                newest[key] = row
    gates: dict[str, list[Verdict]] = {}
    for path in sorted((folder / "quality").glob("*.json")):
        verdict = _json(path)
        gates.setdefault(verdict["gate"], []).append(verdict)
    if not newest and not gates:
        raise UserError(
            f"{folder} has no results: benchmarks.throughput and benchmarks.quality write them with --json."
        )
    for seeds in gates.values():
        seeds.sort(key=lambda verdict: verdict["seed"])
    defaults = [_json(path) for path in sorted((folder / "defaults").glob("*.json"))]
    return Results(folder, list(newest.values()), gates, defaults)


def machine(row: Row) -> str:
    """What it ran on, in words: the card, or the CPU and how much of it."""
    hardware = row["hardware"]
    if (device := row.get("device", "cpu")) != "cpu":
        return device
    model = re.sub(r"\((R|TM)\)|Processor|CPU", "", hardware["cpu"])
    cores = f"{hardware['cores']} core" + "s" * (hardware["cores"] != 1)
    return f"{cores}, {' '.join(model.split())}"


def machines(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows by machine; the machines with most rows first."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(machine(row), []).append(row)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def system(row: Row) -> str:
    """The case of suite `step` that the row is of, as rows of suite `accelerator` are too."""
    found = CALL.match(row["name"])
    return found[1] if found else row["name"]


def precision(row: Row) -> str:
    found = CALL.match(row["name"])
    return found[2] if found else "fp32"


def titles() -> dict[str, str]:
    """What the cases of suite `step` are called in words, in their order."""
    return {case.name: case.title or case.name for case in suites.load("step")}


def in_order(rows: Iterable[Row]) -> list[Row]:
    """As the cases of suite `step` are; what it has not comes last."""
    order = {name: i for i, name in enumerate(titles())}
    return sorted(rows, key=lambda row: order.get(system(row), len(order)))


def measured(row: Row) -> str:
    """When, and of which code."""
    return f"{row['date'][:10]}, {commit(row)}"


def commit(row: Mapping[str, Any]) -> str:
    dirty = " with changes" if row["commit"].endswith("-dirty") else ""
    return row["commit"][:7] + dirty


def origin(rows: Sequence[Row]) -> str:
    """Hardware, versions, commits and dates of a table, in a sentence or two."""
    hardware = " and ".join(
        f"{name} ({each(row['hardware']['system'] for row in of)})" for name, of in machines(rows).items()
    )
    versions = each(_versions(row["versions"]) for row in rows if row.get("versions"))
    theirs = each(
        f"{name}: {_versions(of['versions'])}"
        for row in rows
        for name, of in row.get("against", {}).items()
        if of.get("versions") and of["versions"] != row.get("versions")
    )
    commits = each(commit(row) for row in rows)
    days = sorted(row["date"][:10] for row in rows)
    when = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    parts = [f"Measured on {hardware}, {when}", f"commit {commits}", f"with {versions}"]
    return "; ".join(parts) + (f"; {theirs}." if theirs else ".")


def _versions(of: Mapping[str, str]) -> str:
    return " ".join(f"{name} {version}" for name, version in of.items() if name != "jaxlib")


def each(words: Iterable[str]) -> str:
    """Each once, in their order."""
    return ", ".join(dict.fromkeys(words))


def _json(path: Path, key: str = "") -> Any:
    try:
        found = json.loads(path.read_text())
        return found[key] if key else found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} can't be read as results ({type(error).__name__}: {error}).") from None
