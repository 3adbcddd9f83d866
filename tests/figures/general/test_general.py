"""The comparison on unseen tasks: what the numbers of a task become, on curves that are known."""

import numpy as np
import pytest

from figures.engine.style import plt
from figures.general import contest, outcomes
from figures.general.meta_runs import experiments
from lopt.meta.evaluation.outcome import Row, TaskOutcome
from lopt.tasks.suites.catalogue import suite

STEPS = 100


def falling(name: str, pace: float, rate: float = 1e-3) -> Row:
    """The loss falls linearly, `pace` times as fast as from 2 to 1 over the steps."""
    curve = 2 - pace * (np.arange(STEPS) + 0.5) / STEPS
    return Row(name, {"learning_rate": rate}, np.stack([curve, curve]), ceiling=3.0)


def risen(name: str) -> Row:
    return Row(name, {"learning_rate": 1e-2}, np.full((2, STEPS), np.nan), ceiling=3.0)


@pytest.fixture(scope="module")
def data():
    slow = TaskOutcome("slow", STEPS, (falling("AdamW", 1.0), falling("new", 0.5), risen("odd")))
    fast = TaskOutcome("fast", STEPS, (falling("AdamW", 0.5), falling("new", 1.0), risen("odd")))
    return {
        "one": outcomes._numbers(fast, fast),
        "two": outcomes._numbers(fast, slow),
        "three": outcomes._numbers(slow, slow),
    }


def test_the_steps_are_a_share_of_those_of_adamw(data) -> None:
    """AdamW's final loss is the mean over its last tenth; twice the pace needs, for the same mean,
    the tenth of the steps that is centred at half of the centre of that.
    """
    reached = (0.95 / 2) + 0.05
    assert outcomes.shares(data, "new") == pytest.approx([reached, reached, np.inf], abs=0.011)
    assert outcomes.shares(data, "AdamW") == [1, 1, 1]
    assert outcomes.shares(data, "odd") == [np.inf] * 3


def test_without_tuning_final_losses_are_divided(data) -> None:
    quick, slow = 2 - 0.95, 2 - 0.95 / 2
    ratio = quick / slow
    assert outcomes.untuned(data, "new") == pytest.approx([ratio, 1 / ratio, 1 / ratio], rel=1e-3)
    assert outcomes.untuned(data, "odd")[0] == pytest.approx(3 / slow, rel=1e-3)


def test_a_task_is_diverged_on_once(data) -> None:
    assert [outcomes.diverged(data, name) for name in ("AdamW", "new", "odd")] == [0, 0, 3]


def test_the_summary_counts_tasks(data) -> None:
    lines = contest.summary(data).splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == ["new", "odd"]
    assert "2 of 3" in lines[2]
    assert "1 of 3" in lines[2]
    assert "not reached" in lines[3]


def test_the_lowest_loss_of_a_task_is_bold(data) -> None:
    for line, bold in zip(contest.by_task(data).splitlines()[2:], (3, 3, 2), strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert [k for k, cell in enumerate(cells) if cell.startswith("**")] == [bold]


def test_the_picture_shows_every_task(data) -> None:
    figure = contest.draw(data)
    try:
        assert len(figure.axes[0].get_yticks()) == len(data)
    finally:
        plt.close(figure)


def test_the_tasks_are_those_of_the_suite() -> None:
    assert tuple(outcomes.STEPS) == tuple(suite(small=True))


def test_the_runs_differ_in_what_their_names_say() -> None:
    runs = experiments()
    star, others = runs["general-star"].optimizer_config, ("blackbox", "hyperparam")
    assert star.normalize_update
    assert star.precondition is False
    assert star.nominal_step == star.blackbox_step
    assert runs["general-blackbox"].optimizer_config.nominal_term is None
    assert not runs["general-hyperparam"].optimizer_config.blackbox_term
    for kind in ("star", *others):
        plain, ortho = runs[f"general-{kind}"], runs[f"general-{kind}-orthogonal"]
        assert not plain.optimizer_config.orthogonalize_update
        assert ortho.optimizer_config.orthogonalize_update
        assert plain.outer_steps == ortho.outer_steps
