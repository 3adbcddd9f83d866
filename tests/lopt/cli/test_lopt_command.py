"""``lopt`` from the outside: a killed run, signals, bad input in one line, the table."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import jax
import numpy as np
import pytest

import lopt
from lopt.cli import main
from lopt.meta.evaluation import comparison as compare
from lopt.meta.evaluation.comparison import find
from lopt.meta.evaluation.curves import held_out_keys, meta_loss
from lopt.meta.presets import presets
from lopt.meta.run.checkpoint import remove_checkpoint, steps
from lopt.meta.run.directory import RunDirectory, RunError
from lopt.optimizers.star_update import BLACKBOX, HYPERPARAM, STAR
from tests.lopt.meta.quick import bowl

SMALL = [
    *("--optimizer", "hyperparam", "--horizon", "10", "--truncation", "4", "--pairs", "2"),
    *("--monitor-every", "0"),
]
TINY = [*SMALL, "--outer-steps", "120", "--checkpoint-every", "20"]
# Longer than it takes to answer a signal.
LONG = [*SMALL, "--outer-steps", "400", "--checkpoint-every", "5"]


def start(arguments: list[str], **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lopt", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1", **environment},
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
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_compiling_is_answered_at_once(tmp_path: Path, number: int) -> None:
    """XLA compiles for far longer than the answer takes, and the run can be resumed."""
    run = RunDirectory(tmp_path / "run")
    flags = ["--pairs", "2", "--outer-steps", "400", "--monitor-every", "0"]
    compiles_long = {"JAX_ENABLE_COMPILATION_CACHE": "false", "XLA_FLAGS": ""}
    process = start(["train", "--run", str(run.path), *flags], **compiles_long)
    assert process.stdout is not None
    assert "compiling first" in process.stdout.readline()
    assert process.stdout.readline().startswith("compiling: 10 s")
    deadline = time.monotonic() + 60
    while steps(run.checkpoints) != [0]:  # where the machine is busy, it has not come so far yet
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(number)
    began = time.monotonic()
    out, err = process.communicate(timeout=240)
    assert time.monotonic() - began < 2
    assert process.returncode == 128 + number, err
    assert "Stopped after 0 of 400 outer steps" in out
    assert f"lopt train --resume {run.path}" in out.replace("\n", " ")
    assert steps(run.checkpoints) == [0]
    assert run.writer() is None
    assert not err


@pytest.mark.slow
def test_sigterm_ends_with_a_checkpoint_and_the_command_to_go_on(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    process = start(["train", "--run", str(run.path), *LONG])
    wait_for_checkpoint(run, process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, err
    assert f"lopt train --resume {run.path}" in out.replace("\n", " ")
    assert steps(run.checkpoints)[-1] == run.read_metrics()[-1]["outer_step"]


def test_resuming_a_complete_run_says_so(whole: RunDirectory, capsys) -> None:
    assert main(["train", "--resume", str(whole.path)]) == 0
    assert "is complete" in capsys.readouterr().out


def test_evaluate_prints_the_comparison_and_writes_it(
    whole: RunDirectory, tmp_path: Path, capsys, monkeypatch
) -> None:
    assert find(str(whole.path)).task.name == "fashion-mnist-8x8-mlp"
    monkeypatch.setattr(compare, "make_task", lambda name: bowl())  # compiles quickly
    file = tmp_path / "a.json"
    flags = ["--task", "bowl", "--seeds", "2", "--steps", "20", "--search", "2"]
    assert main(["evaluate", str(whole.path), *flags, "--json", str(file)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "2 held-out seeds of bowl" in out
    document = json.loads(file.read_text())
    assert (document["horizon"], document["steps"], document["seeds"]) == (10, 20, 2)
    names = [row["name"] for row in document["optimizers"]]
    kinds = [name.partition(",")[0] for name in names]
    assert kinds == ["hyperparam", "Adam", "SGD with momentum", "NAdamW", "hyperparam"]
    for row in document["optimizers"]:
        assert row["name"] in out
        mean = np.mean(row["meta_loss"])
        assert f"{mean:.3f} ± {np.std(row['meta_loss'], ddof=1):.3f}" in out
    # The saved meta-parameters alone, on the same seeds, are the same optimizer.
    subject = find(str(whole.result), task="bowl")
    assert subject.horizon == 10
    curves = subject.curves(20, held_out_keys(2))["meta_parameters"]
    np.testing.assert_allclose(
        meta_loss(curves, 10), document["optimizers"][0]["meta_loss"], rtol=1e-5
    )


def test_evaluate_takes_the_newest_checkpoint_of_an_interrupted_run(
    whole: RunDirectory, tmp_path: Path, capsys, monkeypatch
) -> None:
    """Of a run that was cut after its last but one checkpoint, and of one before its first."""
    monkeypatch.setattr(compare, "make_task", lambda name: bowl())  # compiles quickly
    run = RunDirectory(tmp_path / "cut")
    shutil.copytree(whole.path, run.path)
    trained = jax.tree.leaves(lopt.load(run.result).meta_parameters)
    run.result.unlink()
    newest = run.read_trained(run.read_config())
    assert newest.outer_step == 120
    for a, b in zip(jax.tree.leaves(newest.state), trained, strict=True):
        np.testing.assert_array_equal(a, b)
    remove_checkpoint(run.checkpoints, 120)
    flags = ["--task", "bowl", "--seeds", "1", "--steps", "20", "--search", "0"]
    assert main(["evaluate", str(run.path), *flags]) == 0
    captured = capsys.readouterr()
    said = "is not complete: its checkpoint after outer step 100 of 120 is evaluated."
    assert said in " ".join(captured.err.split())
    assert "1 held-out seed of bowl" in captured.out
    assert "hyperparam, meta-trained" in captured.out
    for outer_step in steps(run.checkpoints):
        remove_checkpoint(run.checkpoints, outer_step)
    assert main(["evaluate", str(run.path), *flags]) == 2
    assert "is not complete. Finish it with: lopt train --resume" in capsys.readouterr().err


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
    "evaluate no steps": (["evaluate", "absent", "--steps", "0"], "--steps must be at least 1"),
    "evaluate without a task": (["evaluate", "x.npz"], "--task is needed"),
    "unknown preset": (["train", "--run", "x", "--preset", "star"], "--preset must be one of fash"),
    "no such file": (["train", "--run", "x", "--config", "a.json"], "a.json cannot be read (No su"),
    "unknown nominal term": (["train", "--run", "x", "--nominal-term", "Lion"], "--nominal-term"),
    "nothing moves": (
        ["train", "--run", "x", "--optimizer", "hyperparam", "--nominal-term", "none"],
        "nominal_term and blackbox_term are both left out",
    ),
    "no runs": (["runs", "absent"], "absent holds no run"),
    "no card": (["shipped", "star"], "nothing that ships is called 'star'; there is fashion-mnist"),
    "too many devices": (
        ["train", "--run", "x", "--devices", "16", "--pairs", "16"],
        "devices is 16, but JAX sees",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(case, tmp_path, capsys, monkeypatch) -> None:
    arguments, message = BAD[case]
    jax.devices()  # started, so that its devices can no longer be multiplied
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


def test_a_run_that_cannot_go_on_is_one_line_and_exit_code_1(tmp_path, capsys, monkeypatch) -> None:
    def fails(*arguments, **named):
        raise RunError("10 meta-gradients in a row were not finite")

    monkeypatch.setattr("lopt.cli.train.train", fails)
    assert main(["train", "--run", str(tmp_path / "run"), *TINY]) == 1
    expected = "lopt train: 10 meta-gradients in a row were not finite\n"
    assert capsys.readouterr().err == expected


def test_existing_directory_and_unwritable_place(whole: RunDirectory, tmp_path, capsys) -> None:
    assert main(["train", "--run", str(whole.path), *TINY]) == 2
    assert "holds a run already" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["train", "--run", str(tmp_path / "file" / "run"), *TINY]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_every_field_is_documented_with_its_default_and_the_papers_value(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert stop.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    for field in lopt.TrainConfig.__dataclass_fields__.values():
        assert "--" + field.name.replace("_", "-") in out
        default = field.metadata["unset"] if field.default in (None, ()) else field.default
        paper = field.metadata["paper"]
        printed = "" if paper is None else f"; paper: {paper}"
        # argparse may break a line at any hyphen.
        assert field.metadata["help"].replace(" ", "") in out.replace(" ", "")
        assert f"(default: {default}{printed})" in out
    for name, preset in presets().items():
        assert "TASK-" + name.removeprefix(f"{preset.values['task']}-") in out
        assert all(out.count(difference) == 1 for difference in preset.differs)


def shown(capsys, *arguments: str) -> dict:
    assert main(["train", "--show-config", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_flags_go_before_the_file_and_the_file_before_the_default(tmp_path, capsys) -> None:
    (tmp_path / "a.json").write_text('{"sigma": 1, "pairs": 4, "precondition": false}')
    (tmp_path / "b.toml").write_text("sigma = 0.5\nnominal_term = 'none'\n")
    default = json.loads(json.dumps(asdict(lopt.TrainConfig())))
    # With neither a preset nor a file, the embedded images have a nominal step of their own.
    assert shown(capsys) == {**default, "nominal_step": 0.01}
    assert shown(capsys, "--nominal-step", "0.3") == {**default, "nominal_step": 0.3}
    for field, value in (
        ("task", "mnist-mlp"),
        ("optimizer", "blackbox"),
        ("nominal_term", "none"),
    ):
        flag = "--" + field.replace("_", "-")
        assert shown(capsys, flag, value) == {**default, field: value}
    assert shown(capsys, "--normalize-update") == {**default, "normalize_update": True}
    read = shown(capsys, "--config", str(tmp_path / "a.json"), "--pairs", "8")
    assert read == {**default, "sigma": 1.0, "pairs": 8, "precondition": False}
    assert type(read["sigma"]) is float
    read = shown(capsys, "--config", str(tmp_path / "b.toml"), "--precondition")
    assert read == {**default, "sigma": 0.5, "nominal_term": "none", "precondition": True}
    (tmp_path / "run.json").write_text(json.dumps({"config": read, "versions": {}}))
    assert shown(capsys, "--config", str(tmp_path / "run.json")) == read
    for text, message in (
        ('{"sigmo": 1}', "'sigmo' is no field of the configuration. Did you mean 'sigma'?"),
        ('{"pairs": 1.5}', "pairs must be of type int; it is 1.5"),
        ('{"pairs": true}', "pairs must be of type int; it is true"),
        ("[1]", "must be an object"),
        ("{", "cannot be read"),
    ):
        (tmp_path / "bad.json").write_text(text)
        assert main(["train", "--show-config", "--config", str(tmp_path / "bad.json")]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(presets()))
def test_presets_are_the_papers_experiments(name: str) -> None:
    """Appendix B.2, and the differences that the help names: beta_3, pairs, outer steps."""
    values = presets()[name].values
    config = lopt.TrainConfig.from_mapping(values)
    star = config.optimizer_config
    assert (config.horizon, config.truncation, config.sigma) == (2000, 50, 0.01)
    assert (config.learning_rate, config.clip) == (1e-4, 1.0)
    assert (star.nominal_step, star.nominal_exponent, star.blackbox_exponent) == (1e-3,) * 3
    told = any("beta_3" in difference for difference in presets()[name].differs)
    assert star.blackbox_step == (1e-5 if told else 1e-3) or not star.blackbox_term
    assert told == (star.blackbox_term and star.precondition)
    kind = name.removeprefix(f"{values['task']}-")
    assert config.optimizer == kind.partition("-")[0]
    if kind.startswith("star-wd"):
        assert config.weight_decay == float(kind.removeprefix("star-wd"))
        assert star == STAR
    elif kind in ("blackbox", "hyperparam"):
        assert config.weight_decay == 0.0
        assert star == (BLACKBOX if kind == "blackbox" else HYPERPARAM)
    elif kind == "star-no-nominal":
        assert star == replace(STAR, nominal_term=None)
    elif kind == "star-no-preconditioner":
        assert star == replace(STAR, precondition=False, blackbox_step=1e-3)
    else:
        assert star.nominal_term is not None
        assert kind == f"star-{star.nominal_term.lower()}"
        assert star == replace(STAR, nominal_term=star.nominal_term)


def test_runs_are_listed_and_compared(
    whole: RunDirectory, tmp_path: Path, capsys, monkeypatch
) -> None:
    folder = tmp_path / "runs"
    shutil.copytree(whole.path, folder / "a")
    shutil.copytree(whole.path, folder / "b")
    b = RunDirectory(folder / "b")
    b.result.unlink()
    document = json.loads(b.config_file.read_text())
    document["config"]["seed"] = 7
    b.config_file.write_text(json.dumps(document))
    b.cut_metrics(101)
    losses = [m["meta_loss"] for m in whole.read_metrics()]
    with b.locked():
        assert main(["runs", "--json", str(folder)]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first["state"] == "complete"
    assert second["state"] == "running"
    assert (first["outer_step"], second["outer_step"], second["outer_steps"]) == (120, 100, 120)
    assert first["meta_loss"] == pytest.approx(np.mean(losses[-50:]))
    assert second["meta_loss"] == pytest.approx(np.mean(losses[50:100]))
    assert (first["differs"], second["differs"]) == ({"seed": 0}, {"seed": 7})
    assert (first["optimizer"], first["verdict"]) == ("hyperparam", None)
    assert main(["runs", str(folder / "a"), str(folder / "b")]) == 0
    out = capsys.readouterr().out
    assert "stopped" in out
    assert "100/120" in out
    monkeypatch.chdir(tmp_path)
    assert main(["runs", "--diff", "runs"]) == 0
    out = capsys.readouterr().out
    assert "None" not in out
    table = [re.split("[│┃]", line.strip("│┃")) for line in out.splitlines()]
    rows = {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in table}
    assert rows["state"] == ["complete", "stopped"]
    assert rows["outer steps"] == ["120/120", "100/120"]
    assert rows["seed"] == ["0", "7"]
    assert "eigenvalues" in rows
    assert rows[""] == ["runs/a", "runs/b"]


def test_what_ships_is_listed_with_its_cards(capsys) -> None:
    assert main(["shipped"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(lopt.shipped())
    assert "STAR, meta-trained on a Fashion-MNIST MLP" in lines[0]
    assert main(["shipped", "fashion-mnist-mlp"]) == 0
    assert capsys.readouterr().out.rstrip() == lopt.card("fashion-mnist-mlp").rstrip()
