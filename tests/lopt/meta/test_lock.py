"""The lock of a run directory, on systems with and without fcntl."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lopt.meta.run import checkpoint
from lopt.meta.run.lock import holder, locked


def test_one_holder_at_a_time_and_its_id_in_the_message(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert holder(path) is None
    assert not path.exists()
    with locked(path):
        assert holder(path) == os.getpid()
        complaint = f"{tmp_path} is being written by process {os.getpid()}"
        with pytest.raises(ValueError, match=complaint), locked(path):
            pass
        assert holder(path) == os.getpid()
    assert holder(path) is None
    with locked(path):
        pass


def test_an_error_lets_the_lock_go(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path / "lock"):
        raise KeyError
    assert holder(tmp_path / "lock") is None


def test_an_id_that_is_none_is_not_told(tmp_path: Path) -> None:
    with locked(tmp_path / "lock"):
        (tmp_path / "lock.pid").write_text("x" * 1000)
        assert holder(tmp_path / "lock") == -1


def test_a_process_that_is_killed_lets_the_lock_go(tmp_path: Path) -> None:
    code = """
    import os, pathlib, signal, sys
    from lopt.meta.run.lock import locked
    with locked(pathlib.Path(sys.argv[1])):
        print(os.getpid(), flush=True)
        sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "lock")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        pid = int(other.stdout.readline())
        assert holder(tmp_path / "lock") == pid
        other.kill()
        other.wait()
        assert holder(tmp_path / "lock") is None


def test_the_command_line_works_without_what_only_unix_has() -> None:
    code = """
    import os, signal, sys
    for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty"):
        sys.modules[name] = None
    kept = {"SIGINT", "SIGTERM", "SIGABRT", "SIGFPE", "SIGILL", "SIGSEGV", "SIG_DFL", "SIG_IGN"}
    for name in [n for n in vars(signal) if n.startswith("SIG") and n not in kept]:
        delattr(signal, name)
    for name in ("sched_getaffinity", "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "geteuid"):
        if hasattr(os, name):
            delattr(os, name)
    from lopt.cli import main
    sys.exit(main(["shipped"]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "fashion-mnist-mlp" in done.stdout


def test_where_no_folder_can_be_opened_only_files_are_brought_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[Path, int]] = []
    really = os.open

    def recorded(path: Path, flags: int) -> int:
        opened.append((path, flags))
        return really(path, flags)

    (tmp_path / "file").write_text("x")
    monkeypatch.setattr(checkpoint.os, "open", recorded)
    for path in (tmp_path, tmp_path / "file"):
        checkpoint._sync(path)
    with monkeypatch.context() as windows:
        windows.setattr(checkpoint.os, "name", "nt")
        windows.setattr(type(tmp_path), "is_dir", lambda self: self == tmp_path)
        for path in (tmp_path, tmp_path / "file"):
            checkpoint._sync(path)
    assert opened == [
        (tmp_path, os.O_RDONLY),
        (tmp_path / "file", os.O_RDONLY),
        (tmp_path / "file", os.O_RDWR),
    ]
