"""The page's part on the gates: what is asked, the ceiling, the impostors, ours over all seeds."""

import ast
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks import machine
from benchmarks.report import results
from benchmarks.report.results import Results, Verdict
from jaxgen import page
from jaxgen.page import Block, Section


def sections(found: Results) -> list[Section]:
    return [*gate_sections(found), Section("Configs as they stand", defaults(found))]


def gate_sections(found: Results) -> list[Section]:
    if not found.gates:
        return []
    said = (
        "A gate is met where jaxgen's model meets every part and every impostor (marginals, a few samples repeated, "
        "training items returned as they are, ...) misses at least one. Unfolded, a gate shows each part with the mean "
        "and standard deviation over its seeds, beside the ceiling of real data and the impostors."
    )
    head = ["gate", "seeds that pass", "parts that all seeds meet", "training, minutes", "hardware", "commit"]
    rows = [
        [title(name), passes(seeds), _met_by_all(seeds), _minutes(seeds), _hardware(seeds), _commits(seeds)]
        for name, seeds in ordered(found)
    ]
    return [
        Section("Quality", [page.paragraph(said), page.table(head, rows)]),
        Section("Gates one by one", [_gate(name, seeds) for name, seeds in ordered(found)]),
    ]


def defaults(found: Results) -> list[Block]:
    """What the configs give on the data that come with a package."""
    if not found.defaults:
        return []
    head = ["config", "steps", "batch", "training, minutes", "load before", "measured", "hardware", "versions"]
    rows = [
        [
            run["config"],
            run["steps"],
            run["batch"],
            f"{run['training_minutes']:.1f}",
            f"{run['load_average']:.1f}",
            results.measured(run),
            results.machine(run),
            _versions(run),
        ]
        for run in found.defaults
    ]
    said = (
        "Trained as they came, and measured on held-out data as `jaxgen evaluate` does: python -m benchmarks.defaults."
    )
    metrics = [page.folded(run["config"], page.facts(_metrics(run["metrics"]))) for run in found.defaults]
    return [page.paragraph(said), page.table(head, rows), *metrics]


def _metrics(found: Mapping[str, Any]) -> dict[str, str]:
    return {name: _number(value) for name, value in found.items() if isinstance(value, int | float | str)}


def title(name: str) -> str:
    """As its file's docstring calls it, before the first colon: which gate it is, or part of; then its name."""
    file = machine.ROOT / "benchmarks" / "gates" / f"{name}.py"
    said = ast.get_docstring(ast.parse(file.read_text())) if file.exists() else ""
    number = re.search(r"(?i)gate (\d+)", said or "")
    words = re.sub(r"\b(gan|vae|nlp|nlg)\b", lambda found: found[0].upper(), name.replace("_", " "))
    return f"{number[1]} {words}" if number else words


def ordered(found: Results) -> list[tuple[str, Sequence[Verdict]]]:
    """The gates and their seeds, by the gates' numbers."""

    def key(item: tuple[str, Sequence[Verdict]]) -> tuple[int, str]:
        number, _, words = title(item[0]).partition(" ")
        return (int(number), words) if number.isdigit() else (99, number)

    return sorted(found.gates.items(), key=key)


def passes(seeds: Sequence[Verdict]) -> str:
    return f"{sum(verdict['passed'] for verdict in seeds)} of {len(seeds)}"


def over_seeds(seeds: Sequence[Verdict], column: str) -> str:
    """Mean ± standard deviation, to as many digits as the deviation has two of; of one seed its number."""
    values = [verdict["ours"][column] for verdict in seeds if isinstance(verdict["ours"].get(column), int | float)]
    if not values:
        return "-"
    mean = statistics.fmean(values)
    if len(values) == 1 or not (deviation := statistics.stdev(values)):
        return f"{mean:.4g}"
    digits = max(0, 1 - int(f"{deviation:e}".split("e")[1]))
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def met(verdict: Verdict, column: str) -> bool:
    """Whether a seed's model meets all that is asked of the column. What was missed is written by name: an infinite
    bound, which nothing meets, is not in the file."""
    return not any(part["name"] in verdict["missed"] for part in verdict["parts"] if part["column"] == column)


def _met_by_all(seeds: Sequence[Verdict]) -> str:
    columns = parts(seeds)
    return f"{sum(all(met(v, column) for v in seeds) for column in columns)} of {len(columns)}"


def parts(seeds: Sequence[Verdict]) -> list[str]:
    """The columns that are judged, in their order."""
    return list(dict.fromkeys(part["column"] for verdict in seeds for part in verdict["parts"]))


def asked(seeds: Sequence[Verdict], column: str) -> str:
    """The part's words, and the bound as a number where they only say of what it is a share."""
    found = [part for verdict in seeds for part in verdict["parts"] if part["column"] == column]
    name, bounds = found[0]["name"].removeprefix(f"{seeds[0]['gate']}: "), _bounds(found)
    return f"{name} ({bounds})" if bounds and not _says(name, found[0]) else name


def _says(name: str, part: Mapping[str, Any]) -> bool:
    """Whether the words have the bound as a number."""
    numbers = [float(n) / (100 if share else 1) for n, share in re.findall(r"[<>]= (-?[\d.]+)(%?)", name)]
    return any(abs(number - part.get(side, float("inf"))) < 1e-9 for number in numbers for side in ("low", "high"))


def _bounds(found: Sequence[Mapping[str, Any]]) -> str:
    said = []
    for side, sign in (("low", ">="), ("high", "<=")):
        values = [part[side] for part in found if side in part]
        if values and abs(max(values)) > 1e-300:  # the smallest number above 0: a tie beats nothing
            low, high = (f"{value:.3g}" for value in (min(values), max(values)))
            said.append(f"{sign} {low}" + (f" to {high}" if high != low else ""))
    return ", ".join(said)


def _gate(name: str, seeds: Sequence[Verdict]) -> Block:
    first = seeds[0]
    others = {**first["others"], **{f"impostor: {kind}": row for kind, row in first["impostors"].items()}}
    rows = [
        [
            asked(seeds, column),
            over_seeds(seeds, column),
            f"{sum(met(verdict, column) for verdict in seeds)} of {len(seeds)}",
            *(_number(row.get(column)) for row in others.values()),
        ]
        for column in parts(seeds)
    ]
    head = ["asked", "jaxgen", "seeds that meet it", *others]
    blocks = [page.table(head, rows, f"Ceiling, other rows and impostors of seed {first['seed']}.")]
    for doubted in first.get("impossible", ()):
        ours, real = _number(first["ours"].get(doubted["column"])), _number(doubted.get("real"))
        said = f"Not judged, since real data miss it: {doubted['name']} (jaxgen {ours}, real data {real})."
        blocks.append(page.paragraph(said))
    return page.folded(f"{title(name)}: {passes(seeds)} seeds pass", *blocks, page.facts(_facts(seeds)))


def _facts(seeds: Sequence[Verdict]) -> dict[str, str]:
    first = seeds[0]
    told = {
        "how to judge it again": f"python -m benchmarks.quality {first['gate']} --seed {first['seed']}",
        "seeds": ", ".join(str(verdict["seed"]) for verdict in seeds),
        "real data": first.get("real", ""),
        "features": results.each(
            f"{v['extractor']} {v['extractor_hash'][:12]}, held-out accuracy {v['extractor_accuracy']:.3f}"
            for v in seeds
            if "extractor" in v and "extractor_accuracy" in v
        ),
        "steps": _plain(first.get("steps")),
        "training, minutes": _minutes(seeds),
        "hardware": _hardware(seeds),
        "versions": results.each(_versions(v) for v in seeds),
        "commit": _commits(seeds),
        "date": results.each(verdict["date"][:10] for verdict in seeds),
    }
    return {name: value for name, value in told.items() if value}


def _versions(verdict: Verdict) -> str:
    of = verdict.get("versions")
    return " ".join(f"{k} {v}" for k, v in of.items()) if of else "not recorded by that commit; see its pyproject.toml"


def _minutes(seeds: Sequence[Verdict]) -> str:
    """Of all that was trained for a seed: the smallest and the largest."""
    found = [sum(_numbers(v, re.compile(r"(training_)?minutes$|_minutes$"))) for v in seeds]
    found = [minutes for minutes in found if minutes]
    if not found:
        return ""
    low, high = f"{min(found):.0f}", f"{max(found):.0f}"
    return low if low == high else f"{low} to {high}"


def _numbers(tree: Any, name: re.Pattern[str]) -> Iterable[float]:
    """The numbers below keys of that name."""
    if not isinstance(tree, Mapping):
        return
    for key, value in tree.items():
        if name.search(key):
            yield from value.values() if isinstance(value, Mapping) else [value]
        elif key not in ("ours", "others", "impostors", "checkpoints"):
            yield from _numbers(value, name)


def _hardware(seeds: Sequence[Verdict]) -> str:
    return results.each(results.machine(verdict) for verdict in seeds)


def _commits(seeds: Sequence[Verdict]) -> str:
    return results.each(results.commit(verdict) for verdict in seeds)


def _plain(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value or "")


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)
