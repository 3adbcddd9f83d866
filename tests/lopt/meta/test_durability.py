"""What a run survives: kills at any moment, damaged checkpoints, a full disk, a second process,
and meta-gradients that are not finite.
"""

import json
import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

import lopt
from lopt.meta.run.checkpoint import (
    Damaged,
    checkpoint_path,
    read_checkpoint,
    read_newest,
    remove_checkpoint,
    steps,
    write_checkpoint,
)
from lopt.meta.run.directory import RunDirectory, RunError
from lopt.meta.training.loop import train
from lopt.meta.training.nonfinite import MOST_IN_A_ROW
from lopt.meta.training.processes import host_copy
from lopt.meta.training.trainer import Trainer
from tests.lopt.meta.quick import Quick, bowl, quick

ROOT = Path(__file__).parents[3]
NOBODY = 65534
STATE = {
    "theta": [np.arange(6.0, dtype=np.float32).reshape(2, 3), np.zeros((0,), np.float32)],
    "inner/step": np.int32(4),
    "finite": np.array([True, False]),
}


def theta(run: RunDirectory) -> list[np.ndarray]:
    return [np.asarray(x) for x in jax.tree.leaves(lopt.load(run.result).meta_parameters)]


def metrics(run: RunDirectory) -> list[dict]:
    times = {"inner_steps_per_second"}
    return [{k: v for k, v in m.items() if k not in times} for m in run.read_metrics()]


def assert_same(run: RunDirectory, whole: RunDirectory) -> None:
    for a, b in zip(theta(run), theta(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    assert metrics(run) == metrics(whole)


def events(run: RunDirectory) -> dict[str, list[tuple[int, float]]]:
    """The scalars that TensorBoard shows: (outer step, value) by tag, the purged ones left out."""
    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(run.path.glob("events.out.tfevents.*")):
        data, at = path.read_bytes(), 0
        while at + 12 <= len(data):
            (length,) = struct.unpack("<Q", data[at : at + 8])
            if at + 16 + length > len(data):
                break
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length
            if event.session_log.status == SessionLog.START:
                found = {t: [p for p in v if p[0] < event.step] for t, v in found.items()}
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


class Watch:
    """An observer that keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def step(self, progress: Any) -> None:
        del progress

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """An uninterrupted run."""
    run = RunDirectory(tmp_path_factory.mktemp("quick") / "whole")
    assert train(quick(), run, task=bowl()) == 12
    return run


def cut(run: RunDirectory, after: int) -> Quick:
    """A run that is stopped after so many outer steps, as by a signal."""
    counter = count(1)
    assert train(quick(), run, task=bowl(), stop=lambda: next(counter) == after) == after
    return quick()


@pytest.mark.slow
@pytest.mark.parametrize("lives", [4, pytest.param(20, marks=pytest.mark.thorough)])
def test_killed_many_times_and_resumed_is_bit_for_bit(tmp_path: Path, lives: int) -> None:
    """Moments drawn at random, and moments inside every function that writes."""
    # Every life compiles the same, so that even what compiles quickly is kept.
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.lopt.meta.killed", str(tmp_path), str(lives)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | cache,
        check=True,
        timeout=600,
    )
    ends = [line.split() for line in done.stdout.splitlines()]
    assert ends[0] == ["whole", "0"], done.stderr
    assert ends[-1] == ["last", "0"], done.stderr
    kills = ends[1:-1]
    assert [kind for kind, _ in kills] == ["timed", "aimed"] * (lives // 2)
    assert {status for _, status in kills} == {str(-signal.SIGKILL)}, done.stderr
    run, undisturbed = RunDirectory(tmp_path / "killed"), RunDirectory(tmp_path / "whole")
    assert_same(run, undisturbed)
    lines = metrics(run)
    assert [m["outer_step"] for m in lines] == list(range(1, len(lines) + 1))
    shown = events(run)["meta_loss"]
    assert [step for step, _ in shown] == [m["outer_step"] for m in lines]
    np.testing.assert_allclose([v for _, v in shown], [m["meta_loss"] for m in lines], rtol=1e-6)
    assert not list(run.checkpoints.glob("*.part*"))


def test_checkpoints_give_back_what_they_were_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder that is named from where the process stands, as on a command line."""
    monkeypatch.chdir(tmp_path)
    folder = Path("run/checkpoints")
    for step in range(5):
        write_checkpoint(folder, step, STATE)
    assert steps(folder) == [2, 3, 4]
    newest = read_newest(folder, STATE)
    assert (newest.outer_step, newest.damaged) == (4, ())
    for a, b in zip(jax.tree.leaves(newest.state), jax.tree.leaves(STATE), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype
    for other in ({**STATE, "finite": np.zeros(3, bool)}, {**STATE, "more": np.zeros(1)}):
        with pytest.raises(ValueError, match="written with another configuration"):
            read_checkpoint(folder, 4, other)


def test_a_host_copy_does_not_change_with_the_device() -> None:
    x = np.zeros(3)
    copied = host_copy({"x": x})
    x += 1
    np.testing.assert_array_equal(copied["x"], np.zeros(3))


def flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x01
    file.write_bytes(data)


def truncated(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


DAMAGE = {"flipped": flipped, "truncated": truncated, "deleted": Path.unlink}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_to_any_file_is_noticed(tmp_path: Path, damage: str) -> None:
    """One bit, half, or all of every single file; the one before is read instead."""
    write_checkpoint(tmp_path, 1, STATE)
    write_checkpoint(tmp_path, 2, STATE)
    path = checkpoint_path(tmp_path, 2)
    files = [p for p in path.rglob("*") if p.is_file() and p.stat().st_size]
    assert len(files) > 5
    for file in files:
        before = file.read_bytes()
        DAMAGE[damage](file)
        newest = read_newest(tmp_path, STATE)
        assert newest.outer_step == 1, file
        assert len(newest.damaged) == 1
        assert newest.damaged[0].startswith(f"{path} is damaged: ")
        file.write_bytes(before)
    assert read_newest(tmp_path, STATE).outer_step == 2


def test_nothing_readable_is_one_clear_error(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, 1, STATE)
    (checkpoint_path(tmp_path, 1) / "SHA256SUMS").write_text("")
    with pytest.raises(Damaged, match="SHA256SUMS does not list"):
        read_checkpoint(tmp_path, 1, STATE)
    with pytest.raises(
        ValueError, match="has no readable checkpoint; start again in another directory"
    ):
        read_newest(tmp_path, STATE)


def test_a_damaged_newest_checkpoint_costs_one_interval(tmp_path: Path, whole) -> None:
    run, watch = RunDirectory(tmp_path / "run"), Watch()
    config = cut(run, 8)
    assert steps(run.checkpoints) == [3, 6, 8]
    flipped(max(checkpoint_path(run.checkpoints, 8).rglob("*"), key=lambda p: p.stat().st_size))
    train(config, run, task=bowl(), resume=True, observer=watch)
    assert len(watch.warnings) == 1
    assert "00000008 is damaged" in watch.warnings[0]
    assert "Going on from outer step 6" in watch.warnings[0]
    assert_same(run, whole)


@pytest.mark.slow
def test_on_other_devices_it_goes_on_as_well(tmp_path: Path, whole) -> None:
    """Cut on one device and finished on two: the same up to the rounding of a mean."""
    run = RunDirectory(tmp_path / "run")
    cut(run, 5)
    code = (
        "import sys; from lopt.meta import RunDirectory, train; "
        "from tests.lopt.meta.quick import bowl, quick; "
        "train(quick(devices=2), RunDirectory(sys.argv[1]), task=bowl(), resume=True)"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(run.path)],
        check=True,
        cwd=ROOT,
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "2"},
    )
    for a, b in zip(theta(run), theta(whole), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert len(metrics(run)) == 12


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """As on a full disk, writing beyond `size` fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_message_and_leaves_the_last_checkpoint(tmp_path: Path, whole) -> None:
    run, counter = RunDirectory(tmp_path / "run"), count(1)
    limits: list[Any] = []

    def fill_up() -> bool:
        if next(counter) == 5:
            while steps(run.checkpoints)[-1] < 3:  # another thread writes it
                time.sleep(0.01)
            limits.append(no_file_larger_than(2**15))
            limits[0].__enter__()
        return False

    message = r"cannot be written \(File too large\)\. The last good checkpoint is after outer step"
    try:
        with pytest.raises(RunError, match=message + " 3"):
            train(quick(), run, task=bowl(), stop=fill_up)
    finally:
        limits[0].__exit__(None, None, None)
    assert steps(run.checkpoints) == [0, 3]
    assert not list(run.checkpoints.glob("*.part*"))
    assert train(quick(), run, task=bowl(), resume=True) == 12
    assert_same(run, whole)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody may write in `folder`; root, whom that does not stop, becomes nobody."""
    os.chmod(folder, 0o555)
    root = os.geteuid() == 0
    if root:
        try:
            os.seteuid(NOBODY)
        except OSError:
            pytest.skip("root may write everywhere and cannot become another user here")
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        os.chmod(folder, 0o755)


def test_a_read_only_directory_is_one_message(whole) -> None:
    del whole  # only so that what it compiled is there
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        run = RunDirectory(Path(name) / "run")
        config = cut(run, 3)
        with (
            read_only(run.path),
            pytest.raises(ValueError, match=r"cannot be written \(Permission denied\)"),
        ):
            train(config, run, task=bowl(), resume=True)
        with read_only(run.checkpoints), pytest.raises(PermissionError):
            write_checkpoint(run.checkpoints, 6, STATE)
        assert steps(run.checkpoints) == [0, 3]
        template = Trainer(config, bowl()).init()
        assert read_newest(run.checkpoints, template).outer_step == 3


def test_a_second_process_is_refused_by_name(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    with run.locked():
        assert run.writer() == os.getpid()
        expected = f"{run.path} is being written by process {os.getpid()}"
        with pytest.raises(ValueError, match=expected):
            train(quick(), RunDirectory(run.path), task=bowl())
    assert run.writer() is None


def test_ten_meta_gradients_that_are_not_finite_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four good outer steps, then only NaN: nothing is applied, and the fourth is what is left."""
    run = RunDirectory(tmp_path / "run")
    cut(run, 4)
    config = quick(outer_steps=40)
    template = Trainer(config, bowl()).init()
    before = read_newest(run.checkpoints, template)
    step = Trainer.step

    def told(self: Trainer, state: Any, outer_step: int) -> Any:
        state, seen = step(self, state, outer_step)
        return state, {**seen, "nonfinite_step": np.array([[-1, 5], [2, -1]], np.int32)}

    monkeypatch.setattr(Trainer, "step", told)
    with pytest.raises(RunError) as stopped:
        train(config, run, task=bowl(nan_above=-1.0), resume=True)
    text = str(stopped.value)
    assert "10 meta-gradients in a row were not finite (outer steps 5 to 14)" in text
    assert "pair 1 (sign +) at inner step 2 of its episode; 2 of 4 particles" in text
    assert "monitor's last verdict: none yet" in text
    assert str(checkpoint_path(run.checkpoints, 4)) in text
    assert f"lopt train --resume {run.path}" in text
    assert [m["skipped"] for m in run.read_metrics()] == [0] * 4 + list(range(1, 11))
    assert steps(run.checkpoints)[-1] == 4
    after = read_newest(run.checkpoints, template)
    for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(before), strict=True):
        np.testing.assert_array_equal(a, b)
    # In the metrics there is null where JSON has no number, and every line is strict JSON.
    for line in run.metrics_file.read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


def test_a_row_that_a_resume_cuts_is_still_one_row(tmp_path: Path) -> None:
    """Six bad steps, a stop, four more: the run ends where ten in a row are complete."""
    run, counter = RunDirectory(tmp_path / "run"), count(1)
    config, bad = quick(outer_steps=40), bowl(nan_above=-1.0)
    assert train(config, run, task=bad, stop=lambda: next(counter) == 6) == 6
    with pytest.raises(RunError, match=r"outer steps 1 to 10"):
        train(config, run, task=bad, resume=True)
    assert len(run.read_metrics()) == MOST_IN_A_ROW


def test_fewer_than_ten_are_skipped_and_the_run_goes_on(tmp_path: Path) -> None:
    """The particles that became NaN start over at the horizon; theta stood still meanwhile."""
    run, counter = RunDirectory(tmp_path / "run"), count(1)
    config = quick(outer_steps=20)
    train(config, run, task=bowl(nan_above=-1.0), stop=lambda: next(counter) == 5)
    saved = read_newest(run.checkpoints, Trainer(config, bowl()).init()).state
    initial = lopt.load(run.initial).meta_parameters
    for a, b in zip(jax.tree.leaves(saved.theta), jax.tree.leaves(initial), strict=True):
        np.testing.assert_array_equal(a, b)
    assert train(config, run, task=bowl(), resume=True) == 20
    lines = run.read_metrics()
    assert 5 <= lines[-1]["skipped"] < 10
    assert lines[-1]["skipped"] == lines[-5]["skipped"]
    assert any(
        not np.array_equal(a, b) for a, b in zip(theta(run), jax.tree.leaves(initial), strict=True)
    )


def test_tensorboard_shows_the_metrics(whole: RunDirectory) -> None:
    shown, lines = events(whole), whole.read_metrics()
    assert set(shown) == set(lines[0]) - {"outer_step"}
    for tag, points in shown.items():
        assert [step for step, _ in points] == list(range(1, 13))
        np.testing.assert_allclose([v for _, v in points], [m[tag] for m in lines], rtol=1e-6)


class Measured:
    """What a monitor measures: one radius."""

    def text(self) -> str:
        return "stable"

    def to_json(self) -> dict[str, Any]:
        point = {"inner_step": 5, "radius": 0.5, "growth": None, "verdict": "stable"}
        return {"verdict": "stable", "points": [point]}


def test_measurements_are_scalars_too(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    config = quick(outer_steps=3, monitor_every=2)
    train(config, run, task=bowl(), monitor=lambda *_: Measured())
    tag = "monitor/point_1/radius"
    assert events(run)[tag] == [(0, 0.5), (2, 0.5), (3, 0.5)]
    assert [m["outer_step"] for m in run.read_metrics() if "monitor" in m] == [0, 2, 3]


def test_a_run_cut_before_its_first_checkpoint_measures_once(tmp_path: Path) -> None:
    """It begins again from outer step 0, and shows that measurement once."""
    run = RunDirectory(tmp_path / "run")
    config = quick(outer_steps=3, monitor_every=2)
    train(config, run, task=bowl(), monitor=lambda *_: Measured(), stop=lambda: True)
    remove_checkpoint(run.checkpoints, 1)
    train(config, run, task=bowl(), monitor=lambda *_: Measured(), resume=True)
    assert [m["outer_step"] for m in run.read_metrics() if "monitor" in m] == [0, 2, 3]
    assert [step for step, _ in events(run)["monitor/point_1/radius"]] == [0, 2, 3]
