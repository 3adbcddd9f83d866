"""One process at a time writes a run directory."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nqm.untrusted import read_text

# Somebody who only looks whether the lock is held holds it for a moment.
PATIENCE_SECONDS = 0.5
# A link would lead out of the folder, and opening a pipe would wait for its other end.
SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; the kernel lets it go when the process ends, however it ends.

    Raises
    ------
    ValueError
        Where another process holds it; the message names the folder and the process.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "lock"
    >>> with locked(path):
    ...     holder(path) == os.getpid()
    True
    >>> holder(path)
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | SAFELY, 0o644)
    try:
        if not _take(descriptor, fcntl.LOCK_EX, PATIENCE_SECONDS):
            raise ValueError(
                f"{path.parent} is being written by process {_pid(path)}. Wait until that has "
                "ended, or name another directory."
            )
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> int | None:
    """The id of the process that holds the lock, None where nobody does (-1: not told)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | SAFELY)
    except OSError:
        return None
    try:
        return None if _take(descriptor, fcntl.LOCK_SH, 0.0) else _pid(path)
    finally:
        os.close(descriptor)


def _take(descriptor: int, kind: int, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def _pid(path: Path) -> int:
    try:
        return int(read_text(path, 32))
    except (OSError, ValueError):
        return -1
