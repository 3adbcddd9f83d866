"""The lock that lets one process at a time write to a run directory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from lopt.files import written_whole
from nqm.untrusted import read_text

# A process that only checks whether the lock is held holds it for a moment.
PATIENCE_SECONDS = 0.5
POLL_SECONDS = 0.02


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; the system releases it when the process ends, however it ends.

    The holder's id is in a second file, because some systems let nobody read a locked one.

    Raises
    ------
    ValueError
        Where another process holds it; the message names the folder and the process.
    OSError
        Where the lock cannot be created.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "lock"
    >>> with locked(path):
    ...     holder(path) == os.getpid()
    True
    >>> holder(path)
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=PATIENCE_SECONDS, poll_interval=POLL_SECONDS)
    except Timeout:
        raise ValueError(
            f"{path.parent} is being written by process {_pid(path)}. Wait until that has "
            "ended, or name another directory."
        ) from None
    try:
        with written_whole(_pid_file(path)) as file:
            file.write(f"{os.getpid()}\n".encode())
        yield
    finally:
        with suppress(OSError):
            _pid_file(path).unlink()
        lock.release()


def holder(path: Path) -> int | None:
    """The id of the process that holds the lock (-1 if it is not known), None where no process
    holds it or this one may not ask.
    """
    if not os.path.lexists(path):
        return None
    try:
        with FileLock(path, timeout=0):
            return None
    except Timeout:
        return _pid(path)
    except OSError:
        return None


def _pid_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.pid")


def _pid(path: Path) -> int:
    try:
        return int(read_text(_pid_file(path), 32))
    except (OSError, ValueError):
        return -1
