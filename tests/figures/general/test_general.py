"""The comparison on unseen tasks: what the numbers of a task become, on curves that are known."""

import jax
import numpy as np
import pytest

import lopt
from figures.engine import store
from figures.engine.style import plt
from figures.general import contest, curves, outcomes, ship, terms
from figures.general.meta_runs import experiments
from figures.star.meta_runs import KEPT, kept
from lopt.meta.evaluation.outcome import Row, TaskOutcome
from lopt.optimizers.files.saved import card
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
        "one": outcomes.numbers(fast, fast),
        "two": outcomes.numbers(fast, slow),
        "three": outcomes.numbers(slow, slow),
    }


def test_the_steps_are_a_share_of_those_of_adamw(data) -> None:
    """AdamW's final loss is the mean over its last tenth; twice the pace needs, for the same mean,
    the tenth of the steps that is centred at half of the centre of that.
    """
    reached = (0.95 / 2) + 0.05
    assert outcomes.shares(data, "new") == pytest.approx([reached, reached, np.inf], abs=0.011)
    assert outcomes.shares(data, "AdamW") == [1, 1, 1]
    assert outcomes.shares(data, "odd") == [np.inf] * 3


def test_only_who_is_there_before_adamw_is_faster(data) -> None:
    assert [outcomes.faster(data, name) for name in ("AdamW", "new", "odd")] == [0, 2, 0]


def test_without_tuning_final_losses_are_divided(data) -> None:
    quick, slow = 2 - 0.95, 2 - 0.95 / 2
    ratio = quick / slow
    assert outcomes.over_adamw(data, "new", "untuned") == pytest.approx(
        [ratio, 1 / ratio, 1 / ratio], rel=1e-3
    )
    assert outcomes.over_adamw(data, "odd", "untuned")[0] == pytest.approx(3 / slow, rel=1e-3)


def test_a_task_is_diverged_on_once(data) -> None:
    assert [outcomes.diverged(data, name) for name in ("AdamW", "new", "odd")] == [0, 0, 3]


def test_the_best_rate_may_be_the_largest(data) -> None:
    found = [outcomes.at_the_largest_rate(data, name) for name in ("AdamW", "new", "odd")]
    assert found == [0, 0, 3]


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


def test_where_another_is_better_the_card_says_so(data, monkeypatch) -> None:
    monkeypatch.setattr(ship, "GENERAL", "new")
    monkeypatch.setattr(ship, "named", str)
    assert ship._failures(data) == [
        "* It does not reach tuned AdamW's final loss within as many steps: `three`.",
        "* Untuned it ends above untuned AdamW: `two`, `three`.",
    ]
    monkeypatch.setattr(ship, "GENERAL", "odd")
    lower = "* new, tuned, ends lower than it, tuned: `one`, `two`, `three`."
    assert lower in ship._failures(data)


def test_the_shipped_optimizer_and_its_card_are_of_the_results() -> None:
    run = lopt.load(KEPT / f"{outcomes.GENERAL}.npz")
    data = store.load(contest.FIGURE)["parts"]
    assert card(ship.NAME) == ship.card(run, kept(outcomes.GENERAL), data)
    shipped = lopt.load(ship.NAME)
    assert shipped.config == run.config == experiments()[outcomes.GENERAL].optimizer_config
    for a, b in zip(
        jax.tree.leaves(shipped.meta_parameters), jax.tree.leaves(run.meta_parameters), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_the_curves_run_over_the_steps_of_their_task() -> None:
    falls = {name: list(np.linspace(2, 1, 100)) for name in curves.STYLES}
    figure = curves.draw({"one": {"steps": STEPS, "tuned": falls, "untuned": falls}})
    try:
        shown = [axes for axes in figure.axes if axes.get_visible()]
        assert len(shown) == 1
        for line in shown[0].get_lines():
            assert line.get_xdata()[[0, -1]] == pytest.approx([0.5, STEPS - 0.5])
    finally:
        plt.close(figure)


def test_terms_are_compared_with_the_one_that_is_not_learned() -> None:
    """Half its loss where updates are normalized, and twice its loss where orthogonalized."""
    rows = {
        name: {"over_adamw": 0.8 * (1 if label == "nominal term, not learned" else factor)}
        for entrants, factor in zip(terms.ENTRANTS.values(), (0.5, 2.0), strict=True)
        for name, label in entrants.items()
    }
    data = {"one": dict.fromkeys(outcomes.HOW, rows)}
    lines = [[c.strip() for c in x.strip("|").split("|")] for x in terms.summary(data).splitlines()]
    assert [line[2] for line in lines[2:]] == ["0.400"] * 3 + ["0.800"] + ["1.600"] * 3 + ["0.800"]
    assert [line[4] for line in lines[2:]] == ["0.500"] * 3 + [""] + ["2.000"] * 3 + [""]
    assert [line[5] for line in lines[2:]] == ["1 of 1"] * 3 + [""] + ["0 of 1"] * 3 + [""]
    figure = terms.draw(data)
    try:
        assert len(figure.axes) == len(terms.ENTRANTS)
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
