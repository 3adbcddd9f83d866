"""The cache of compiled programs, the silence of XLA's log, and signals while XLA compiles."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from lopt import startup

# Without what the tests' own settings say of caches and compilation.
PLAIN = {
    k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_", "TF_", "XDG_"))
} | {"JAX_PLATFORMS": "cpu"}


@pytest.fixture
def no_cache():
    """JAX as it is where nothing names a folder; nothing is compiled meanwhile."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        env=PLAIN | environment,
        text=True,
        capture_output=True,
        check=True,
    )


def test_the_cache_is_in_the_users_folder(no_cache, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = startup.use_compilation_cache()
    assert folder is not None
    assert folder.is_relative_to(tmp_path / "nqm-lopt")
    assert folder.is_dir()
    assert jax.config.jax_compilation_cache_dir == str(folder)
    assert jax.config.jax_persistent_cache_min_compile_time_secs == 0


@pytest.mark.parametrize(("system", "place"), [("linux", ".cache"), ("darwin", "Library/Caches")])
def test_the_cache_is_where_the_system_has_caches(system, place, tmp_path, monkeypatch) -> None:
    """A relative $XDG_CACHE_HOME does not count, as its specification says."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(sys, "platform", system)
    assert startup.compilation_cache_folder().parents[1] == tmp_path / place / "nqm-lopt"


def test_another_processor_has_another_folder(monkeypatch) -> None:
    here = startup.compilation_cache_folder()
    monkeypatch.setattr(startup, "_processor", lambda: "x86_64 flags: none")
    assert startup.compilation_cache_folder().parent == here.parent
    assert startup.compilation_cache_folder() != here


def test_a_folder_that_is_named_is_used(tmp_path: Path, no_cache) -> None:
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "own"))
    assert startup.use_compilation_cache() == tmp_path / "own"
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "own")


def test_the_cache_can_be_switched_off(tmp_path: Path, no_cache, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        assert startup.use_compilation_cache() is None
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
    assert not list(tmp_path.iterdir())


def test_without_a_folder_there_is_no_cache(tmp_path: Path, no_cache, monkeypatch) -> None:
    """A file stands where the folder would be, and then nobody may write in it."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert startup.use_compilation_cache() is None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert startup.use_compilation_cache() is None
    assert jax.config.jax_compilation_cache_dir is None


def test_the_oldest_are_deleted_where_there_is_too_much(tmp_path: Path) -> None:
    for age in range(6):
        (tmp_path / f"{age}").write_bytes(bytes(10))
        os.utime(tmp_path / f"{age}", (1000 - age, 1000 - age))
    startup.prune(tmp_path, most=60)
    assert len(list(tmp_path.iterdir())) == 6
    startup.prune(tmp_path, most=59)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]


TWICE = """
import jax
from jax import monitoring
from lopt import startup
found = []
monitoring.register_event_listener(lambda name, **_: found.append(name))
startup.use_compilation_cache()
jax.jit(lambda x: (x @ x).sum())(jax.numpy.ones((4, 4)))
print("/jax/compilation_cache/cache_hits" in found)
"""


def test_a_second_process_compiles_nothing_again(tmp_path: Path) -> None:
    said = [python(TWICE, XDG_CACHE_HOME=str(tmp_path)).stdout for _ in range(2)]
    assert said == ["False\n", "True\n"]


def test_importing_the_library_sets_nothing(tmp_path: Path) -> None:
    program = (
        "import os, jax, lopt; lopt.TrainConfig; "
        "print(jax.config.jax_compilation_cache_dir, os.environ.get('XDG_CACHE_HOME'))"
    )
    assert python(program, XDG_CACHE_HOME=str(tmp_path)).stdout == f"None {tmp_path}\n"
    assert not list(tmp_path.iterdir())


# XLA folds this at 1.5 to 4 µs a product, and says so after a second.
SLOW = """
{}
import jax
from jax import lax, numpy as jnp
f = lambda: lax.reduce_window(lax.iota(jnp.float32, 6000), 0.0, lax.add, (300,), (1,), "SAME")
jax.jit(f)()
"""


@pytest.mark.slow
def test_a_slow_compilation_sounds_no_alarm() -> None:
    assert "slow_operation_alarm" in python(SLOW.format("")).stderr
    assert python(SLOW.format("import lopt.cli")).stderr == ""


STUCK = """
import time
from lopt.cli.stop import Stop
with Stop(lambda: print("farewell")) as stop:
    stop.waits = lambda: {}
    print("ready", flush=True)
    time.sleep(300)  # goes on after a handler has been called, as a compilation does
"""


def stuck(waits: bool) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK.format(waits)],
        env=PLAIN,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_process_that_is_stuck(number: int) -> None:
    process = stuck(waits=False)
    began = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 2
    assert (process.returncode, out, err) == (128 + number, "farewell\n", "")


def test_where_there_is_something_to_finish_the_second_signal_ends() -> None:
    process = stuck(waits=True)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.readline() == "\n"
    assert "once more ends at once" in process.stderr.readline()
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[0] == "farewell\n"
    assert process.returncode == 128 + signal.SIGTERM
