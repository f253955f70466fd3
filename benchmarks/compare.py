"""Did anything become slower between two runs of the throughput benchmark?

    python -m benchmarks.compare OLD.json NEW.json [--rows NAME ...]

Rows are paired by suite, name, batch and device; those that measure something else than steps (memory, time to
quality) are left out. The exit status is 1 where one became slower by more than the noise, 2 for a mistake (a file that
can't be read, rows that don't exist), else 0; a row that only one file has is reported and is no regression. So is
other hardware, another core count or another version of a library: a warning, since then the change may not be the
code's.

The noise that a row is allowed is what the two files measured, and at least 5%: the larger of their spreads, a spread
being (slowest - fastest) / median of the turns. Where there are four turns or more, the slowest is left out: what
disturbs a turn only ever slows it down, and one disturbed turn must not excuse a slower median. A row of a single turn
has no spread and gets 10%. A row whose noise is above 25% is told as `noisy` unless it is slower by more than that: it
may hide a regression, and should be measured again on a quiet machine.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from jaxgen.config import nearest
from jaxgen.errors import UserError

Row: TypeAlias = Mapping[str, Any]
Key: TypeAlias = tuple[str, str, int, str]

FLOOR = 0.05
"""Changes below this are never told from noise: placement in memory alone moves a median so far."""
SINGLE = 0.10
"""What a row of a single turn is allowed."""
NOISY = 0.25
"""Above this a row can't tell much."""


def main(argv: Sequence[str] | None = None) -> int:
    """0; 1 on a regression; 2 for a mistake."""
    summary, _, details = (__doc__ or "").partition("\n\n")
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks.compare", description=summary, epilog=details, formatter_class=raw)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--rows", nargs="+", default=[], metavar="NAME", help="these only")
    args = parser.parse_args(argv)
    try:
        old, new = (_chosen(_rows(path), args.rows, path) for path in (args.old, args.new))
        return report(old, new)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def report(old: Mapping[Key, Row], new: Mapping[Key, Row]) -> int:
    """Prints the table and the warnings; 1 where a row regressed. Raises `UserError` where no row is in both."""
    pairs = [(old[key], new[key]) for key in old if key in new]
    if not pairs:
        raise UserError("No row is in both files: suite, name, batch and device must agree.")
    print(f"{'row':40}{'batch':>6}{'old ms':>11}{'new ms':>11}{'change':>9}{'noise':>8}  verdict")
    regressions = 0
    for before, after in pairs:
        verdict = judge(before, after)
        regressions += verdict == "SLOWER"
        a, b = _median(before), _median(after)
        name = f"{after['suite']} {after['name']}"
        print(
            f"{name:40}{after['batch']:6}{a:11.4g}{b:11.4g}{change(before, after):+9.1%}{noise(before, after):8.1%}"
            f"  {verdict}"
        )
    for only, others, which in ((old, new, "old"), (new, old, "new")):
        for suite, name, batch, device in only.keys() - others.keys():
            print(f"only in the {which} file: {suite} {name}, batch {batch}, {device}")
    for warning in warnings(pairs):
        print(f"warning: {warning}")
    print(f"{regressions} of {len(pairs)} rows slower than their noise allows")
    return min(regressions, 1)


def judge(old: Row, new: Row) -> str:
    """`SLOWER`, `faster`, `same`, or `noisy` where the turns scatter too much to tell."""
    moved, allowed = change(old, new), noise(old, new)
    if abs(moved) > allowed:
        return "SLOWER" if moved > 0 else "faster"
    return "noisy" if allowed > NOISY else "same"


def change(old: Row, new: Row) -> float:
    """Of the median, relative to the old one: above 0 is slower."""
    return _median(new) / _median(old) - 1


def noise(old: Row, new: Row) -> float:
    """The relative change that the turns of the two rows can't rule out as chance."""
    return max(FLOOR, *(_spread(row["step_ms"]) for row in (old, new)))


def warnings(pairs: Sequence[tuple[Row, Row]]) -> list[str]:
    """What else than the code differs between the files, each once."""
    found = {}
    for old, new in pairs:
        for what in ("hardware", "versions"):
            a, b = old.get(what, {}), new.get(what, {})
            for name in sorted(a.keys() | b.keys()):
                if a.get(name) != b.get(name):
                    found[f"{what} differ: {name} {a.get(name)} -> {b.get(name)}"] = None
    return list(found)


def _spread(step_ms: Mapping[str, Any]) -> float:
    if step_ms["n"] < 2:
        return SINGLE
    turns = sorted(step_ms.get("turns", ()))
    if not turns:  # a file from before the turns were kept
        return step_ms["spread"]
    kept = turns[:-1] if len(turns) >= 4 else turns
    return (kept[-1] - kept[0]) / statistics.median(turns)


def _median(row: Row) -> float:
    return row["step_ms"]["median"]


def _rows(path: Path) -> dict[Key, Row]:
    """The rows of a file that `benchmarks.throughput --json` wrote."""
    try:
        rows = [row for row in json.loads(path.read_text())["rows"] if row.get("measures", "step") == "step"]
        out = {(r["suite"], r["name"], r["batch"], r["device"]): r for r in rows}
        sound = all(row["step_ms"]["median"] > 0 and row["step_ms"]["n"] > 0 for row in rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} can't be read as results of benchmarks.throughput: {type(error).__name__}: {error}"
        ) from None
    if not sound:
        raise UserError(f"{path} has a row without a time.")
    return out


def _chosen(rows: Mapping[Key, Row], names: Sequence[str], path: Path) -> dict[Key, Row]:
    known = {name for _, name, _, _ in rows}
    for name in names:
        if name not in known:
            raise UserError(f"{path} has no row {name!r}{nearest(name, known)}.")
    return {key: row for key, row in rows.items() if not names or key[1] in names}


if __name__ == "__main__":
    sys.exit(main())
