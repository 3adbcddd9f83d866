"""The quantities of `predictions`: numbers and warnings at the horizon, and outcomes beyond it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from figures.monitor.association import Association, Confusion, associate, rank_correlation

Row = dict[str, Any]
# An event counts if it happens on at least half of the seeds.
SHARE = 0.5
# The loss on a plateau fluctuates by a few percent.
RISE = 1.05

PREDICTORS: dict[str, Callable[[Row], float | None]] = {
    "radius": lambda row: row["radius"],
    "oscillatory radius": lambda row: row["oscillatory_radius"],
    # An ascent radius is above 1 by definition; if there is none, 1 stands for it.
    "ascent radius": lambda row: row["ascent_radius"] or 1.0,
    "the larger of these two": lambda row: worst(row),
    "growth": lambda row: row["growth"] or 1.0,
    "sharpness": lambda row: row["sharpness"],
    "control: loss at the horizon": lambda row: float(np.mean(row["horizon"])),
    "control: loss at the horizon / at half of it": lambda row: trend(row),
}
OUTCOMES: dict[str, Callable[[Row], float]] = {
    "survival": lambda row: float(np.mean(np.log10(row["survival"]))),
    "held": lambda row: float(np.mean(np.log10(row["held"]))),
    "ratio": lambda row: float(np.mean(np.log(row["end"]) - np.log(row["horizon"]))),
}
WARNINGS: dict[str, Callable[[Row], bool]] = {
    "verdict unstable": lambda row: row["verdict"] == "unstable",
    "verdict unstable, by oscillation": lambda row: row["direction"] == "oscillation",
    "verdict unstable, by ascent": lambda row: row["direction"] == "ascent",
    **{
        f"radius > {1 + x:g}": lambda row, x=x: (row["radius"] or 0.0) > 1 + x  # type: ignore
        for x in (0, 0.01, 0.1)
    },
    "control: loss rose since half the horizon": lambda row: trend(row) > 1,
    "unstable by oscillation, or the loss rose": lambda row: (
        row["direction"] == "oscillation" or trend(row) > 1
    ),
}
EVENTS: dict[str, Callable[[Row], bool]] = {
    "diverges": lambda row: _share(row, "survival", row["steps"]) >= SHARE,
    "rises": lambda row: float(np.mean(np.divide(row["end"], row["horizon"]) > RISE)) >= SHARE,
}


def worst(row: Row) -> float:
    """The larger of the oscillatory and the ascent radius, which mostly decide the verdict."""
    return max(row["oscillatory_radius"] or 0.0, row["ascent_radius"] or 0.0) or float("nan")


def trend(row: Row) -> float:
    """The loss at the horizon over that at half of it, as the geometric mean over the seeds."""
    return float(np.exp(np.mean(np.log(row["horizon"]) - np.log(row["half"]))))


def _share(row: Row, name: str, below: int) -> float:
    return float(np.mean(np.less(row[name], below)))


def counted(rows: list[Row], horizon: int) -> list[Row]:
    """The cases that have not diverged by the horizon, neither for the monitor nor on half of the
    seeds.
    """
    return [
        row
        for row in rows
        if row["verdict"] != "diverged" and _share(row, "survival", horizon) < SHARE
    ]


class Summary(NamedTuple):
    """The contents of the tables."""

    cases: int
    left_out: int
    associations: dict[tuple[str, str], Association]
    """Correlations by predictor and outcome over all tasks, ranked within each."""
    by_task: dict[tuple[str, str], dict[str, float]]
    """The rank correlations of each task separately."""
    within_kind: dict[tuple[str, str], dict[str, float]]
    """The rank correlations of each kind of optimizer, ranked within tasks."""
    across_seeds: float
    """The rank correlation of the trend on half of the seeds with the ratio on the other half."""
    confusions: dict[tuple[str, str], Confusion]
    """Counts by warning and event."""
    by_kind: dict[tuple[str, str], Confusion]
    """Counts of rises by warning and kind of optimizer."""
    falling: dict[str, Confusion]
    """Counts of rises by warning, for the cases whose loss was still falling at the horizon, which
    show what a warning adds to the loss.
    """


def summarize(rows: list[Row], horizon: int) -> Summary:
    """Compare every predictor with every outcome, and every warning with every event."""
    used = counted(rows, horizon)
    tasks, trained, kinds = (_column(used, name) for name in ("task", "trained", "optimizer"))
    x = {name: np.array([value(r) for r in used], float) for name, value in PREDICTORS.items()}
    y = {name: np.array([value(r) for r in used], float) for name, value in OUTCOMES.items()}
    pairs = [(a, b) for b in y for a in x]
    return Summary(
        cases=len(used),
        left_out=len(rows) - len(used),
        associations={(a, b): associate(x[a], y[b], tasks, trained) for a, b in pairs},
        by_task={(a, b): _within(x[a], y[b], tasks, tasks) for a, b in pairs},
        within_kind={(a, b): _within(x[a], y[b], tasks, kinds) for a, b in pairs},
        across_seeds=rank_correlation(
            [trend(seeds(r, first=True)) for r in used],
            [OUTCOMES["ratio"](seeds(r, first=False)) for r in used],
            tasks,
        ),
        confusions={(w, e): _confusion(used, w, e) for e in EVENTS for w in WARNINGS},
        by_kind={
            (w, kind): _confusion([r for r in used if r["optimizer"] == kind], w, "rises")
            for kind in dict.fromkeys(kinds.tolist())
            for w in WARNINGS
        },
        falling={w: _confusion([r for r in used if trend(r) <= 1], w, "rises") for w in WARNINGS},
    )


def seeds(row: Row, *, first: bool) -> Row:
    """The case with only the first half of its seeds, or with only the others."""
    half = len(row["end"]) // 2
    part = slice(half) if first else slice(half, None)
    return {name: value[part] if isinstance(value, list) else value for name, value in row.items()}


def _confusion(rows: list[Row], warning: str, event: str) -> Confusion:
    warned, happened = WARNINGS[warning], EVENTS[event]
    return Confusion.count([warned(r) for r in rows], [happened(r) for r in rows])


def _column(rows: list[Row], name: str) -> NDArray[Any]:
    return np.array([row[name] for row in rows])


def _within(
    x: NDArray[Any], y: NDArray[Any], tasks: NDArray[Any], groups: NDArray[Any]
) -> dict[str, float]:
    """The rank correlation in each group separately."""
    known = ~np.isnan(x)
    masks = {str(group): known & (groups == group) for group in dict.fromkeys(groups.tolist())}
    return {group: rank_correlation(x[m], y[m], tasks[m]) for group, m in masks.items()}
