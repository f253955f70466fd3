"""What does a config give as it stands, on the data that it names?

    python -m benchmarks.defaults digits_gan [--json benchmarks/results/defaults/digits_gan.json]

Trains a config that came with jaxgen, or goes on with it, measures it as `jaxgen evaluate` does, and writes both down
with where it ran. Nothing is judged: that is `benchmarks.quality`'s. The headers of the configs and the page of
`benchmarks.report` say what these files say.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import gates, machine
from jaxgen.assemble import config_named
from jaxgen.errors import UserError
from jaxgen.evaluate import evaluate


def main(argv: Sequence[str] | None = None) -> int:
    """0; 2 for a mistake on the command line, or where the run was stopped."""
    parser = argparse.ArgumentParser("benchmarks.defaults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", help="a config that came with jaxgen")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the result to a file, too")
    parser.add_argument("--workdir", type=Path, metavar="DIR", help="where the run lies; default: runs/defaults/NAME")
    args = parser.parse_args(argv)
    load = machine.load_average()
    workdir = args.workdir or machine.ROOT / "runs" / "defaults" / args.name
    try:
        name, config = config_named(args.name)
        config = dataclasses.replace(config, seed=args.seed)
        steps, minutes = gates.trained(config, workdir)
        metrics = evaluate(workdir)
    except UserError as error:
        print(f"benchmarks.defaults: {error}", file=sys.stderr)
        return 2
    result = {
        "config": name,
        "seed": args.seed,
        "steps": steps[-1],
        "batch": config.batch,
        "training_minutes": minutes,
        "metrics": metrics,
        "hardware": machine.hardware(),
        "versions": machine.versions(),
        "commit": machine.commit(),
        "load_average": load,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    text = json.dumps(result, indent=2) + "\n"
    print(text)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
