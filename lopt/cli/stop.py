"""SIGINT and SIGTERM, answered at once where nothing would be lost, else after the step in hand.

Python calls a handler in the main thread between two of its instructions, and XLA compiles for a
minute within one. The system's own handler writes the number of the signal to a socket at once,
and a thread that reads from it can answer.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Ends the process at the first SIGINT or SIGTERM, or, while `waits`, remembers the signal so
    that the outer step in hand is finished; a second one ends the process then.

    In other threads than the main one, which get no signals, it does nothing.

    Attributes
    ----------
    signal : int or None
        The signal that was remembered.
    waits : callable
        Whether there is something in hand to finish.
    farewell : callable
        What is said before the process ends.
    """

    def __init__(self, farewell: Callable[[], None]) -> None:
        self.signal: int | None = None
        self.waits: Callable[[], bool] = lambda: False
        self.farewell = farewell
        self._old: dict[int, Any] = {}
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Stop":
        if threading.current_thread() is not threading.main_thread():
            return self
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._descriptor = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            self._old[number] = signal.signal(number, _leave_it_to_the_thread)
        self._thread = threading.Thread(target=self._listen, name="lopt-signals", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is None:
            return
        for number, handler in self._old.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._descriptor)
        self._writer.close()  # which ends the thread
        self._thread.join()
        self._reader.close()

    def _listen(self) -> None:
        while numbers := self._reader.recv(1):
            if (number := numbers[0]) not in SIGNALS:
                continue
            if self.signal is None and self.waits():
                self.signal = number
                print("\nEnding after this outer step; once more ends at once.", file=sys.stderr)
                continue
            try:
                self.farewell()
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                # The main thread may be in XLA for another minute.
                os._exit(128 + number)


def _leave_it_to_the_thread(number: int, frame: FrameType | None) -> None:
    """Handle a signal in Python, without which the system's handler would write no number."""
    del number, frame
