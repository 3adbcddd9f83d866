"""Figure 4 and its relatives are of curves that are kept, and their verdicts follow from them."""

import json

import numpy as np
import pytest

from figures.engine.store import results_file
from figures.generalization import outcomes
from figures.generalization.claims import claims, results_table
from figures.generalization.fig4 import FIG4, HALVES, SHOWN
from figures.generalization.outcomes import CHOSEN, EXTENT, KINDS, Extent, best_star
from figures.star.evidence.verdicts import FAILS, HOLDS, PARTLY
from lopt.meta.evaluation.curves import Runs


@pytest.mark.parametrize("task", EXTENT)
def test_every_curve_behind_the_figure_is_kept(task, monkeypatch) -> None:
    """No run is trained and no data are read; the stored results are those of the curves."""

    def never(*_):
        raise AssertionError("a curve is missing")

    monkeypatch.setattr(Runs, "curves", never)
    monkeypatch.setattr("lopt.meta.evaluation.suite.make_task", never)
    record = json.loads(results_file(FIG4).read_text("utf-8"))
    assert outcomes.compute(task) == record["parts"][task]
    assert all(path.stat().st_size < 1e5 for path in (outcomes.PLACE / task).glob("*.json"))


def test_the_figures_show_every_task_with_results() -> None:
    assert set(SHOWN) <= set(EXTENT)
    assert sorted((*HALVES[0], *HALVES[1])) == sorted(EXTENT)
    assert not set(HALVES[0]) & set(HALVES[1])


def row(final, halfway=2.0, first=2.5, diverged=False):
    """A row with one seed."""
    return {
        "constants": {"learning_rate": 1e-3, "nominal_step": 0.003}, "first": [first],
        "halfway": [halfway], "final": [final], "diverged": [diverged], "final_over_adam": final,
    }  # fmt: skip


def part(low, heavy, blackbox, hyperparam, **chosen):
    """A task on which tuned Adam ends at 1."""
    rows = dict(zip((kind for kind, _ in KINDS.values()), (low, heavy, blackbox, hyperparam),
                    strict=True))  # fmt: skip
    found = {"Adam": row(1.0)} | {f"{kind}-0": one for kind, one in rows.items()}
    return {"rows": found | {f"star-{kind}-0{CHOSEN}": one for kind, one in chosen.items()}}


@pytest.fixture
def two(monkeypatch):
    """A task where STAR does well, and one where its better weight decay is 0.5 and rises."""
    monkeypatch.setitem(EXTENT, "a", Extent(1, tuned=True))
    monkeypatch.setitem(EXTENT, "b", Extent(1))
    good = part(row(0.9), row(1.2), row(2.6), row(1.1), **{"wd0.1": row(0.7), "wd0.5": row(0.8)})
    bad = part(row(2.4, diverged=True), row(2.1), row(2.2), row(1.5))
    return {"a": good, "b": bad}


def verdicts(data, tasks):
    return [claim.cells()[1].strip("*") for claim in claims(data, tasks, tasks)]


def test_verdicts_of_outcomes_that_are_known(two) -> None:
    assert verdicts(two, ["a"]) == [HOLDS, HOLDS, HOLDS, HOLDS, HOLDS, PARTLY]
    # Blackbox ends below its first loss; STAR rises, to 2.1 times Adam, below Blackbox's 2.2.
    assert verdicts(two, ["b"]) == [FAILS, FAILS, FAILS, FAILS, HOLDS, PARTLY]
    assert verdicts(two, ["a", "b"]) == [PARTLY, PARTLY, PARTLY, HOLDS, HOLDS, HOLDS]


def test_the_weight_decay_is_the_better_one(two) -> None:
    assert best_star(two["a"]) == "STAR, weight decay 0.1"
    assert best_star(two["b"]) == "STAR, weight decay 0.5"
    assert best_star(two["a"], chosen=True) == "STAR, weight decay 0.1"


def test_the_table_has_the_ratios_and_what_diverged(two) -> None:
    lines = results_table(two, ["a", "b"]).splitlines()
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == [
        "a", "1 (0.001)", "0.90", "1.20", "2.60", "1.10", "0.70 (0.003, 0.1)",
    ]  # fmt: skip
    assert "2.40 (1/1)" in lines[3]


def test_numbers_of_a_row() -> None:
    """Ninety bins at 2 and ten at 1, then the middle is 2."""
    from lopt.meta.evaluation.outcome import Row, TaskOutcome

    curve = np.full((1, 100), 2.0)
    curve[:, 90:] = 1.0
    one = Row("Adam", {"learning_rate": 0.1}, curve, 3.0)
    found = outcomes._numbers(TaskOutcome("t", 1000, (one,)), one)
    assert found["first"] == found["halfway"] == [2.0]
    assert found["final"] == [1.0]
    assert found["steps_to_adam"] == 1000
    assert found["final_over_adam"] == 1.0
