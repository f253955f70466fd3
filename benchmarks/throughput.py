"""How fast a training step is, and how fast next to PyTorch.

    python -m benchmarks.throughput                                     # suite `step`, jaxgen alone
    python -m benchmarks.throughput --peers torch --json results.json   # in turns with PyTorch
    python -m benchmarks.throughput --suite dispatch layers             # one question each: benchmarks/suites/
    python -m benchmarks.throughput --peers torch --check               # the same losses from the same weights?

Each side is a process that keeps its step warm and sleeps while the other runs: ours, theirs, ours, theirs, on the same
machine within a second or two, and the ratio of each pair; `ratio_to_best_torch` is the median of theirs / ours (above
1: ours is faster). The best PyTorch variant is the fastest of eager, channels_last and
torch.compile (on a card also with CUDA graphs), found on the same machine just before. Times are of the whole step
(noise, dropout masks, both updates, moving average) on one batch that is already in place. Run it on a machine where
nothing else runs.

A row of the JSON: `suite`, `name`, `batch`, `items` (what the batch counts), `examples_per_s` and
`examples_per_s_per_device`, `step_ms` (over turns of about 2 s: `median`, `min`, `spread` = (max - min) / median, `n`,
`turns`), `compile_s`, `peak_memory_bytes` (`peak_memory_source`: "device" where the backend tells, else "process": the
largest resident size, with all that Python and the compiler took), `flops_per_step` and `fraction_of_matmul_peak` (null
where they are not known; `benchmarks/ours/cost.py` says how they are counted), `state_bytes` (what a step reads and
writes at least), `idle_cpu` (share of a core burnt while waiting), `against` (for each opponent the same, the best
`variant`, every variant's ms, the `ratios` of the pairs), `ratio_to_best_torch` or `ratio_to_<rival>`, `device`,
`versions`, `hardware`, `peak` (`matmul_flops_per_s` by precision and `copy_bytes_per_s`, measured before the rows),
`commit`, `load_average` (before the run), `date`. Suites that ask something else (`memory`, `time_to_quality`) have
rows of their own, with `measures`, which their modules describe. `python -m benchmarks.report` shows all of them.
"""

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine, measure, suites
from benchmarks.peers import PEERS, Peer
from benchmarks.protocol import Incomparable
from benchmarks.suites import Case
from benchmarks.table import notes, table_line
from benchmarks.worker import Command, Job, Worker
from jaxgen.config import nearest
from jaxgen.errors import UserError

TOLERANCE = 1e-4
"""The largest difference that the check allows between two losses, relative to the loss where that is above 1."""
CHECK_STEPS = 4


@dataclass(frozen=True)
class Plan:
    """How to measure, and where."""

    pairs: int = 5
    seconds: float = 2.0  # of one turn
    rivals: bool = True
    device: str = "cpu"  # our workers' own name for it


def main(argv: Sequence[str] | None = None) -> int:
    """0; 1 where the check finds a difference; 2 for a mistake on the command line."""
    args = _arguments(argv)
    try:
        peers = _peers(args.peers, args.peer_python)
        cases = [(suite, case) for suite in args.suite for case in suites.load(suite)]
        if args.only:
            cases = [(s, c) for s, c in cases if c.name in args.only]
        if not cases:
            raise UserError(f"No case is named {' or '.join(args.only)} in {', '.join(args.suite)}.")
        if args.check:
            return _check(cases, peers)
        _time(cases, peers, Plan(args.pairs, args.seconds, not args.no_rivals), args.json)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    summary, _, details = (__doc__ or "").partition("\n\n")
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks.throughput", description=summary, epilog=details, formatter_class=raw)
    parser.add_argument("--suite", nargs="+", default=["step"], help=f"of {', '.join(suites.names())}")
    parser.add_argument("--peers", type=lambda s: s.split(","), default=[], help=f"of {', '.join(PEERS)}, by commas")
    parser.add_argument("--peer-python", nargs="+", default=[], metavar="PEER=PYTHON", help="where a peer is installed")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these rows only")
    parser.add_argument("--pairs", type=int, default=Plan.pairs, help="pairs of turns, at least one (default 5)")
    parser.add_argument("--seconds", type=float, default=Plan.seconds, help="of one turn (default 2)")
    parser.add_argument("--no-rivals", action="store_true", help="not against other forms of our own")
    parser.add_argument("--json", type=Path, metavar="PATH", help="where to write the rows")
    parser.add_argument("--check", action="store_true", help="compare losses with the peers' instead of timing")
    args = parser.parse_args(argv)
    if args.pairs < 1 or args.seconds <= 0:
        parser.error("--pairs must be at least 1 and --seconds above 0")
    return args


def _peers(names: Sequence[str], installed: Sequence[str]) -> list[Peer]:
    """The peers of those names; `installed` has "name=python" for those that need no environment of ours."""
    pythons: dict[str, str] = {}
    for given in installed:
        name, _, python = given.partition("=")
        pythons[name] = python
    for name in (*names, *pythons):
        if name not in PEERS:
            raise UserError(f"There is no peer {name!r}{nearest(name, PEERS)}.")
    for name, python in pythons.items():
        if not shutil.which(python):
            raise UserError(f"--peer-python {name}={python}: there is no such program.")
    return [replace(PEERS[name], python=pythons.get(name, "")) for name in names]


def _time(cases: Sequence[tuple[str, Case]], peers: Sequence[Peer], plan: Plan, path: Path | None) -> None:
    """Measure, print and write. The file is written after each row, so that a broken run keeps what it has."""
    load = machine.load_average()
    if load > machine.QUIET_LOAD:
        print(f"warning: load average {load:.2f}: something else is running here; do not trust the figures.")
    device, peak = measure_peak(sys.executable)
    plan = replace(plan, device=device)
    where = {"hardware": machine.hardware(), "peak": peak, "commit": machine.commit(), "load_average": load}
    print(f"{where['hardware']['cpu']}, {where['hardware']['cores']} cores, {device}, commit {where['commit'][:12]}")
    rates = {name: rate / 1e9 for name, rate in peak["matmul_flops_per_s"].items()}
    print(f"matrix products: {rates['fp32']:.0f} GFLOP/s in fp32, {rates['bf16']:.0f} in bf16; ", end="")
    print(f"copy: {peak['copy_bytes_per_s'] / 1e9:.0f} GB/s")
    rows, shown = [], None
    for suite, case in cases:
        date = datetime.now(UTC).isoformat(timespec="seconds")
        own = suites.own_question(suite)
        line = own.line if own else table_line
        if line is not shown:
            print(line(None))
            shown = line
        found = own.measure(case, peers, plan.device) if own else compare(case, peers, plan, peak)
        row = {"suite": suite} | found | where | {"date": date}
        rows.append(row)
        print(line(row), flush=True)
        for note in notes(row):
            print(f"    {note}", flush=True)
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


def _yardstick(python: str) -> Worker:
    return Worker(suites.ours(python), Case("peak", None, "peak").job())


def measure_peak(python: str) -> tuple[str, dict[str, Any]]:
    """Our own worker's device, and its `matmul_flops_per_s` by precision and `copy_bytes_per_s`."""
    with _yardstick(python) as worker:
        costs = worker.costs()
    return worker.facts["device"], {name: costs[name] for name in ("matmul_flops_per_s", "copy_bytes_per_s")}


def compare(
    case: Case, peers: Sequence[Peer], plan: Plan, peak: Mapping[str, Any], python: str = sys.executable
) -> dict[str, Any]:
    """Measure one case, in turns with its rivals and the peers: a row, less what is the same for the whole run."""
    plan = replace(plan, pairs=case.pairs or plan.pairs)
    ours_command = suites.ours(python)
    turns: list[float] = []
    against: dict[str, Any] = {}
    opponents: dict[str, Opponent] = {}
    for name, changes in case.rivals.items() if plan.rivals else ():
        opponents[name] = {name: (ours_command, replace(case, **changes).job())}
    for peer in peers:
        if names := _variants(peer, case, plan.device):
            command = peer.command()
            opponents[peer.name] = {v: (command, case.job() | {"variant": v}) for v in names}
    with contextlib.ExitStack() as stack:
        # On a card all start at once, since the host has cores to spare; on CPU each would slow the others.
        together = plan.device != "cpu"
        pool = stack.enter_context(ThreadPoolExecutor(16 if together else 1))
        early = {name: _start(opponent, pool, stack) for name, opponent in opponents.items() if together}
        ours = stack.enter_context(Worker(ours_command, case.job()))
        for name, opponent in opponents.items():
            starting = early.get(name) or _start(opponent, pool, stack)
            turns += _duel(ours, name, starting, plan, against)
        if not turns:
            steps = measure.turn_steps(ours, plan.seconds)
            turns = [ours.turn(steps) for _ in range(plan.pairs)]
        step = measure.summary(turns)
        row = {
            "name": case.name,
            "batch": case.batch,
            "items": "examples",
            "examples_per_s": 1e3 * case.batch / step["median"],
            "step_ms": step,
            "compile_s": ours.compile_s,
            "idle_cpu": ours.idle_cpu,
            "against": against,
            **ours.facts,
            **ours.costs(),
        }
    row["examples_per_s_per_device"] = row["examples_per_s"] / row.get("devices", 1)
    flops, precision = row["flops_per_step"], case.config.precision if case.config else "fp32"
    rate = 1e3 * flops / step["median"] if flops else None
    row["fraction_of_matmul_peak"] = rate / peak["matmul_flops_per_s"][precision] if rate else None
    return row | {theirs["key"]: theirs["ratio"] for theirs in against.values()}


Opponent = Mapping[str, tuple[Command, Job]]
"""How to start each variant."""


def _start(opponent: Opponent, pool: Executor, stack: contextlib.ExitStack) -> dict[str, "Future[Worker]"]:
    """Every variant, as the pool has room; `stack` closes what is left of them."""

    def closed(future: "Future[Worker]") -> None:
        if not future.exception():
            future.result().close()

    starting = {variant: pool.submit(Worker, *given) for variant, given in opponent.items()}
    for future in starting.values():
        stack.callback(closed, future)
    return starting


def _variants(peer: Peer, case: Case, device: str) -> tuple[str, ...]:
    return peer.variants(case, device) if case.peers is None or peer.name in case.peers else ()


def _duel(
    ours: Worker, name: str, starting: Mapping[str, "Future[Worker]"], plan: Plan, against: dict[str, Any]
) -> list[float]:
    """Our turns against the fastest variant of those that are starting; theirs go into `against[name]`.

    A variant that does not start is reported there, and is fatal only where none does.
    """
    with contextlib.ExitStack() as stack:
        workers, failed, times = {}, {}, {}
        for variant, start in starting.items():
            try:
                workers[variant] = stack.enter_context(start.result())
            except RuntimeError as error:
                failed[variant] = str(error)
        if not workers:
            raise RuntimeError("\n".join(failed.values()))
        best = next(iter(workers))
        if len(starting) > 1:
            best, times = measure.fastest(workers, plan.seconds)
        for variant in workers.keys() - {best}:
            workers[variant].close()
        theirs = workers[best]
        a, b = measure.alternate(ours, theirs, plan.pairs, plan.seconds)
        against[name] = {
            "key": f"ratio_to_best_{name}" if len(starting) > 1 else f"ratio_to_{name}",
            "ratio": measure.ratio(a, b),
            "ratios": [other / mine for mine, other in zip(a, b, strict=True)],
            "step_ms": measure.summary(b),
            "compile_s": theirs.compile_s,
            "idle_cpu": theirs.idle_cpu,
            "variant": best,
            "variants": times,
            "failed": failed,
            **theirs.facts,
            **theirs.costs(),
        }
    return a


def _check(cases: Sequence[tuple[str, Case]], peers: Sequence[Peer]) -> int:
    """Losses of a few SGD steps, dropout off, from our weights, batch and noise; 1 where a peer's differ."""
    if not peers:
        raise UserError("--check compares with a peer: add --peers torch.")
    with _yardstick(sys.executable) as worker:
        device = worker.facts["device"]
    failures = checked = 0
    for suite, case in cases:
        if suites.own_question(suite):  # of systems that other suites have
            continue
        case = suites.deterministic(case)
        variants = [(peer, variant) for peer in peers for variant in _variants(peer, case, device)]
        if not variants:
            continue
        with tempfile.TemporaryDirectory() as folder, Worker(suites.ours(sys.executable), case.job(check=True)) as ours:
            path = str(Path(folder) / "given.npz")
            mine = ours.losses(CHECK_STEPS, path)
            for peer, variant in variants:
                who = f"{case.name:28}{peer.name} {variant:16}"
                try:
                    with Worker(peer.command(), case.job(check=True) | {"variant": variant}) as worker:
                        theirs = worker.losses(CHECK_STEPS, path)
                except Incomparable as why:
                    print(f"{who}no check: {why}")
                    continue
                worst = measure.loss_difference(mine, theirs)
                moved = measure.loss_difference(mine[:1] * len(mine), mine)
                verdict = measure.verdict(worst, moved, TOLERANCE)
                failures += verdict != "same"
                checked += 1
                print(f"{who}{verdict:10} worst {worst:.1e}, moved {moved:.1e}")
    if not checked:
        raise UserError(f"{' and '.join(peer.name for peer in peers)} has none of these rows: nothing was checked.")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
