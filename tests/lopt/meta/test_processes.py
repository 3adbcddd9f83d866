"""One run on one, two and four devices, and in two processes: the same meta-parameters; and what is
left where one of the processes is killed.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import jax
import numpy as np
import pytest

import lopt
from lopt.meta.run.checkpoint import steps
from lopt.meta.run.directory import RunDirectory
from lopt.meta.training.loop import train

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


# Four devices in one process, of which a run takes as many as it is told.
ON_DEVICES = """
import sys
import jax
jax.config.update("jax_num_cpu_devices", 4)
from lopt.cli import main
for devices in sys.argv[2].split():
    run = f"{sys.argv[1]}/{devices}"
    code = main(["train", *sys.argv[3:], "--run", run, "--devices", devices])
    assert code == 0, code
"""


@pytest.mark.parametrize("devices", ["1 2", pytest.param("1 2 4", marks=pytest.mark.thorough)])
def test_devices_and_processes_take_the_same_steps(tmp_path: Path, devices: str) -> None:
    steps_given = ["--outer-steps", "6"]
    two = start_two("--run", str(tmp_path / "two"), *steps_given)
    _, quiet = (finish(process) for process in two)
    assert "outer step" not in quiet, "only the first process reports"
    command = [sys.executable, "-c", ON_DEVICES, str(tmp_path), devices, *TINY, *steps_given]
    subprocess.run(command, check=True, timeout=300, stdout=subprocess.DEVNULL)
    one = theta(tmp_path / "1")
    initial = jax.tree.leaves(lopt.load(RunDirectory(tmp_path / "1").initial).meta_parameters)
    assert np.max(np.abs(one - np.concatenate([np.ravel(x) for x in initial]))) > 1e-4
    for other in (*devices.split()[1:], "two"):
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
    left, counter = max(steps(run.checkpoints)), count(1)
    config = replace(run.read_config(), devices=1)
    assert train(config, run, resume=True, stop=lambda: next(counter) == 2) == left + 2
    assert max(steps(run.checkpoints)) == left + 2
