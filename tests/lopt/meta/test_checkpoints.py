"""A checkpoint is believed where it was written, and by versions whose state has the same form."""

import json
import os
import re
from collections.abc import Callable
from itertools import count
from pathlib import Path

import jax
import numpy as np
import pytest

import lopt
from lopt.meta.run import checkpoint
from lopt.meta.run.checkpoint import (
    ABOUT,
    SUMS,
    Damaged,
    checkpoint_path,
    read_checkpoint,
    read_newest,
    remove_checkpoint,
    steps,
    write_checkpoint,
)
from lopt.meta.run.directory import RunDirectory
from lopt.meta.run.versions import versions
from lopt.meta.training.loop import train
from tests.lopt.meta.damage import sign
from tests.lopt.meta.quick import bowl, quick

STATE = {"theta": np.arange(3.0), "mu": np.ones((2, 2), np.float32)}
OTHERS = (
    {"theta": np.arange(3.0), "nu": np.ones((2, 2), np.float32)},
    {**STATE, "seen": np.zeros(())},
    {**STATE, "mu": np.ones((2, 3), np.float32)},
    {**STATE, "mu": np.ones((2, 2), np.float16)},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Checkpoints after 1, 2 and 3 outer steps, whose theta is that number."""
    for step in (1, 2, 3):
        write_checkpoint(tmp_path, step, {**STATE, "theta": np.full(3, float(step))})
    return tmp_path


def swap(folder: Path, a: int, b: int) -> None:
    first, second, between = checkpoint_path(folder, a), checkpoint_path(folder, b), folder / "x"
    first.rename(between)
    second.rename(first)
    between.rename(second)


def say(path: Path, change: Callable[[dict], object]) -> None:
    """Change what a checkpoint says of itself, with sums that fit."""
    about = json.loads((path / ABOUT).read_text())
    change(about)
    (path / ABOUT).write_text(json.dumps(about))
    sign(path)


def made_old(path: Path) -> None:
    """A checkpoint of format 1, which says nothing of itself."""
    (path / ABOUT).unlink()
    sign(path)


def test_swapped_checkpoints_are_told_and_passed_over(folder: Path) -> None:
    swap(folder, 2, 3)
    newest = read_newest(folder, STATE)
    assert newest.outer_step == 1
    np.testing.assert_array_equal(newest.state["theta"], np.ones(3))
    ends = ("it was written after outer step 2.", "it was written after outer step 3.")
    assert [m.endswith(e) for m, e in zip(newest.damaged, ends, strict=True)] == [True, True]


@pytest.mark.parametrize("name", ["00000002", "00000009"])
def test_a_renamed_checkpoint_is_told_and_passed_over(folder: Path, name: str) -> None:
    """To an earlier step or to a later one."""
    remove_checkpoint(folder, 2)
    checkpoint_path(folder, 3).rename(folder / name)
    newest = read_newest(folder, STATE)
    assert newest.outer_step == 1
    assert newest.damaged == (f"{folder / name} is damaged: it was written after outer step 3.",)


def test_a_checkpoint_beyond_the_end_is_told_and_passed_over(folder: Path) -> None:
    for step in (1, 2, 3):
        made_old(checkpoint_path(folder, step))
    newest = read_newest(folder, STATE, ends={"the last outer step in metrics.jsonl": 2})
    assert newest.outer_step == 2
    (message,) = newest.damaged
    assert message.endswith("it is beyond the last outer step in metrics.jsonl, 2.")
    with pytest.raises(ValueError, match=r"no readable checkpoint.*beyond outer_steps, 0.*2 more"):
        read_newest(folder, STATE, ends={"outer_steps": 0})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda about: about.update(format=3), "format 3 is later than 2"),
        (lambda about: about.update(format=True), "format must be a whole number from 1 to 2"),
        (lambda about: about.update(outer_step="3"), "outer_step must be a whole number"),
        (lambda about: about.update(outer_step=True), "outer_step must be a whole number"),
        (lambda about: about.update(versions=[]), "versions must be an object"),
        (lambda about: about.pop("outer_step"), "it lacks 'outer_step'"),
    ],
)
def test_what_a_checkpoint_says_of_itself_is_checked(folder: Path, change, message: str) -> None:
    say(checkpoint_path(folder, 3), change)
    newest = read_newest(folder, STATE)
    assert newest.outer_step == 2
    assert f"{ABOUT} cannot be used: {message}" in newest.damaged[0]


def test_what_a_checkpoint_says_is_covered_by_its_sums(folder: Path) -> None:
    path = checkpoint_path(folder, 3)
    about = json.loads((path / ABOUT).read_text())
    assert (about["outer_step"], about["versions"]) == (3, versions())
    (path / ABOUT).write_text(json.dumps({**about, "outer_step": 4}))
    path.rename(checkpoint_path(folder, 4))
    assert f"{ABOUT} is not what was written" in read_newest(folder, STATE).damaged[0]


@pytest.mark.parametrize("other", OTHERS)
def test_a_state_of_another_form_names_the_versions_that_wrote_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: dict
) -> None:
    here = versions()
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "versions", lambda: {**here, "optax": "0.1.7"})
        write_checkpoint(tmp_path, 1, STATE)
    wrote = f"Written in format 2 by nqm-lopt {here['nqm-lopt']}, jax {here['jax']}, optax 0.1.7;"
    with pytest.raises(ValueError, match=re.escape(wrote)) as raised:
        read_newest(tmp_path, other)
    assert f"optax {here['optax']}." in str(raised.value)
    assert len(str(raised.value)) <= 300
    assert not isinstance(raised.value, Damaged)
    write_checkpoint(tmp_path, 1, STATE)
    with pytest.raises(ValueError, match=r"another configuration: .* the versions are the same"):
        read_newest(tmp_path, other)


def test_an_old_checkpoint_loads_or_names_the_versions_of_its_run(folder: Path) -> None:
    made_old(checkpoint_path(folder, 3))
    newest = read_newest(folder, STATE)
    assert (newest.outer_step, newest.damaged) == (3, ())
    np.testing.assert_array_equal(newest.state["theta"], np.full(3, 3.0))
    with pytest.raises(
        ValueError, match=r"by other versions: \S+ differs. Written in format 1 by optax 0.1.7"
    ):
        read_newest(folder, OTHERS[0], written_by={"optax": "0.1.7"})
    with pytest.raises(ValueError, match="Written in format 1 by unknown versions"):
        read_newest(folder, OTHERS[0])


def test_a_leaf_without_numbers_does_not_matter(tmp_path: Path) -> None:
    """It is not stored, so that a state may gain or lose it."""
    write_checkpoint(tmp_path, 1, {"row": np.ones(3), "column": np.zeros((0,))})
    read = read_checkpoint(tmp_path, 1, {"row": np.zeros(3), "column": None})
    np.testing.assert_array_equal(read["row"], np.ones(3))
    assert read["column"] is None
    write_checkpoint(tmp_path, 2, {"row": np.ones(3), "column": None})
    read = read_checkpoint(tmp_path, 2, {"row": np.zeros(3), "column": np.zeros((0, 4))})
    assert read["column"].shape == (0, 4)


def test_a_checkpoint_that_nobody_may_read_is_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = checkpoint._sum

    def closed(file: Path) -> str:
        if file.is_relative_to(checkpoint_path(folder, 3)):
            raise PermissionError(13, "Permission denied")
        return whole(file)

    monkeypatch.setattr(checkpoint, "_sum", closed)
    newest = read_newest(folder, STATE)
    assert newest.outer_step == 2
    assert newest.damaged[0].endswith("it cannot be read (Permission denied).")


def test_links_out_of_a_checkpoint_are_neither_read_nor_followed(folder: Path, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    write_checkpoint(outside, 3, STATE)
    remove_checkpoint(folder, 3)
    checkpoint_path(folder, 3).symlink_to(checkpoint_path(outside, 3))
    (folder / "00000004.part").symlink_to(outside)
    newest = read_newest(folder, STATE)
    assert newest.outer_step == 2
    assert newest.damaged[0].endswith("it is a link, or holds one.")
    write_checkpoint(folder, 3, STATE)
    write_checkpoint(folder, 4, STATE)
    assert read_newest(folder, STATE).outer_step == 4
    assert read_newest(outside, STATE).outer_step == 3


def test_sums_cannot_name_a_file_elsewhere(folder: Path) -> None:
    path = checkpoint_path(folder, 3)
    with (path / SUMS).open("a") as file:
        file.write("0" * 64 + "  ../00000002/_METADATA\n")
    assert "../00000002/_METADATA is missing" in read_newest(folder, STATE).damaged[0]


class Watch:
    """An observer that keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def step(self, progress: object) -> None:
        del progress

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """Where an uninterrupted run ends."""
    run = RunDirectory(tmp_path_factory.mktemp("quick") / "whole")
    train(quick(), run, task=bowl())
    return theta(run)


@pytest.fixture
def cut(tmp_path: Path) -> RunDirectory:
    """A run that was stopped after outer step 8, with checkpoints at 3, 6 and 8."""
    run, counter = RunDirectory(tmp_path / "run"), count(1)
    train(quick(), run, task=bowl(), stop=lambda: next(counter) == 8)
    assert steps(run.checkpoints) == [3, 6, 8]
    return run


def theta(run: RunDirectory) -> list[np.ndarray]:
    return [np.asarray(x) for x in jax.tree.leaves(lopt.load(run.result).meta_parameters)]


def resumed(run: RunDirectory) -> list[str]:
    """Go on with the run to its end; what was told."""
    watch = Watch()
    assert train(quick(), run, task=bowl(), resume=True, observer=watch) == 12
    assert all(len(line) <= 300 and "\n" not in line for line in watch.warnings)
    return watch.warnings


def test_a_run_with_swapped_checkpoints_ends_where_it_would_have(cut: RunDirectory, whole) -> None:
    swap(cut.checkpoints, 6, 8)
    warnings = resumed(cut)
    assert len(warnings) == 2
    assert all("Going on from outer step 3" in line for line in warnings)
    for a, b in zip(theta(cut), whole, strict=True):
        np.testing.assert_array_equal(a, b)
    # What was not believed is kept.
    kept = sorted(p.name for p in cut.checkpoints.glob("*.aside-*"))
    assert kept == ["00000006.aside-1", "00000008.aside-1"]
    (cut.checkpoints / kept[0]).rename(checkpoint_path(cut.checkpoints, 8))
    about = json.loads((checkpoint_path(cut.checkpoints, 8) / ABOUT).read_text())
    assert about["outer_step"] == 8


def test_a_run_with_a_checkpoint_from_the_future_ends_where_it_would_have(
    cut: RunDirectory, whole
) -> None:
    """Also where the checkpoint is one of format 1, which cannot say so itself."""
    path = checkpoint_path(cut.checkpoints, 3).rename(checkpoint_path(cut.checkpoints, 11))
    made_old(path)
    (warning,) = resumed(cut)
    assert "it is beyond the last outer step in metrics.jsonl, 8. Going on from" in warning
    for a, b in zip(theta(cut), whole, strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_metrics_a_run_goes_on_and_says_what_is_lost(cut: RunDirectory, whole) -> None:
    cut.metrics_file.unlink()
    (warning,) = resumed(cut)
    assert "holds no line: what was measured before is lost" in warning
    for a, b in zip(theta(cut), whole, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_folder_of_checkpoints_that_is_a_link_is_refused(cut: RunDirectory, tmp_path) -> None:
    cut.checkpoints.rename(tmp_path / "elsewhere")
    cut.checkpoints.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="is a link, and a run writes in its own directory"):
        train(quick(), cut, task=bowl(), resume=True)
    assert steps(tmp_path / "elsewhere") == [3, 6, 8]


def test_a_lock_that_is_a_link_is_not_written_through(cut: RunDirectory, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("not to be touched")
    cut.lock_file.unlink()
    cut.lock_file.symlink_to(outside)
    with pytest.raises(ValueError, match="cannot be written"):
        train(quick(), cut, task=bowl(), resume=True)
    assert outside.read_text() == "not to be touched"
    cut.lock_file.unlink()
    os.mkfifo(cut.lock_file)
    assert cut.writer() is None


def test_checkpoints_can_be_imported_from_their_former_path() -> None:
    from lopt.meta.checkpoint import read_checkpoint, write_checkpoint

    assert read_checkpoint is checkpoint.read_checkpoint
    assert write_checkpoint is checkpoint.write_checkpoint
