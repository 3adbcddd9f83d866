"""What commands print at any width: lines break between words, and no name is cut."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

import lopt.cli.display as display
from lopt.cli import build_parser, main
from lopt.cli.display import Display, Work, particles
from lopt.cli.evaluate import suite_tables, table
from lopt.cli.inspect import _notes
from lopt.cli.tables import WIDE, WordTable
from lopt.meta.config import TrainConfig
from lopt.meta.evaluation.comparison import Evaluation
from lopt.meta.evaluation.outcome import Row, SuiteEvaluation, TaskOutcome
from lopt.meta.run.directory import RunDirectory
from lopt.meta.training.loop import Progress
from lopt.tasks.suites.catalogue import suite

WIDTHS = (60, 80, 128, WIDE)
CONFIGS = {
    "capital-of-italy": TrainConfig(outer_steps=200),
    "capital-of-france": TrainConfig(nominal_step=0.01, rules=("radius>1.05 for 3: stop",)),
    "a-name-that-has-far-more-characters-than-a-narrow-terminal-has-columns": TrainConfig(
        optimizer="blackbox", precondition=False
    ),
}
VERDICT = "unstable (ascent 1.026, at most 1.12, sharpness 1.65)"
LINE = '{"outer_step": 1, "meta_loss": 2.0}\n{"outer_step": 1, "monitor": %s}\n'
MONITOR = '{"verdict": "unstable", "points": [{"radius": 1.0}]}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three runs, one with a name that is longer than a line."""
    folder = tmp_path_factory.mktemp("runs")
    for name, config in CONFIGS.items():
        run = RunDirectory(folder / name)
        run.create(config, lambda: None)
        run.metrics_file.write_text(LINE % MONITOR)
    return folder


def plain(text: str) -> str:
    """The text without what moves the cursor or gives colour."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", text)


def printed(shown, width: int) -> list[str]:
    """The lines of a table in a terminal of this width."""
    console = Console(width=width, force_terminal=False, highlight=False)
    with console.capture() as captured:
        console.print(shown, crop=False)
    return captured.get().splitlines()


def words(lines: list[str]) -> list[str]:
    """The words, without the lines of the table."""
    return [w for line in lines for w in line.split() if w.strip("│┃━─┏┳┓┡╇┩└┴┘")]


def assert_whole(lines: list[str], width: int, cells: list[str]) -> None:
    """Every word of the cells is there, whole; a line is too long only for one long word."""
    found = words(lines)
    for cell in cells:
        assert set(cell.split()) <= set(found), cell
    for line in lines:
        assert len(line) <= width or len(line.split()) == 1, line
    assert not any("…" in line for line in lines)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_list_of_runs_is_whole(width: int) -> None:
    columns = ("run", "optimizer", "task", "outer steps", "eigenvalues")
    rows = [(name, "star", "fashion-mnist-8x8-mlp", "4/1500", VERDICT) for name in CONFIGS]
    cells = [cell for row in rows for cell in row] + list(columns[1:])
    assert_whole(printed(WordTable(columns, rows, prose={4}), width), width, cells)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_comparison_is_whole(width: int) -> None:
    """The table of `lopt evaluate`, with the longest names there are."""
    names = ("STAR, meta-trained", "SGD with momentum, rate 0.0316", "STAR, untrained")
    curves = np.random.default_rng(0).uniform(0.5, 2.0, (3, 8, 20)).astype(np.float32)
    found = Evaluation("suite", 10, dict(zip(names, curves, strict=True)), 5.0, {})
    lines = printed(table(found), width)
    assert_whole(lines, width, [*names, "meta-loss diverged rise ± (mean"])
    if width == 80:
        assert sum("meta-trained" in line for line in lines) == 1
        assert any(line.startswith("optimizer") and "diverged" in line for line in lines)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_tables_of_a_suite_are_whole(width: int) -> None:
    """One for each task and one of all; on 80 columns they are tables."""
    names = ("Adam", "NAdamW", "fashion-mnist-mlp", "fashion-mnist-mlp, β₁ chosen")
    curves = np.random.default_rng(0).uniform(0.5, 2.0, (4, 3, 20))
    constants = ({"learning_rate": 0.0003}, {}, {"nominal_step": 0.003}, {"nominal_step": 0.0095})
    rows = tuple(
        Row(name, own, curve, 5.0)
        for name, own, curve in zip(names, constants, curves, strict=True)
    )
    tasks = tuple(TaskOutcome(name, 10_000, rows) for name in suite(small=True)[:2])
    found = SuiteEvaluation(3, tasks, {"lm1b-gru-small": "its data are missing"})
    tables = suite_tables(found)
    assert len(tables) == 3
    for task, each in zip(tasks, tables, strict=False):
        lines = printed(each, width)
        assert_whole(lines, width, [*names, f"{task.task}:", "never diverged rate 0.0003 0.0095"])
        if width == 80:
            assert any(line.startswith("optimizer") and "diverged" in line for line in lines)
    assert_whole(
        printed(tables[-1], width), width, [*names[1:], "lm1b-gru-small (its", "of median"]
    )


@pytest.mark.parametrize("arguments", [[], ["--diff"]])
def test_in_a_pipe_names_are_whole(folder: Path, capsys, arguments: list[str]) -> None:
    assert main(["runs", str(folder), *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    cells = [str(folder / name) for name in CONFIGS]
    cells += ["unstable", "stopped", "1/200", "2.0000", "blackbox"]
    cells += ["nominal_step", "precondition", "no", "radius>1.05"] if arguments else []
    assert_whole(lines, WIDE, cells)
    assert "None" not in words(lines)


def in_a_terminal(arguments: list[str], columns: int) -> list[str]:
    """What a command prints in a terminal of so many columns."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    with subprocess.Popen(
        [sys.executable, "-m", "lopt", *arguments],
        stdin=child, stdout=child, stderr=child, env=environment,
    ) as process:  # fmt: skip
        os.close(child)
        parts = []
        try:
            while part := os.read(parent, 4096):
                parts.append(part)
        except OSError:  # Linux reports the end like this
            pass
    os.close(parent)
    assert process.returncode == 0
    return plain(b"".join(parts).decode()).splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("width", [60, 80, 128])
def test_in_a_terminal_names_are_whole(folder: Path, width: int) -> None:
    cells = [str(folder / name) for name in CONFIGS] + ["unstable", "stopped", "1/200"]
    assert_whole(in_a_terminal(["runs", str(folder)], width), width, cells)
    assert_whole(in_a_terminal(["runs", str(folder), "--diff"], width), width, cells)


def test_help_breaks_between_words(monkeypatch) -> None:
    """The names of estimators and files hold hyphens, at which argparse would break a line."""
    monkeypatch.setenv("COLUMNS", "80")
    help_text = build_parser()._subparsers._group_actions[0].choices["train"].format_help()
    lines = help_text.splitlines()
    assert not [line for line in lines if line.endswith("-")]
    assert all(len(line) <= 80 for line in lines if "{" not in line)


@pytest.fixture
def terminal(monkeypatch) -> None:
    """Standard output and error are taken for a terminal of 80 columns."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(display, "LOG_EVERY_SECONDS", 0.01)


def seen(progress: int) -> Progress:
    return Progress(progress, 0.5, 0.0, 1.0, 1000.0, 0)


@pytest.mark.parametrize("live", [False, True])
def test_compiling_is_shown_with_a_clock(live: bool, capsys, monkeypatch, request) -> None:
    """From the first moment until the first outer step, in a terminal and in a log."""
    if live:
        request.getfixturevalue("terminal")
    monkeypatch.setattr(display, "LOG_EVERY_SECONDS", 0.01)
    clock = iter(range(10**6))
    monkeypatch.setattr(display, "seconds", lambda since: f"{next(clock)} s")
    with Display(TrainConfig(pairs=1, outer_steps=2), Path("runs/a")) as shown:
        while next(clock) < 5:
            time.sleep(0.02)
        assert not shown.is_begun
        shown.step(seen(1))
        assert shown.is_begun
        shown.step(seen(2))
    out = plain(capsys.readouterr().out)
    assert "compiling: " in out
    assert "1 antithetic pair, " in " ".join(out.split())
    after = out.rpartition("compiling: ")[2]
    assert "2/2" in after
    assert "meta-loss 0.500" in after
    assert "None" not in out


def test_the_header_breaks_between_words(terminal, capsys) -> None:
    config = replace(TrainConfig(), task="fashion-mnist-8x8-convnet")
    with Display(config, Path("runs/" + "x" * 90)) as shown:
        shown.warn("a warning " * 20)
    lines = plain(capsys.readouterr().out).splitlines()
    header = lines[: next(i for i, line in enumerate(lines) if "first)" in line) + 1]
    assert header[0].startswith("Meta-training star on fashion-mnist-8x8-convnet: 8 antithetic")
    assert_whole(header, 80, ["runs/" + "x" * 90, "(compiling first)"])
    assert [line.count("a warning") for line in lines if "warning" in line] == [8, 8, 4]


def test_work_is_shown_in_a_log(capsys, monkeypatch) -> None:
    """What is done, how much of it, and for how long; on standard error."""
    monkeypatch.setattr(display, "LOG_EVERY_SECONDS", 0.01)
    with Work("evaluate", "reading") as work:
        work.now("compiling and training", 200)
        work.advance(50)
        err = ""
        while "25 %, 0 s" not in err:
            err += capsys.readouterr().err
    assert "lopt evaluate: compiling and training: 25 %, 0 s\n" in err


def test_particles_are_counted_in_words() -> None:
    assert particles(TrainConfig(pairs=1)) == "1 antithetic pair"
    assert particles(TrainConfig(pairs=3, estimator="truncated-backprop")) == "3 particles"


def test_far_extremes_of_p_are_explained() -> None:
    """Only where there are any."""

    def note(largest: float) -> str:
        value = SimpleNamespace(value=largest)
        look = SimpleNamespace(blackbox=SimpleNamespace(smallest=value, largest=value))
        return " ".join(_notes([look]))

    assert "hardly ever have a gradient" in note(-2.1e5)
    assert "gradient" not in note(2.0)
    assert "gradient" not in " ".join(_notes([SimpleNamespace(blackbox=None)]))
