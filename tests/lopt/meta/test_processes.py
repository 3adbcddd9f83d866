"""One run on one, two and four devices, and in two processes: the same meta-parameters; and what is
left where one of the processes is killed.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import lopt
from lopt.meta.run.checkpoint import steps
from lopt.meta.run.directory import RunDirectory

pytestmark = pytest.mark.slow
TINY = [
    *("--task", "quadratic", "--optimizer", "hyperparam", "--monitor-every", "0"),
    *("--horizon", "10", "--truncation", "4", "--pairs", "4", "--checkpoint-every", "5"),
]


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lopt", "train", *TINY, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


def start_two(*arguments: str) -> list[subprocess.Popen[str]]:
    """The same command in two processes on the loopback address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    shared = ["--devices", "2", "--coordinator", address, "--processes", "2"]
    return [start(*arguments, *shared, "--process", str(index)) for index in range(2)]


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    return out


def theta(path: Path) -> np.ndarray:
    leaves = jax.tree.leaves(lopt.load(RunDirectory(path).result).meta_parameters)
    return np.concatenate([np.ravel(x) for x in leaves])


# Four devices in one process, of which a run takes one, two or all.
ON_DEVICES = """
import sys
import jax
jax.config.update("jax_num_cpu_devices", 4)
from lopt.cli import main
for devices in ("1", "2", "4"):
    run = f"{sys.argv[1]}/{devices}"
    code = main(["train", *sys.argv[2:], "--run", run, "--devices", devices])
    assert code == 0, code
"""


def test_devices_and_processes_take_the_same_steps(tmp_path: Path) -> None:
    steps_given = ["--outer-steps", "6"]
    two = start_two("--run", str(tmp_path / "two"), *steps_given)
    _, quiet = (finish(process) for process in two)
    assert "outer step" not in quiet, "only the first process reports"
    command = [sys.executable, "-c", ON_DEVICES, str(tmp_path), *TINY, *steps_given]
    subprocess.run(command, check=True, timeout=300, stdout=subprocess.DEVNULL)
    one = theta(tmp_path / "1")
    initial = jax.tree.leaves(lopt.load(RunDirectory(tmp_path / "1").initial).meta_parameters)
    assert np.max(np.abs(one - np.concatenate([np.ravel(x) for x in initial]))) > 1e-4
    for other in ("2", "4", "two"):
        np.testing.assert_allclose(theta(tmp_path / other), one, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(theta(tmp_path / "two"), theta(tmp_path / "2"))


def test_a_killed_process_ends_the_run_with_a_checkpoint(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    first, second = start_two("--run", str(run.path), "--outer-steps", "1000000")
    deadline = time.monotonic() + 120
    while max(steps(run.checkpoints), default=0) == 0:
        assert time.monotonic() < deadline
        assert first.poll() is None, first.communicate()[1]
        time.sleep(0.1)
    second.send_signal(signal.SIGKILL)
    second.communicate()
    _, err = first.communicate(timeout=60)
    assert first.returncode == 1, err
    told = " ".join(err.split())
    assert "another process of this run has ended" in told
    assert f"lopt train --resume {run.path}" in told
    assert "Traceback" not in told
    # It goes on in one process, on one device, from the last checkpoint.
    left = max(steps(run.checkpoints))
    again = subprocess.Popen(
        [*(sys.executable, "-m", "lopt", "train", "--resume", str(run.path)), "--devices", "1"],
        stdout=subprocess.PIPE,
        text=True,
    )
    while max(steps(run.checkpoints)) <= left:
        assert time.monotonic() < deadline + 60
        assert again.poll() is None
        time.sleep(0.1)
    again.send_signal(signal.SIGTERM)
    out, _ = again.communicate(timeout=60)
    assert again.returncode == 128 + signal.SIGTERM, out
