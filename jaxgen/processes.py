"""This process as one of several that train one run: how they find each other, and how they part."""

import contextlib
import os
import threading
from collections.abc import Iterator

import jax

from jaxgen.errors import UserError

PARTING = 10.0  # s that a process with an error waits for the others
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
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            cluster_detection_method=None if missing else "deactivate",
            initialization_timeout=timeout,
            shutdown_timeout_seconds=DAY,  # process 0 still measures when the others are done; heartbeats show who died
        )
    except (RuntimeError, ValueError) as error:
        _end_within(PARTING, 2)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if missing:
            advice = "Give each process --coordinator HOST:PORT (of process 0), --processes N and --process I"
        elif process == 0:
            advice = f"All {processes} processes must start within {timeout} s (--join-timeout), and the port be free"
        else:
            advice = f"Check that process 0 runs and that {coordinator} reaches it from here"
        raise UserError(f"This process could not join the others ({reason}). {advice}.") from error


def _end_within(seconds: float, code: int) -> None:
    """Ends this process after so long, if it has not ended by itself."""
    timer = threading.Timer(seconds, os._exit, [code])
    timer.daemon = True
    timer.start()
