"""Whatever a run directory holds, a command ends well or says in a line what is wrong."""

import os
import random
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from lopt.cli import main
from lopt.meta.evaluation.comparison import Evaluation
from lopt.meta.run.checkpoint import KEEP
from lopt.meta.run.directory import RunDirectory
from lopt.meta.training import loop
from lopt.meta.training.trainer import Trainer
from lopt.meta.training.watch import Watch
from tests.lopt.meta.damage import damage

NOBODY = 65534
COUNT = 20 if settings().max_examples <= 100 else 1000
LONGEST = 300
TINY = [
    *("--task", "quadratic", "--optimizer", "linear", "--estimator", "exact"),
    *("--horizon", "5", "--truncation", "5", "--pairs", "1", "--nominal-step", "0.1"),
    *("--outer-steps", "6", "--checkpoint-every", "1", "--monitor-every", "2"),
]
READERS = {"runs": [], "monitor": [], "evaluate": ["--steps", "5"], "inspect": ["--steps", "0"]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A complete run, and one that was cut after its fifth outer step."""
    folder = tmp_path_factory.mktemp("runs")
    assert main(["train", "--run", str(folder / "complete"), *TINY]) == 0
    shutil.copytree(folder / "complete", folder / "cut")
    (folder / "cut" / "meta_parameters.npz").unlink()
    shutil.rmtree(folder / "cut" / "checkpoints" / "00000006")
    RunDirectory(folder / "cut").cut_metrics(6)
    return [folder / "complete", folder / "cut"]


@pytest.fixture
def quick_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the commands do once they have read a run is compiled once, or left out."""
    made = lru_cache(lambda config: Trainer(config))
    monkeypatch.setattr(loop, "Trainer", lambda config, task: made(config))
    watches = lru_cache(lambda config: Watch(config, config.make_task()))
    monkeypatch.setattr("lopt.cli.train.monitor", lambda config, tasks: watches(config))
    curves = {"linear": np.ones((1, 5), np.float32)}
    found = Evaluation("quadratic", 5, curves, float("inf"), {})
    monkeypatch.setattr("lopt.cli.evaluate.evaluate", lambda *_: found)
    monkeypatch.setattr("lopt.cli.inspect.look", lambda *_: [])
    monkeypatch.setattr("lopt.cli.inspect.table", lambda *_: "looked")


def contents(folder: Path) -> dict[str, tuple[int, object]]:
    """What lies in a folder, links not followed: kind and bytes by name."""
    found: dict[str, tuple[int, object]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        held: object = None
        if path.is_symlink():
            held = os.readlink(path)
        elif path.is_file():
            with suppress(PermissionError):
                held = path.read_bytes()
        found[path.relative_to(folder).as_posix()] = (status.st_mode, held)
    return found


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Root, whom no permission stops, becomes nobody, to whom the folder belongs."""
    root = os.geteuid() == 0
    if root:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        try:
            os.seteuid(NOBODY)
        except OSError:
            root = False
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def outcome(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> int:
    """The exit code; a refusal is the last of some short lines."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert "Traceback" not in captured.err + captured.out
    assert all(len(line) <= LONGEST for line in lines), lines
    if code:
        assert lines[-1].startswith(f"lopt {arguments[0]}: ")
    return code


def attempt(
    run: Path,
    outside: Path,
    capsys: pytest.CaptureFixture[str],
    user: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Counter[tuple[str, int]]:
    """Every command on the run; how often each ended with which code."""
    seen: Counter[tuple[str, int]] = Counter()
    before, around = contents(run), contents(outside)
    for command, flags in READERS.items():
        begun = time.monotonic()
        with user():
            code = outcome([command, str(run), *flags], capsys)
        seen[command, code] += 1
        assert code in (0, 2), command
        assert time.monotonic() - begun < 20, command
        if "monitor.png" not in before:
            (run / "monitor.png").unlink(missing_ok=True)
        assert contents(run) == before, command
    with user():
        code = outcome(["train", "--resume", str(run)], capsys)
    seen["train", code] += 1
    assert code in (0, 1, 2)
    assert contents(outside) == around
    assert_nothing_lost(before, contents(run), code)
    return seen


def assert_nothing_lost(before: dict, after: dict, code: int) -> None:
    """Only what a resumed run does again is gone: metrics, and checkpoints beyond the newest."""
    kept = {content for _, content in after.values()}
    for name, (_, content) in before.items():
        if name == "lock" or ".part" in name or content is None:
            continue
        if code != 0 or not (name.startswith("checkpoints/") or name == "metrics.jsonl"):
            assert content in kept, name
    asides = {name.split("/")[1] for name in after if name.startswith("checkpoints/")}
    assert len([n for n in asides if n.isdigit() and len(n) == 8]) <= KEEP + 1


# Orbax leaves futures of its own behind where a checkpoint cannot be read.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_damaged_run_directories(runs, quick_work, capsys, monkeypatch) -> None:
    """Each command on each of them: no traceback, the right exit code, nothing outside written."""
    Figure = pytest.importorskip("matplotlib.figure").Figure
    seen, failed = Counter[tuple[str, int]](), list[str]()
    with tempfile.TemporaryDirectory() as name:  # what is imported late, is imported now
        for run in runs:
            shutil.copytree(run, Path(name) / run.name)
            sound = attempt(Path(name) / run.name, Path(name) / run.name / "initial.npz", capsys)
            assert sound["train", 0] == sound["monitor", 0] == sound["runs", 0] == 1
    for number in range(COUNT):
        draw = random.Random(number)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o755)
            run, outside = folder / "run", folder / "outside"
            shutil.copytree(draw.choice(runs), run)
            outside.mkdir()
            (outside / "file").write_text("not to be touched")
            done = [damage(run, outside, draw)]
            if draw.random() < 0.25:  # and once more, where that is possible
                with suppress(OSError, ValueError, IndexError):
                    done.append(damage(run, outside, draw))
            # The user that no file of Python belongs to cannot import, so only where it matters.
            closed = any("_forbid" in what for what in done)
            user = partial(as_nobody, folder) if closed else nullcontext
            try:
                with monkeypatch.context() as patch:
                    if not any("metrics" in what for what in done):  # the picture is as ever
                        patch.setattr(Figure, "savefig", lambda _, out, **kw: out.write_bytes(b""))
                        patch.setattr("lopt.cli.monitor.spectra_over_time", lambda _: Figure())
                    seen += attempt(run, outside, capsys, user)
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                failed.append(f"directory {number}, {done}: {error!r:.300} in {where}")
    with capsys.disabled():
        print(f"\n{COUNT} damaged run directories:", dict(sorted(seen.items())))
    assert failed == []
    assert all(seen[command, 0] and seen[command, 2] for command in (*READERS, "train"))
