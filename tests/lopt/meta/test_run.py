"""A run resumes bit for bit wherever it was cut, and says what is wrong with a bad directory."""

import json
from dataclasses import replace
from itertools import count
from pathlib import Path

import jax
import numpy as np
import pytest

import lopt
from lopt.meta.config import TrainConfig
from lopt.meta.run.checkpoint import (
    remove_checkpoint,
    steps,
)
from lopt.meta.run.directory import RunDirectory
from lopt.meta.training.loop import train

TIMES = {"inner_steps_per_second"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny: TrainConfig) -> RunDirectory:
    """An uninterrupted run."""
    run = RunDirectory(tmp_path_factory.mktemp("whole") / "run")
    assert train(tiny, run) == tiny.outer_steps
    return run


def theta(run: RunDirectory) -> list[np.ndarray]:
    return [np.asarray(x) for x in jax.tree.leaves(lopt.load(run.result).meta_parameters)]


def metrics(run: RunDirectory) -> list[dict]:
    return [{k: v for k, v in m.items() if k not in TIMES} for m in run.read_metrics()]


def cut(tiny: TrainConfig, run: RunDirectory, after: int) -> None:
    """Stop after some outer steps, as a signal would."""
    counter = count(1)
    done = train(tiny, run, stop=lambda: next(counter) == after)
    assert done == after
    assert not run.result.exists()


@pytest.mark.parametrize(
    "after",
    [1, pytest.param(3, marks=pytest.mark.thorough), pytest.param(7, marks=pytest.mark.thorough)],
)
def test_resume_is_bit_for_bit(tmp_path: Path, tiny: TrainConfig, whole, after: int) -> None:
    run = RunDirectory(tmp_path / "run")
    cut(tiny, run, after)
    assert train(run.read_config(), run, resume=True) == tiny.outer_steps
    for a, b in zip(theta(run), theta(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    assert metrics(run) == metrics(whole)


def test_a_killed_run_loses_what_came_after_its_checkpoint_and_does_it_again(
    tmp_path: Path, tiny: TrainConfig, whole
) -> None:
    """Metrics run ahead of the newest checkpoint, the last line is torn, a file is half written."""
    run = RunDirectory(tmp_path / "run")
    cut(tiny, run, 7)
    remove_checkpoint(run.checkpoints, 7)
    (run.checkpoints / "00000009.part").mkdir()
    (run.checkpoints / "00000009.part" / "half").write_bytes(b"half")
    with run.metrics_file.open("a") as file:
        file.write('{"outer_step": 8, "meta_')
    assert train(run.read_config(), run, resume=True) == tiny.outer_steps
    for a, b in zip(theta(run), theta(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    assert metrics(run) == metrics(whole)


def test_what_a_run_directory_holds(whole: RunDirectory, tiny: TrainConfig) -> None:
    assert whole.read_config() == replace(tiny, devices=1)
    document = json.loads(whole.config_file.read_text())
    assert {"jax", "optax", "numpy"} <= set(document["versions"])
    assert [m["outer_step"] for m in whole.read_metrics()] == list(range(1, 13))
    assert all(np.isfinite(m["meta_loss"]) and m["skipped"] == 0 for m in whole.read_metrics())
    assert steps(whole.checkpoints) == [6, 9, 12]
    saved = lopt.load(whole.result)
    assert saved.config == tiny.optimizer_config
    assert saved.origin["outer_steps"] == 12
    initial = lopt.load(whole.initial)
    moved = zip(
        jax.tree.leaves(initial.meta_parameters),
        jax.tree.leaves(saved.meta_parameters),
        strict=True,
    )
    assert any(not np.array_equal(a, b) for a, b in moved)


def test_another_seed_is_another_run(tmp_path: Path, tiny: TrainConfig, whole) -> None:
    run = RunDirectory(tmp_path / "run")
    train(replace(tiny, seed=1, outer_steps=1), run)
    assert metrics(run)[0]["meta_loss"] != metrics(whole)[0]["meta_loss"]


def test_one_run_a_directory(whole: RunDirectory, tiny: TrainConfig) -> None:
    with pytest.raises(ValueError, match=r"holds a run already\. Continue it with --resume"):
        train(tiny, whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "mnist"}, "no task is called 'mnist'; the nearest is mnist-mlp"),
        ({"sigma": float("nan")}, "sigma must be positive and finite; it is nan"),
        ({"pairs": 3, "devices": 2}, "pairs must be a multiple of devices"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"final_learning_rate": 2.0}, "final_learning_rate must be in"),
        ({"horizon": 0}, "horizon must be at least 1"),
    ],
)
def test_bad_configuration(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(**change)


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'horizn' is no field.* Did you mean 'horizon'"):
        TrainConfig.from_mapping({"horizn": 5})
