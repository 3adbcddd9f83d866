"""What a run does when the monitor's numbers call for it."""

import json
from pathlib import Path
from typing import Any

import optax
import pytest

from lopt.meta.run.checkpoint import read_newest, steps
from lopt.meta.run.directory import RunDirectory
from lopt.meta.training.loop import train
from lopt.meta.training.trainer import Trainer
from tests.lopt.meta.quick import bowl, quick


class Radii:
    """A monitor that sees the given radii, one a measurement."""

    def __init__(self, *radii: float) -> None:
        self.radii = list(radii)

    def __call__(self, *seen: Any) -> "Radii":
        self.seen = self.radii.pop(0)
        return self

    def text(self) -> str:
        return f"radius {self.seen}"

    def to_json(self) -> dict[str, Any]:
        return {"points": [{"inner_step": 6, "radius": self.seen}]}


def run_with(path: Path, *rules: str, radii: tuple[float, ...], resume: bool = False) -> Any:
    config = quick(monitor_every=3, checkpoint_every=100, rules=rules)
    run = RunDirectory(path)
    done = train(config, run, task=bowl(), monitor=Radii(*radii), resume=resume)
    return config, run, done


def warnings(run: RunDirectory) -> list[tuple[int, str]]:
    lines = [json.loads(line) for line in run.metrics_file.read_text().splitlines()]
    return [(line["outer_step"], line["warning"]) for line in lines if "warning" in line]


def test_stop_after_so_many_in_a_row(tmp_path: Path) -> None:
    _, run, done = run_with(tmp_path / "run", "radius>1.1 for 2: stop", radii=(1.2, 1.0, 1.2, 1.3))
    assert done == 9
    assert steps(run.checkpoints)[-1] == 9
    assert [step for step, _ in warnings(run)] == [9]


def test_a_resumed_run_goes_on_counting(tmp_path: Path) -> None:
    """The first measurement after the stop is the third in a row."""
    rule = "radius>1.1 for 3: stop"
    path = tmp_path / "run"
    config = quick(monitor_every=3, checkpoint_every=100, rules=(rule,))
    run, asked = RunDirectory(path), iter([False] * 2 + [True])
    train(config, run, task=bowl(), monitor=Radii(1.2, 1.2), stop=lambda: next(asked))
    assert steps(run.checkpoints)[-1] == 3
    _, run, done = run_with(path, rule, radii=(1.2,), resume=True)
    assert done == 6


def test_checkpoint_and_weight_decay(tmp_path: Path) -> None:
    config, run, done = run_with(
        tmp_path / "run",
        "radius>1.5: checkpoint",
        "radius>1.1: raise-weight-decay",
        radii=(1.0, 1.2, 1.6, 1.0, 1.0),
    )
    assert done == config.outer_steps
    assert steps(run.checkpoints) == [0, 6, 12]
    newest = read_newest(run.checkpoints, Trainer(config, bowl()).init())
    held = optax.tree_utils.tree_get(newest.state.meta_optimizer, "weight_decay")
    assert float(held) == pytest.approx(4 * config.weight_decay)
    told = [text for _, text in warnings(run)]
    assert [text for text in told if "weight decay raised" in text] == [
        "outer step 3: weight decay raised to 0.2",
        "outer step 6: weight decay raised to 0.4",
    ]


def test_rules_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="rules need measurements"):
        quick(rules=("radius>1: stop",))
    with pytest.raises(ValueError, match="QUANTITY>LIMIT"):
        quick(monitor_every=3, rules=("nonsense",))
