"""``lopt`` from the outside: a killed run, signals, bad input in one line, the table."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import lopt
from lopt.cli import main
from lopt.meta.checkpoint import steps
from lopt.meta.run import RunDirectory

pytestmark = pytest.mark.xdist_group("run")
TINY = [
    *("--optimizer", "hyperparam", "--horizon", "10", "--truncation", "4", "--pairs", "2"),
    *("--outer-steps", "400", "--checkpoint-every", "5", "--monitor-every", "0"),
]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lopt", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


def wait_for_checkpoint(run: RunDirectory, process: subprocess.Popen[str]) -> None:
    """Until the process has written a checkpoint that is not the first."""
    deadline = time.monotonic() + 240
    while not any(s > 0 for s in steps(run.checkpoints)):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def theta(run: RunDirectory) -> list[np.ndarray]:
    return [np.asarray(x) for x in jax.tree.leaves(lopt.load(run.result).meta_parameters)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> RunDirectory:
    """An uninterrupted run of the command."""
    run = RunDirectory(tmp_path_factory.mktemp("cli") / "whole")
    assert main(["train", "--run", str(run.path), *TINY]) == 0
    return run


@pytest.mark.slow
def test_killed_and_resumed_is_bit_for_bit(tmp_path: Path, whole: RunDirectory) -> None:
    run = RunDirectory(tmp_path / "run")
    process = start(["train", "--run", str(run.path), *TINY])
    wait_for_checkpoint(run, process)
    process.kill()
    process.communicate()
    assert not run.result.exists(), "the run ended before it could be killed"
    assert main(["train", "--resume", str(run.path)]) == 0
    for a, b in zip(theta(run), theta(whole), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_sigterm_ends_with_a_checkpoint_and_the_command_to_go_on(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    process = start(["train", "--run", str(run.path), *TINY])
    wait_for_checkpoint(run, process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, err
    assert f"lopt train --resume {run.path}" in out.replace("\n", " ")
    assert steps(run.checkpoints)[-1] == run.read_metrics()[-1]["outer_step"]


def test_resuming_a_complete_run_says_so(whole: RunDirectory, capsys) -> None:
    assert main(["train", "--resume", str(whole.path)]) == 0
    assert "is complete" in capsys.readouterr().out


def test_evaluate_prints_the_comparison(whole: RunDirectory, capsys) -> None:
    assert main(["evaluate", str(whole.path), "--seeds", "2", "--horizons", "2"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "2 held-out seeds" in out
    assert "Adam, rate" in out
    assert "±" in out


BAD = {
    "nothing to do": (["train"], "--run"),
    "unknown flag": (["train", "--run", "x", "--horizn", "5"], "horizn"),
    "not a number": (["train", "--run", "x", "--sigma", "big"], "--sigma"),
    "not finite": (["train", "--run", "x", "--sigma", "nan"], "sigma must be positive and finite"),
    "zero": (["train", "--run", "x", "--pairs", "0"], "pairs must be at least 1"),
    "unknown task": (["train", "--run", "x", "--task", "mnist"], "nearest is mnist-mlp"),
    "no run there": (["train", "--resume", "absent"], "holds no run"),
    "flags with resume": (["train", "--resume", "x", "--sigma", "1"], "--sigma does not go with"),
    "evaluate nothing": (["evaluate", "absent"], "holds no run"),
    "no seeds": (["evaluate", "absent", "--seeds", "0"], "--seeds must be at least 1"),
    "too many devices": (
        ["train", "--run", "x", "--devices", "16", "--pairs", "16"],
        "devices is 16, but JAX sees",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(case, tmp_path, capsys, monkeypatch) -> None:
    arguments, message = BAD[case]
    monkeypatch.chdir(tmp_path)
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    err = capsys.readouterr().err
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_existing_directory_and_unwritable_place(whole: RunDirectory, tmp_path, capsys) -> None:
    assert main(["train", "--run", str(whole.path), *TINY]) == 2
    assert "holds a run already" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["train", "--run", str(tmp_path / "file" / "run"), *TINY]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_every_field_is_documented(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for field in lopt.TrainConfig.__dataclass_fields__.values():
        assert "--" + field.name.replace("_", "-") in out
        assert field.metadata["help"].split()[0] in out
