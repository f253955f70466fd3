"""This process as one of several that train one run: how they find each other, and how they part."""

import contextlib
import os
import threading
from collections.abc import Iterator

import jax

from jaxgen.errors import UserError

PARTING = 10.0  # s that a process with an error waits for the others
SILENCE = 30  # s without a sign of life after which a process counts as dead; JAX's own 100 leave devices idle
DAY = 24 * 60 * 60  # s


@contextlib.contextmanager
def joined(
    coordinator: str | None = None, processes: int | None = None, process: int | None = None, timeout: int = 300
) -> Iterator[None]:
    """Joins this process to the others, before JAX is used, and sees to it that none waits for ever for one that fails.

    `coordinator` is process 0's "host:port", `process` counts from 0 to `processes` - 1; without all three JAX looks
    for TPU slices, SLURM, Open MPI and Kubernetes. Raises `UserError` where only some are given, where JAX finds
    nothing, and where not all processes have come after `timeout` seconds.

    An error that leaves the block may be this process's alone: then the others wait for it in a collective, and it for
    them at exit. `PARTING` seconds later it is gone, with code 2 for what a user can mend and 1 otherwise, and JAX
    aborts the others.
    """
    _initialize(coordinator, processes, process, timeout)
    try:
        yield
    except BaseException as error:
        _end_within(PARTING, 2 if isinstance(error, UserError) else 1)
        raise


def _initialize(coordinator: str | None, processes: int | None, process: int | None, timeout: int) -> None:
    given = {"--coordinator HOST:PORT": coordinator, "--processes N": processes, "--process I": process}
    missing = [option for option, value in given.items() if value is None]
    if 0 < len(missing) < len(given):
        raise UserError(f"{' and '.join(missing)} must be given too: the three options go together.")
    if coordinator is not None and processes is not None and process is not None:
        host, _, port = coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise UserError(f"--coordinator must be HOST:PORT, as 10.0.0.1:1234, not {coordinator}.")
        if not 0 <= process < processes:
            raise UserError(
                f"--process must lie in 0 to {processes - 1}, as there are --processes {processes}; not {process}."
            )
    # JAX's handler of SIGTERM would swallow a signal that comes before ours (`stopping.Stop`) is there.
    jax.config.update("jax_enable_preemption_service", False)
    reason = _attempt(coordinator, processes, process, timeout)
    if not reason:
        return
    _end_within(1, 2)  # JAX's own exit would wait for whom it has not met
    if missing:
        advice = "Give each process --coordinator HOST:PORT (of process 0), --processes N and --process I"
    elif process == 0:
        advice = f"Start all {processes} processes, each with its --process, and choose a free port"
    else:
        advice = f"Check that process 0 runs, that {coordinator} reaches it from here, and that all processes started"
    raise UserError(f"This process could not join the others: {reason}. {advice}.")


def _attempt(coordinator: str | None, processes: int | None, process: int | None, timeout: int) -> str:
    """Why JAX's processes could not be joined; empty where they were.

    In a thread, and with more time than we give it: when its own time is up, JAX aborts the process (SIGABRT).
    """
    reason = [f"not all had come after {timeout} s (--join-timeout)"]

    def attempt() -> None:
        try:
            jax.distributed.initialize(
                coordinator,
                processes,
                process,
                cluster_detection_method=None if coordinator is None else "deactivate",
                initialization_timeout=timeout + 60,
                heartbeat_timeout_seconds=SILENCE,
                shutdown_timeout_seconds=DAY,  # process 0 may measure for long; heartbeats tell who died
            )
            reason[0] = ""
        except Exception as error:
            reason[0] = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(timeout)
    return reason[0]


def _end_within(seconds: float, code: int) -> None:
    """Ends this process after so long, if it has not ended by itself."""
    timer = threading.Timer(seconds, os._exit, [code])
    timer.daemon = True
    timer.start()
