"""Peak memory against batch, and the largest batch that fits a limit: ours, and each peer's.

Each batch is tried in a process of its own, which builds the case, warms up and takes two steps. Option `batches` is
the ladder that is tried first; from its end, or the last that fits, the batch doubles until it does not, and is then
bisected until the gap is at most an eighth of what fits. A batch that a line through the two largest so far expects to
need more than three times the limit is not tried.

On CPU the limit is option `limit_bytes`, of what a process has beyond its imports: measured, not enforced. On a card it
is the card's memory, and fits is what runs. A worker that is killed, or says that memory ran out, did not fit; any
other failure is raised.

Beyond `name`, `measures`, `batch` (the largest that fits; 0: none of the ladder's), `limit_bytes` (null where
a card does not tell), `device` and `versions` a row has `against`, by peer, and for ours and each peer:

    variant             ours "jit"; a peer's: channels_last where it has that, else its first
    largest_batch       that fits
    curve               of every batch that gave an answer: `batch`, `step_s`, and `peak_bytes`, `base_bytes`,
                        `before_bytes`, `source` as `benchmarks.protocol` says
    refused             batches that ran out of memory, or were expected to need too much
    bytes_per_example   what each example adds, between the curve's ends: without the process's fixed share, of which
                        what compiling left is a large part (`before_bytes`); null where the curve is one point

`ratio_to_<peer>` is theirs / ours of the peak beyond base at the largest batch that both curves have (above 1: ours
takes less); null where there is none.
"""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks import suites
from benchmarks.peers import Peer
from benchmarks.suites import Case
from benchmarks.worker import Command, OutOfMemory, Worker

STEPS = 2
BEYOND = 3
"""A batch that is expected to need more than so many times the limit is not tried."""
FINE = 8
"""The largest batch is found to one part in so many of it."""
WHOLE_CARD = {"XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95"}
"""JAX takes three quarters of a card unless told otherwise, PyTorch all of it."""

Point = dict[str, Any]
"""What a try answered: an entry of `curve`."""
Try = Callable[[int], Point | None]
"""A batch -> its point; None where memory ran out."""


def measure(case: Case, peers: Sequence[Peer], device: str) -> dict[str, Any]:
    """One case: a row, less what is the same for the whole run."""
    on_card = device != "cpu"
    limit = card_bytes() if on_card else case.options["limit_bytes"]
    command = suites.ours(sys.executable)
    command = Command(command.argv, dict(command.env) | WHOLE_CARD)
    mine = _side(case, command, "jit", limit, on_card)
    against = {}
    for peer in peers:
        variants = peer.variants(case, device) if case.peers is None or peer.name in case.peers else ()
        if variants:
            variant = "channels_last" if "channels_last" in variants else variants[0]
            against[peer.name] = _side(case, peer.command(), variant, limit, on_card)
    row = {"name": case.name, "measures": "memory", "batch": mine["largest_batch"], "limit_bytes": limit}
    ratios = {f"ratio_to_{name}": ratio(mine["curve"], theirs["curve"]) for name, theirs in against.items()}
    return row | mine | {"against": against} | ratios


def line(row: Mapping[str, Any] | None) -> str:
    """One line of the table; its head where there is no row."""
    if row is None:
        return (
            f"{'memory':20}{'limit MB':>9}{'fits':>8}{'kB/example':>12}   MB beyond base at batch"
            "   ratio (above 1: ours takes less)"
        )
    limit = f"{row['limit_bytes'] / 1e6:9.0f}" if row["limit_bytes"] else f"{'-':>9}"
    ratios = []
    for name, theirs in row["against"].items():
        found = row[f"ratio_to_{name}"]
        ratios.append(
            ("-" if found is None else f"{found:.2f}")
            + f" to {name} {theirs['variant']} (fits {theirs['largest_batch']}, {_kilobytes(theirs)} kB/example)"
        )
    curve = ", ".join(f"{p['batch']}: {_beyond(p) / 1e6:.0f}" for p in row["curve"])
    return (
        f"{row['name']:20}{limit}{row['largest_batch']:8}{_kilobytes(row):>12}   {curve}   {', '.join(ratios)}".rstrip()
    )


def ratio(mine: Sequence[Point], theirs: Sequence[Point]) -> float | None:
    """Theirs / ours of the peak beyond base at the largest batch that both have."""
    ours, others = ({point["batch"]: _beyond(point) for point in curve} for curve in (mine, theirs))
    common = ours.keys() & others.keys()
    return others[max(common)] / ours[max(common)] if common else None


@dataclass
class Search:
    """The largest batch that fits, and all that was found out on the way.

    `limit` in bytes beyond base; None where nobody tells it: then what runs fits.
    """

    attempt: Try
    limit: int | None
    enforced: bool = False
    """By the card itself: its allocator's peak, which leaves gaps out, is not compared."""

    def __post_init__(self) -> None:
        self.curve: dict[int, Point] = {}
        self.refused: list[int] = []

    def largest(self, ladder: Sequence[int]) -> int:
        """0 where not even the ladder's first batch fits."""
        low, high = 0, 0
        for batch in ladder:
            if not self.fits(batch):
                high = batch
                break
            low = batch
        if not low:
            return 0
        while not high:
            if self.fits(2 * low):
                low *= 2
            else:
                high = 2 * low
        while FINE * (high - low) > low and high - low > 1:
            middle = (low + high) // 2
            if self.fits(middle):
                low = middle
            else:
                high = middle
        return low

    def fits(self, batch: int) -> bool:
        point = self.attempt(batch) if self.worth_a_try(batch) else None
        if point is None:
            self.refused.append(batch)
            return False
        self.curve[batch] = point
        return self.enforced or self.limit is None or _beyond(point) <= self.limit

    def worth_a_try(self, batch: int) -> bool:
        """As the line through the two largest batches so far expects; before there are two, yes."""
        known = sorted(self.curve)
        if self.limit is None or len(known) < 2:
            return True
        (x, a), (y, b) = ((n, _beyond(self.curve[n])) for n in known[-2:])
        return b + (batch - y) * max(0.0, (b - a) / (y - x)) <= BEYOND * self.limit


def _side(case: Case, command: Command, variant: str, limit: int | None, on_card: bool) -> dict[str, Any]:
    """What a row has of ours or of a peer."""
    facts: dict[str, Any] = {}

    def attempt(batch: int) -> Point | None:
        assert case.config
        sized = replace(case, config=replace(case.config, batch=batch))
        try:
            with Worker(command, sized.job() | {"variant": variant}) as worker:
                steps = worker.unit * -(-STEPS // worker.unit)
                facts.update(worker.facts)
                return {"batch": batch, "step_s": worker.step_s} | worker.memory(steps)
        except OutOfMemory:
            return None

    search = Search(attempt, limit, enforced=on_card)
    largest = search.largest(case.options["batches"])
    curve = [search.curve[n] for n in sorted(search.curve)]
    return {
        "variant": variant,
        "largest_batch": largest,
        "curve": curve,
        "refused": sorted(search.refused),
        "bytes_per_example": _slope(curve),
        **facts,
    }


def _slope(curve: Sequence[Point]) -> float | None:
    if len(curve) < 2:
        return None
    return (_beyond(curve[-1]) - _beyond(curve[0])) / (curve[-1]["batch"] - curve[0]["batch"])


def _beyond(point: Point) -> int:
    return point["peak_bytes"] - point["base_bytes"]


def _kilobytes(side: Mapping[str, Any]) -> str:
    return "-" if side["bytes_per_example"] is None else f"{side['bytes_per_example'] / 1e3:.1f}"


def card_bytes() -> int | None:
    """The memory of the first NVIDIA card; None where nothing tells it."""
    argv = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
        return int(told[0]) << 20
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return None
