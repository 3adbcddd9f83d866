"""The tables are right for synthetic cases, and the committed page matches the measurements."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from figures.engine.store import load
from figures.monitor.association import Confusion
from figures.monitor.prediction_page import association_table, confusion_table, kind_table, page
from figures.monitor.prediction_table import (
    EVENTS,
    OUTCOMES,
    PREDICTORS,
    WARNINGS,
    counted,
    summarize,
)
from figures.monitor.predictions import (
    FIGURE,
    HORIZON,
    HORIZONS,
    OUTER_STEPS,
    PAGE,
    RUNS,
    cases_of,
    make_optimizer,
    outcome,
)

STEPS = HORIZON * HORIZONS


def case(number: float, task: str = "a", trained: int = 0, **changes: Any) -> dict[str, Any]:
    """A case that diverges earlier and rises higher the larger the number is."""
    dies = number > 1
    made = {
        "task": task,
        "trained": trained,
        "optimizer": "star",
        "steps": STEPS,
        "verdict": "unstable" if dies else "stable",
        "direction": "oscillation" if dies else "",
        "radius": number,
        "oscillatory_radius": number,
        "ascent_radius": None,
        "growth": None,
        "sharpness": 1 / number,
        "survival": [int(STEPS / number) if dies else STEPS] * 2,
        "held": [int(STEPS / number) if dies else STEPS] * 2,
        "half": [1.0, 1.0],
        "horizon": [1.0, 1.0],
        "end": [number, number],
    }
    return made | changes


def cases() -> list[dict[str, Any]]:
    return [
        case(number, task, trained)
        for task in ("a", "b")
        for trained, number in enumerate([0.5, 0.6, 0.7, 0.8, 0.9, 1.06, 1.2, 1.3, 1.4, 1.5])
    ]


def test_a_monitor_that_knows() -> None:
    found = summarize(cases(), HORIZON)
    assert (found.cases, found.left_out) == (20, 0)
    for name, rho in (("radius", 1), ("sharpness", -1)):
        assert found.associations[name, "ratio"].rho == pytest.approx(rho)
        assert found.by_task[name, "ratio"] == {"a": pytest.approx(rho), "b": pytest.approx(rho)}
    # Five of ten are censored: Spearman's correlation with a tie of five.
    ranks = np.r_[np.full(5, 8.0), [5, 4, 3, 2, 1]]
    expected = np.corrcoef(np.arange(10), ranks)[0, 1]
    assert found.associations["radius", "survival"].rho == pytest.approx(expected)
    for event in EVENTS:
        assert found.confusions["verdict unstable", event] == Confusion(10, 0, 0, 10)
        assert found.confusions["radius > 1.1", event] == Confusion(8, 0, 2, 10)
        assert found.confusions["verdict unstable, by ascent", event] == Confusion(0, 0, 10, 10)


def test_what_the_loss_does_not_show() -> None:
    """Two warned cases had a falling loss, and one of them rises; the third had risen before."""
    falling, rising = {"half": [2.0, 2.0]}, {"half": [0.5, 0.5]}
    rows = [case(1.2, **falling), case(1.04, **falling), case(1.2, **rising), case(0.9, **falling)]
    found = summarize(rows, HORIZON)
    assert found.falling["verdict unstable"] == Confusion(1, 1, 0, 1)
    control = found.confusions["control: loss rose since half the horizon", "rises"]
    assert control == Confusion(1, 0, 1, 2)


def test_kinds_are_counted_apart() -> None:
    rows = [case(1.2), case(0.9), case(1.2, optimizer="blackbox", end=[0.5, 0.5])]
    found = summarize(rows, HORIZON).by_kind
    assert found["verdict unstable", "star"] == Confusion(1, 0, 0, 1)
    assert found["verdict unstable", "blackbox"] == Confusion(0, 1, 0, 0)
    opposite = [row | {"optimizer": "blackbox", "end": [1 / row["radius"]] * 2} for row in cases()]
    within = summarize([*cases(), *opposite], HORIZON).within_kind["radius", "ratio"]
    assert within == {"star": pytest.approx(1), "blackbox": pytest.approx(-1)}


def test_the_trend_is_checked_on_other_seeds() -> None:
    """The first seed's loss has risen as much as the second's will rise."""
    rows = [
        case(1.0, half=[1 / (1 + r), 1.0], horizon=[1.0, 1.0], end=[1.0, 1 + r])
        for r in np.linspace(0.1, 1, 9).tolist()
    ]
    assert summarize(rows, HORIZON).across_seeds == pytest.approx(1)


def test_what_has_gone_wrong_by_the_horizon_is_no_prediction() -> None:
    early = case(1.2, survival=[HORIZON - 1, STEPS])
    known = case(1.2, verdict="diverged", radius=None, oscillatory_radius=None, sharpness=None)
    late = case(1.2, survival=[HORIZON - 1, STEPS, STEPS])
    assert counted([early, known, late], HORIZON) == [late]
    assert summarize([*cases(), early, known], HORIZON).left_out == 2


def test_the_outcome_of_curves() -> None:
    """The curves stay low, rise from step 1001 on, and are not finite from step 1501 on."""
    curves = np.ones((3, STEPS), np.float32)
    curves[:, :150] = 2.0
    curves[1, 1000:] = 3.0
    curves[2, 1500:] = np.nan
    found = outcome(curves, ceiling=4.0)
    assert found["survival"] == [STEPS, STEPS, 1500]
    assert found["held"][0] == STEPS
    # The mean over the last twenty steps exceeds 1 as soon as one of them does.
    assert found["held"][1:] == [1000, 1500]
    assert found["half"] == [2, 2, 2]
    assert found["horizon"] == [1, 1, 1]
    assert found["end"] == [1, 3, 40]


def test_the_committed_page_is_that_of_the_committed_measurements() -> None:
    rows = cases_of(load(FIGURE)["parts"])
    assert [(r["run"], r["outer_step"]) for r in rows if r["task"] == rows[0]["task"]] == [
        (run.name, step) for run in RUNS for step in OUTER_STEPS
    ]
    assert len(rows) == 2 * len(RUNS) * len(OUTER_STEPS)
    text = PAGE.read_text()
    assert text == page(rows, HORIZON)
    found = summarize(rows, HORIZON)
    for name in OUTCOMES:
        assert association_table(found, name) in text
    assert kind_table(found, "ratio") in text
    for event in EVENTS:
        assert confusion_table({w: found.confusions[w, event] for w in WARNINGS}) in text
    assert all(name in text for name in PREDICTORS)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_every_run_makes_its_optimizer_with_the_constants_it_is_used_with(run) -> None:
    """A recomputation starts like this; the optimizer is traced but not compiled."""
    constants = run.constants()
    if run.used:
        assert float(constants[run.used[0]]) == pytest.approx(run.used[1])
    assert float(constants["nominal_exponent"]) == pytest.approx(run.exponent)

    def step(key):
        theta = run.config().optimizer_config.init(key)
        optimizer = make_optimizer(run.optimizer, (theta, constants), fused=True)
        params = jnp.ones((3, 2))
        return optimizer.update(params, optimizer.init(params), params)[0]

    assert jax.eval_shape(step, jax.random.key(0)).shape == (3, 2)
