"""Every command either runs or says in one line what is wrong with its arguments."""

import json
import random
import shutil
import tempfile
from collections import Counter
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import lopt
from lopt.cli import main
from lopt.meta.config import TrainConfig
from lopt.meta.evaluation.comparison import Evaluation
from lopt.meta.evaluation.outcome import Row, TaskOutcome
from lopt.tasks.data import datasets
from lopt.tasks.registry import make_task
from tests.lopt.hostile import COUNT, assert_one_line

NUMBERS = (
    *("0", "1", "-1", "-1e-3", "1e-3", "1e300", "nan", "-inf", "1e999", "0x10", "1_0", "٣", "1.5"),
    *("9" * 30, "9" * 5000, "-" + "9" * 40, "", " ", "4294967296", "2147483648", "1e", "--"),
)
WORDS = (
    *(
        "",
        "x",
        "star",
        "linear",
        "quadratic",
        "fashion-mnist-8x8-mlp",
        "cifar10-0x0-convnet",
        "mnist",
    ),
    *(
        "fashion-mnist-mlp",
        "none",
        "Adam",
        "x" * 5000,
        "a\nb",
        "\x1b[31m",
        "ü",
        "[red]",
        "-x",
        "--",
    ),
    *("radius>1.05 for 3: stop", "radius>nan: stop", "radius>1 for " + "9" * 5000 + ": log", "%s"),
    *("cifar10-" + "9" * 4400 + "x3-mlp", "pes", "exact", "log-uniform", "constant", "paper-pes"),
)
URLS = (
    *("file:///etc/passwd", "ftp://x", "http://", "http://[::1", "http://127.0.0.1:99999/"),
    *("http://127.0.0.1:1/", "http://127.0.0.1:1/\n", "http://ü.invalid:1x/", "x" * 4000),
)
FLAGS = {
    "train": ["--preset", "--config", "--run", "--resume", "--show-config", "--distributed"]
    + ["--processes", "--process", "--coordinator"]
    + ["--" + field.name.replace("_", "-") for field in fields(TrainConfig)],
    "runs": ["--diff", "--json"],
    "evaluate": [
        *("--task", "--seeds", "--horizon", "--horizons", "--steps", "--search", "--json"),
        *("--suite", "--small", "--tasks", "--rates", "--draws", "--tune", "--results"),
    ],
    "convert": [],
    "data": ["--to", "--url"],
    "inspect": ["--task", "--steps", "--examples", "--vectors", "--seed", "--json"],
    "monitor": ["--out"],
    "shipped": [],
}
THETA = lopt.init_meta_parameters(jax.random.key(0), lopt.HYPERPARAM)
SWITCHES = {"--show-config", "--distributed", "--diff", "--small", "--tune"}


def places(rng: random.Random, folder: Path) -> str:
    """A path where something is, or nothing."""
    return rng.choice(
        [
            *(str(folder), str(folder / "none"), str(folder / "saved.npz"), str(folder / "c.json")),
            *(
                str(folder / "none" / "a.npz"),
                str(folder / "a.npz"),
                "/dev/null",
                "/dev/null/x",
                ".",
            ),
            *(str(folder / ("x" * 300)), "\0", "\udc80", "fashion-mnist-mlp", str(folder / "run")),
        ]
    )


def word(rng: random.Random, folder: Path) -> str:
    """An argument of some kind."""
    kind = rng.randrange(4)
    return places(rng, folder) if kind == 0 else rng.choice(NUMBERS if kind < 3 else WORDS)


def command_line(rng: random.Random, command: str, folder: Path) -> list[str]:
    """A command with arguments that may or may not fit."""
    words = [command]
    if command == "data":
        words.append(rng.choice(["list", "fetch", "fetch", "fetch", "x"]))
    most = {"train": 0, "runs": 2, "convert": 2, "data": 1}.get(command, 1)
    count = rng.randint(0, most + 1) if rng.random() < 0.2 else most
    for _ in range(count):
        words.append(places(rng, folder) if rng.random() < 0.6 else word(rng, folder))
    if command == "train" and rng.random() < 0.7:
        words.append("--show-config")
    for flag in rng.sample(FLAGS[command], min(len(FLAGS[command]), rng.randrange(4))):
        words.append(flag)
        if flag == "--url":
            words.append(rng.choice(URLS))
        elif flag not in SWITCHES or rng.random() < 0.05:
            words += [word(rng, folder) for _ in range(rng.choice([1, 1, 1, 1, 0, 2]))]
    return words


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only what comes before the work of a command, and no data but the embedded ones."""
    jax.devices()
    monkeypatch.setattr("lopt.cli.train.train", lambda config, *_, **__: config.outer_steps)
    monkeypatch.setattr("lopt.cli.train.monitor", lambda *_: SimpleNamespace(measure=None))
    curves = {"linear": np.ones((1, 5), np.float32)}
    found = Evaluation("quadratic", 5, curves, float("inf"), {})
    monkeypatch.setattr("lopt.cli.evaluate.evaluate", lambda *_: found)
    adam = Row("Adam", {}, np.ones((1, 5)), 2.0)
    study = "lopt.meta.evaluation.suite._Study"
    monkeypatch.setattr(f"{study}.complete", lambda *_: None)
    monkeypatch.setattr(f"{study}.outcome", lambda _: TaskOutcome("quadratic", 5, (adam,)))
    monkeypatch.setattr("lopt.cli.inspect.look", lambda *_: [])
    monkeypatch.setattr("lopt.cli.inspect.table", lambda *_: "looked")
    once = cache(make_task)
    for module in ("lopt.cli.inspect", "lopt.meta.evaluation.comparison", "lopt.meta.config"):
        monkeypatch.setattr(f"{module}.make_task", once)
    for name in ("LOPT_DATA_DIR", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    monkeypatch.setattr(datasets, "DEBIAN_FASHION_MNIST", tmp_path / "nothing")


@pytest.mark.parametrize("command", FLAGS)
def test_every_command_line_ends_well_or_in_one_line(
    command: str, no_work: None, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: Counter[int] = Counter()
    for number in range(COUNT):
        rng = random.Random(f"{command} {number}")
        folder = Path(tempfile.mkdtemp())
        lopt.save(folder / "saved.npz", THETA, lopt.HYPERPARAM)
        (folder / "c.json").write_text(json.dumps({"horizon": 7}))
        words = command_line(rng, command, folder)
        try:
            code = outcome(words, capsys)
        except BaseException as error:
            error.add_note(f"{number}: {words!r}"[:2000])
            raise
        finally:
            shutil.rmtree(folder)
        seen[code] += 1
    print(f"lopt {command}: {sum(seen.values())} command lines, {dict(sorted(seen.items()))}")
    assert set(seen) <= {0, 2}
    assert seen[2] > 0


def outcome(words: list[str], capsys: pytest.CaptureFixture[str]) -> int:
    """The exit code; bad input is one line on standard error and nothing else."""
    try:
        code = main(words)
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    if code:
        lines = captured.err.split("\n")
        assert lines[-1] == ""
        assert len(lines) == 2, lines
        assert_one_line(lines[0])
    return code
