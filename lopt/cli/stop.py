"""The first SIGINT or SIGTERM lets the outer step in hand be finished."""

import signal
import sys
from types import FrameType
from typing import Any


class Stop:
    """Remembers the first SIGINT or SIGTERM, so that the outer step in hand is finished; a
    second one ends at once.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._old: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._old[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.signal = number
        self._restore()
        print("\nEnding after this outer step; once more ends at once.", file=sys.stderr)

    def _restore(self) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
