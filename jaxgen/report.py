"""What a run says while it runs: a bar or plain lines, `metrics.jsonl`, TensorBoard."""

import contextlib
import errno
import json
import math
import socket
import sys
import time
import types
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from etils import epath
from tensorboardX import summary
from tensorboardX.proto import event_pb2, summary_pb2
from tensorboardX.record_writer import RecordWriter
from tqdm import tqdm

from jaxgen.errors import UserError

_PROTO: Any = event_pb2  # their names appear only when they run
_PROTO_SUMMARY: Any = summary_pb2


class Report:
    """Writes the metrics of steps after `first_step` up to `total_steps`, each of `batch` examples. A context manager.

    Opened at step S it drops from `metrics.jsonl` the lines after S and a line that a kill cut short, and hides those
    events from TensorBoard, so that the files read as if the run had never stopped (`time` and `examples_per_second`
    apart). Progress goes to stderr: a bar on a terminal, otherwise one line a `log`; `quiet` leaves only the files.
    Process 0 does all this; in others every method returns at once. Raises `UserError` where the disk is full or the
    directory cannot be written.
    """

    def __init__(
        self, workdir: epath.PathLike, total_steps: int, first_step: int, batch: int, quiet: bool = False
    ) -> None:
        self._here = jax.process_index() == 0
        if not self._here:
            return
        self._workdir = epath.Path(workdir)
        self._total, self._batch, self._quiet = total_steps, batch, quiet
        self._since = (first_step, time.perf_counter())
        with self._explained():
            self._workdir.mkdir(parents=True, exist_ok=True)
            _rewind(self._workdir / "metrics.jsonl", first_step)
            self._events = RecordWriter(str(self._workdir / _events_file()))
            self._write(first_step, file_version="brain.Event:2")
            start = _PROTO.SessionLog(status=_PROTO.SessionLog.START)  # hides what was logged from this step on
            self._write(first_step + 1, session_log=start)
        self._bar = tqdm(
            total=total_steps,
            initial=first_step,
            unit="step",
            file=sys.stderr,
            dynamic_ncols=True,
            disable=quiet or not sys.stderr.isatty(),
        )

    def __enter__(self) -> "Report":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        self.close()

    def advance(self, steps: int) -> None:
        """Moves the bar."""
        if self._here:
            self._bar.update(steps)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes the metrics of a step, with `time` (Unix, s) and `examples_per_second`.

        The rate is over all the time since the last `log`: compilation, saving and sampling are in it. A value that is
        not finite becomes the string "nan", "inf" or "-inf", which JSON can hold.
        """
        if not self._here:
            return
        now = time.perf_counter()
        (last, then), self._since = self._since, (step, now)
        rate = (step - last) * self._batch / max(now - then, 1e-9)
        values = {name: float(value) for name, value in metrics.items()} | {"examples_per_second": rate}
        line = {"step": step, "time": time.time()} | {k: v if math.isfinite(v) else str(v) for k, v in values.items()}
        with self._explained(), (self._workdir / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
        scalars = [summary.scalar(name, value).value[0] for name, value in values.items()]
        self._write(step, summary=_PROTO_SUMMARY.Summary(value=scalars))
        shown = {name: f"{value:.4g}" for name, value in values.items() if name != "examples_per_second"}
        if not self._bar.disable:
            self._bar.set_postfix({"examples/s": f"{rate:.0f}"} | shown)
        elif not self._quiet:
            left = (self._total - step) * self._batch / rate if rate > 0 else 0.0
            pairs = "  ".join(f"{name} {value}" for name, value in shown.items())
            eta = tqdm.format_interval(left)
            self.say(f"step {step}/{self._total}  {pairs}  {rate:.0f} examples/s  {eta} left")

    def image(self, step: int, name: str, array: np.ndarray) -> None:
        """Shows `array` uint8 [H, W, C], C 1 or 3, in TensorBoard."""
        if not self._here:
            return
        if array.dtype != np.uint8 or array.ndim != 3:
            raise ValueError(f"an image is uint8 [H, W, C], not {array.dtype}{list(array.shape)}")
        self._write(step, summary=summary.image(name, array, dataformats="HWC"))

    def say(self, text: str) -> None:
        """Prints a line above the bar."""
        if self._here and not self._quiet:
            tqdm.write(text, file=sys.stderr)

    def close(self) -> None:
        """Ends the bar and closes the event file."""
        if not self._here:
            return
        self._bar.close()
        with self._explained():
            self._events.close()

    def _write(self, step: int, **what: Any) -> None:
        # Record by record, here: SummaryWriter's thread dies on a full disk, and the next calls wait for it for ever.
        with self._explained():
            self._events.write(_PROTO.Event(wall_time=time.time(), step=step, **what).SerializeToString())
            self._events.flush()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise UserError(
                    f"The disk is full: the metrics could not be written to {self._workdir}. Free some space and start "
                    "again with the same --workdir."
                ) from error
            raise UserError(
                f"The metrics could not be written to {self._workdir}: {error.strerror}. Mend that, or use another "
                "--workdir."
            ) from error


def _events_file() -> str:
    """TensorBoard reads the files of a directory in the order of their names; no two starts may share one."""
    now = time.time_ns()
    return f"events.out.tfevents.{now // 10**9}.{socket.gethostname()}.{now % 10**9:09d}"


def _rewind(path: epath.Path, step: int) -> None:
    """Keeps the whole lines of steps up to `step`. Atomic: a kill leaves the old file or the new one."""
    if not path.exists():
        return
    text = path.read_text()
    kept = "".join(line for line in text.splitlines(keepends=True) if _belongs(line, step))
    if kept != text:
        partial = path.with_name(path.name + ".tmp")
        partial.write_text(kept)
        partial.replace(path)


def _belongs(line: str, step: int) -> bool:
    try:
        return line.endswith("\n") and json.loads(line)["step"] <= step
    except (ValueError, TypeError, KeyError):
        return False
