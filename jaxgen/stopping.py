"""Signals that ask a run to stop."""

import os
import signal
import socket
import threading
import types
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether SIGINT or SIGTERM asked this process to stop, while the context lasts. The second ends it at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is not threading.main_thread():
            return self  # Python allows handlers nowhere else; whoever started the thread decides
        self._before = {number: signal.signal(number, _ignore) for number in SIGNALS}
        # Python runs handlers between bytecodes of the main thread, which may be waiting for a device. The interpreter
        # writes each signal's number here at once, and another thread can read it.
        self._read, self._write = socket.socketpair()
        self._write.setblocking(False)
        self._fd = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._listen, args=(self._read,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        if self._before:
            signal.set_wakeup_fd(self._fd)
            for number, handler in self._before.items():
                signal.signal(number, handler)
            self._write.close()  # ends the thread

    def _listen(self, incoming: socket.socket) -> None:
        with incoming:
            while received := incoming.recv(16):
                for number in received:
                    if number in SIGNALS and self.asked:
                        os._exit(128 + number)
                    self.asked = self.asked or number in SIGNALS


def _ignore(number: int, frame: types.FrameType | None) -> None:
    """A handler must be there for the number to be written."""
