"""Turns the JSON files under `benchmarks/results` into one page that opens from disk, and a Markdown table.

    python -m benchmarks.report --out page.html      # and page.md beside it
    python -m benchmarks.report --readme             # the tables and the plot of README.md, anew

Nothing in either is typed by hand: what is shown was measured by `benchmarks.throughput --json` or `benchmarks.quality
--json`, and stands beside its hardware, versions and commit.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.peers import PEERS
from benchmarks.report import costs, gallery, markdown, quality, results, speed
from benchmarks.report.results import Results
from jaxgen import files, page
from jaxgen.errors import UserError
from jaxgen.page import Section

RESULTS = machine.ROOT / "benchmarks" / "results"
README = machine.ROOT / "README.md"
PLOT = RESULTS / "throughput.svg"
"""What README.md shows."""
NEW = "benchmarks/results/throughput-new.json"


def main(argv: Sequence[str] | None = None) -> int:
    """0; 2 for a mistake on the command line or in the results."""
    args = _arguments(argv)
    try:
        if args.out and args.out.suffix != ".html":
            raise UserError(f"--out {args.out} must end in .html.")
        found = results.read(args.results)
        if args.out:
            for path, text in ((args.out, html(found)), (args.out.with_suffix(".md"), markdown.whole(found))):
                print(files.write(path, text.encode()))
        if args.readme:
            text = markdown.filled(README.read_text(), markdown.tables(found))
            print(files.write(README, text.encode()))
            print(files.write(PLOT, speed.ratio_chart(found.of(*speed.STEPS)).encode()))
    except UserError as error:
        print(f"benchmarks.report: {error}", file=sys.stderr)
        return 2
    return 0


def html(found: Results) -> str:
    lead = (
        "Thirteen generative systems in JAX: how fast they train next to other libraries, what they need, how good "
        f"they get. Made by python -m benchmarks.report at commit {machine.commit()[:7]} from the files in "
        "benchmarks/results; each table says where its figures are from."
    )
    sections = [
        *speed.sections(found),
        *costs.sections(found),
        *quality.sections(found),
        *gallery.sections(found.folder),
        Section("From nothing to this page", [page.code("\n".join(commands(found)))]),
    ]
    return page.render("jaxgen: benchmarks", lead, sections)


def commands(found: Results) -> list[str]:
    """What measures all of this again, in a checkout, on machines that nothing else uses."""
    words = ['python -m pip install -e ".[test,speech]"']
    for name, rows in results.machines(found.rows).items():
        asked = " ".join(dict.fromkeys(row["suite"] for row in rows))
        peers = ",".join(dict.fromkeys(peer for row in rows for peer in row["against"] if peer in PEERS))
        beside = f" --peers {peers}" if peers else ""
        words += [f"# on {name}", f"python -m benchmarks.throughput --suite {asked}{beside} --json {NEW}"]
    for name, seeds in quality.ordered(found):
        for seed in (verdict["seed"] for verdict in seeds):
            path = f"benchmarks/results/quality/{name}-seed{seed}.json"
            words.append(f"python -m benchmarks.quality {name} --seed {seed} --json {path}")
    for name in (run["config"] for run in found.defaults):
        words.append(f"python -m benchmarks.defaults {name} --json benchmarks/results/defaults/{name}.json")
    return [*words, "python -m benchmarks.report --readme --out page.html"]


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    summary, _, details = (__doc__ or "").partition("\n\n")
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks.report", description=summary, epilog=details, formatter_class=raw)
    parser.add_argument("--out", type=Path, metavar="PATH", help="the page, .html; its table goes beside it, .md")
    parser.add_argument("--readme", action="store_true", help="write the tables and the plot of README.md anew")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="default: benchmarks/results")
    args = parser.parse_args(argv)
    if not args.out and not args.readme:
        parser.error("say --out PATH, or --readme")
    return args


if __name__ == "__main__":
    sys.exit(main())
