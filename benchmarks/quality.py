"""Does a system reach its gate?

    python -m benchmarks.quality digits_gan --seed 1 --json benchmarks/results/quality/digits_gan-seed1.json

Trains the gate's run for one seed, or goes on with it, then prints one table: the ceiling, the impostors, our model.
Exits 0 only if our model meets every part and each impostor misses one; 1 otherwise; 2 where the benchmark data are
missing or the command line is wrong. Results of other seeds under `benchmarks/results/quality` are read for the mean
and the spread, never made anew.
"""

import argparse
import dataclasses
import importlib
import json
import pkgutil
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import gates, machine
from benchmarks.gates import Part, Row, Verdict
from jaxgen.config import nearest
from jaxgen.errors import UserError

RESULTS = machine.ROOT / "benchmarks" / "results" / "quality"
SHARED = machine.ROOT.parent / "shared" / "data"


def main(argv: Sequence[str] | None = None) -> int:
    args = _arguments(argv)
    try:
        known = [m.name for m in pkgutil.iter_modules(gates.__path__)]
        if args.name not in known:
            raise UserError(f"There is no gate {args.name!r}{nearest(args.name, known)}.")
        gate = importlib.import_module(f"benchmarks.gates.{args.name}")
        data = None
        if gate.DATA is None and args.data:
            raise UserError(f"The data of {args.name} come with a package; leave out --data.")
        if gate.DATA is not None:
            data = Path(args.data) if args.data else SHARED / gate.DATA
        if data and not data.is_dir():
            raise UserError(f"The gate's data are not at {data}. Give their folder with --data DIR.")
        load = machine.load_average()
        workdir = Path(args.workdir or machine.ROOT / "runs" / "quality" / f"{args.name}-seed{args.seed}")
        verdict = gate.measure(args.seed, data, workdir)
    except UserError as error:
        print(f"benchmarks.quality: {error}", file=sys.stderr)
        return 2
    passed = not verdict.missed and not verdict.passing_impostors
    print(table(verdict))
    print(judgement(verdict))
    others = earlier_seeds(args.name, args.seed)
    if others:
        print(spread([*others, dict(verdict.ours)], verdict))
    if args.json:
        path = Path(args.json)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_record(args, verdict, passed, load), indent=2) + "\n")
    return 0 if passed else 1


def table(verdict: Verdict) -> str:
    """A row for each set of samples, a column for each number that is judged or that any row has."""
    rows = {**verdict.others, **verdict.impostors, "ours": verdict.ours}
    judged = list(dict.fromkeys(part.column for part in verdict.judged))
    numbers = dict.fromkeys(n for row in rows.values() for n, v in row.items() if isinstance(v, int | float))
    columns = [*judged, *(name for name in numbers if name not in judged)]
    lines = [["", *columns], *([name, *(_shown(row.get(c)) for c in columns)] for name, row in rows.items())]
    wide = [max(len(line[i]) for line in lines) for i in range(len(columns) + 1)]
    return "\n".join(
        "  ".join([line[0].ljust(wide[0]), *(c.rjust(w) for c, w in zip(line[1:], wide[1:], strict=True))])
        for line in lines
    )


def judgement(verdict: Verdict) -> str:
    lines = [
        f"{'met   ' if part.met(verdict.ours) else 'MISSED'}  {part.name}  ({_shown(verdict.ours.get(part.column))})"
        for part in verdict.judged
    ]
    for part, real in verdict.impossible:
        ours, there = _shown(verdict.ours.get(part.column)), _shown(real.get(part.column))
        lines.append(
            f"not judged, as real data miss it: {part.name}  (ours {ours}, real {there}, asked {_asked(part)})"
        )
    for name, row in verdict.impostors.items():
        missed = [part.name for part in verdict.judged if not part.met(row)]
        lines.append(f"impostor {name}: " + (f"fails ({'; '.join(missed)})" if missed else "PASSES: the gate is void"))
    return "\n".join(lines)


def earlier_seeds(name: str, seed: int) -> list[dict[str, Any]]:
    """`ours` of the committed results of other seeds."""
    found = [json.loads(path.read_text()) for path in sorted(RESULTS.glob(f"{name}-seed*.json"))]
    return [result["ours"] for result in found if result["seed"] != seed]


def spread(rows: Sequence[Row], verdict: Verdict) -> str:
    lines = [f"over {len(rows)} seeds:"]
    for column in dict.fromkeys(part.column for part in verdict.judged):
        values = np.array([row.get(column, np.nan) for row in rows], np.float64)  # nan: there was nothing to measure
        lines.append(f"  {column}  mean {values.mean():.4f}  standard deviation {values.std(ddof=1):.4f}")
    return "\n".join(lines)


def _record(args: argparse.Namespace, verdict: Verdict, passed: bool, load: float) -> Mapping[str, Any]:
    return {
        "gate": args.name,
        "seed": args.seed,
        "passed": passed,
        "missed": verdict.missed,
        "parts": [_finite(part) for part in verdict.judged],
        "impossible": [{**_finite(part), "real": real.get(part.column)} for part, real in verdict.impossible],
        "ours": verdict.ours,
        "impostors": verdict.impostors,
        "others": verdict.others,
        **verdict.facts,
        "commit": machine.commit(),
        "hardware": machine.hardware(),
        "versions": machine.versions(),
        "load_average": load,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _finite(part: Part) -> dict[str, Any]:
    return {k: v for k, v in dataclasses.asdict(part).items() if v not in (float("inf"), float("-inf"))}


def _asked(part: Part) -> str:
    bounds = {">=": part.low, "<=": part.high}
    return " and ".join(f"{sign} {bound:.4g}" for sign, bound in bounds.items() if np.isfinite(bound))


def _shown(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description="Does a system reach its gate?")
    parser.add_argument("name", help="a gate: a file of benchmarks/gates")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="PATH", help="write the result to a file, too")
    parser.add_argument(
        "--data", metavar="DIR", help="the benchmark's data; default: ../shared/data beside the checkout"
    )
    parser.add_argument("--workdir", metavar="DIR", help="where the run lies; default: runs/quality/NAME-seedS")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
