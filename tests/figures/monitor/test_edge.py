"""Training to the edge of stability: a small version of figures/monitor/edge.py."""

import math

import numpy as np
import pytest

from figures.engine.store import load
from figures.monitor.edge import FIGURE, RUNS, Run, measure


@pytest.mark.parametrize(
    "run",
    [Run("sgd", 0.15, 1400), Run("momentum", 0.2, 1800), Run("adam", 1e-2, 1400)],
    ids=lambda run: run.optimizer,
)
def test_sharpness_settles_at_the_threshold(run) -> None:
    """It is within 10 % of 2/step, 2 (1 + b)/step and, preconditioned by Adam, 38/step."""
    seen = measure(run, images=1000, width=32, every=run.steps // 20)
    late = np.array(seen["sharpness"][12:]) / run.threshold
    assert abs(np.median(late) - 1) < 0.1
    assert late.max() < 1.3
    # The linearized dynamics are unstable there, but the loss still falls.
    assert seen["loss"][-1] < 0.9 * seen["loss"][1]


def test_thresholds() -> None:
    assert Run("sgd", 0.5, 1).threshold == 4
    assert math.isclose(Run("momentum", 0.1, 1).threshold, 38)
    assert math.isclose(Run("adam", 1e-2, 1).threshold, 3800)


def test_the_committed_measurements_are_those_of_the_runs_and_show_it() -> None:
    data = load(FIGURE)["parts"]
    assert list(data) == [f"{run.optimizer} {run.step:g}" for run in RUNS]
    for run in RUNS:
        found = data[f"{run.optimizer} {run.step:g}"]
        assert found["threshold"] == run.threshold
        assert found["step"][-1] == run.steps
        late = np.array(found["sharpness"][-20:]) / run.threshold
        assert abs(late.mean() - 1) < 0.1
