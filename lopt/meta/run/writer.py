"""What a run writes while it trains: by one thread, in the order of the requests."""

import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from lopt.meta.run.checkpoint import write_checkpoint
from lopt.meta.run.directory import RunDirectory
from nqm.json_values import json_value

# A reader of the metrics waits for a line at most about this long.
FLUSH_SECONDS = 5.0


class Writer:
    """Writes checkpoints, and metrics as JSON lines and TensorBoard events, while training goes on.

    A checkpoint is written once all metrics up to it are on the disk, and the next request for a
    checkpoint waits for it. An error in the thread is raised by the next `check`, `checkpoint` or
    `wait`.

    Parameters
    ----------
    run
        The directory to write to.
    forget_from
        The outer step from which on TensorBoard discards what it has seen.
    """

    def __init__(self, run: RunDirectory, *, forget_from: int) -> None:
        self.run = run
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lopt-writer")
        self._metrics = run.metrics_file.open("a")
        self._events = _events(run.path, forget_from)
        self._flushed = time.monotonic()
        self._pending: Future[None] | None = None
        self._error: Exception | None = None

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()
        for file in (self._metrics, self._events):
            with suppress(OSError):  # `wait` has reported it, or another error is being raised
                file.close()

    def line(self, values: dict[str, Any]) -> None:
        """Add a line to the metrics; its numbers become scalars in TensorBoard."""
        self._submit(self._write_line, values)

    def checkpoint(self, outer_step: int, state: Any) -> None:
        """Write the state, a tree of NumPy arrays, once an earlier checkpoint is written."""
        if self._pending:
            self._pending.result()
        self.check()
        self._pending = self._submit(self._write_checkpoint, outer_step, state)

    def wait(self) -> None:
        """Wait until everything requested is on the disk."""
        self._submit(self._flush, True).result()
        self.check()

    def check(self) -> None:
        """Raise the error that has occurred, if any.

        Raises
        ------
        OSError
            Where there is no room or no permission.
        """
        if self._error:
            raise self._error

    def _submit(self, do: Callable[..., None], *arguments: Any) -> "Future[None]":
        return self._thread.submit(self._guarded, do, *arguments)

    def _guarded(self, do: Callable[..., None], *arguments: Any) -> None:
        """Do it, unless there has been an error: a checkpoint after it would lack metrics."""
        if self._error:
            return
        try:
            do(*arguments)
        except Exception as error:
            self._error = error

    def _write_line(self, values: dict[str, Any]) -> None:
        self._metrics.write(json.dumps(json_value(values), allow_nan=False) + "\n")
        scalars = [Summary.Value(tag=t, simple_value=v) for t, v in _scalars(values)]
        step = int(values["outer_step"])
        self._events.write_event(
            Event(wall_time=time.time(), step=step, summary=Summary(value=scalars))
        )
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self._flush(False)

    def _write_checkpoint(self, outer_step: int, state: Any) -> None:
        self._flush(True)
        write_checkpoint(self.run.checkpoints, outer_step, state)

    def _flush(self, durably: bool) -> None:
        self._flushed = time.monotonic()
        self._metrics.flush()
        self._events.flush()
        if durably:
            os.fsync(self._metrics.fileno())


class Silent:
    """The writer of a process that leaves writing to another; every method returns at once."""

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def line(self, values: dict[str, Any]) -> None:
        """Drop the line, which the writing process has, too."""

    def checkpoint(self, outer_step: int, state: Any) -> None:
        """Write no checkpoint; the writing process does."""

    def wait(self) -> None:
        """Return at once, because nothing is waiting to be written."""

    def check(self) -> None:
        """Return at once, because no writing can have failed."""


def _events(folder: Path, purge_step: int) -> EventsWriter:
    """A new event file; TensorBoard discards what earlier ones hold from `purge_step` on.

    The SummaryWriter of tensorboardX passes its events to a thread of its own: those not written
    before a checkpoint could be lost, and on a full disk its queue never empties.
    """
    suffix = f".{purge_step:08d}.{os.getpid()}"
    writer = EventsWriter(str(folder / "events"), suffix)
    writer.write_event(Event(step=purge_step, session_log=SessionLog(status=SessionLog.START)))
    return writer


def _scalars(values: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield tags and numbers: those of the outer step, then those of the measured points from the
    earliest inner step on; which inner step that is differs between particles.
    """
    for name, value in values.items():
        if _is_number(value) and name != "outer_step":
            yield name, value
    for index, point in enumerate(values.get("monitor", {}).get("points", ()), start=1):
        for name, value in point.items():
            if _is_number(value):
                yield f"monitor/point_{index}/{name}", value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
