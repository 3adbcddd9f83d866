"""The tables of `figures.predictions`: rank correlations, warnings and what came, as text."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from figures.association import Association, Confusion, associate, rank_correlation

Row = dict[str, Any]
# A learned optimizer has gone wrong where half of its seeds or more have.
SHARE = 0.5
# A loss at a plateau wanders by a few hundredths of its size.
RISE = 1.05

PREDICTORS: dict[str, Callable[[Row], float | None]] = {
    "radius": lambda row: row["radius"],
    "oscillatory radius": lambda row: row["oscillatory_radius"],
    # Above 1 by definition: where the monitor found none there is none to speak of.
    "ascent radius": lambda row: row["ascent_radius"] or 1.0,
    "the larger of these two": lambda row: worst(row),
    "growth": lambda row: row["growth"] or 1.0,
    "sharpness": lambda row: row["sharpness"],
    "control: loss at the horizon": lambda row: float(np.mean(row["horizon"])),
    "control: loss at the horizon / at half": lambda row: trend(row),
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
    "verdict unstable, or the loss rose": lambda row: (
        row["verdict"] == "unstable" or trend(row) > 1
    ),
}
EVENTS: dict[str, Callable[[Row], bool]] = {
    "diverges": lambda row: _share(row, "survival", row["steps"]) >= SHARE,
    "rises": lambda row: float(np.mean(np.divide(row["end"], row["horizon"]) > RISE)) >= SHARE,
}


def worst(row: Row) -> float:
    """The larger of the oscillatory and the ascent radius, on which the verdict mostly rests."""
    return max(row["oscillatory_radius"] or 0.0, row["ascent_radius"] or 0.0) or float("nan")


def trend(row: Row) -> float:
    """The loss around the horizon over that around its half, the geometric mean of the seeds."""
    return float(np.exp(np.mean(np.log(row["horizon"]) - np.log(row["half"]))))


def _share(row: Row, name: str, below: int) -> float:
    return float(np.mean(np.less(row[name], below)))


def counted(rows: list[Row], horizon: int) -> list[Row]:
    """Those that something can be foretold of: neither the monitor nor half of the seeds have them
    diverged at the horizon already.
    """
    return [
        row
        for row in rows
        if row["verdict"] != "diverged" and _share(row, "survival", horizon) < SHARE
    ]


class Summary(NamedTuple):
    """What the tables hold of the counted cases."""

    cases: int
    left_out: int
    associations: dict[tuple[str, str], Association]
    """By predictor and outcome, over the tasks, ranks taken within each."""
    by_task: dict[tuple[str, str], dict[str, float]]
    """The rank correlations of each task by itself."""
    confusions: dict[tuple[str, str], Confusion]
    """By warning and event."""


def summarize(rows: list[Row], horizon: int) -> Summary:
    """Every predictor against every outcome, every warning against every event."""
    used = counted(rows, horizon)
    tasks, trained = _column(used, "task"), _column(used, "trained")
    x = {name: np.array([value(r) for r in used], float) for name, value in PREDICTORS.items()}
    y = {name: np.array([value(r) for r in used], float) for name, value in OUTCOMES.items()}
    pairs = [(a, b) for b in y for a in x]
    return Summary(
        cases=len(used),
        left_out=len(rows) - len(used),
        associations={(a, b): associate(x[a], y[b], tasks, trained) for a, b in pairs},
        by_task={(a, b): _by_task(x[a], y[b], tasks) for a, b in pairs},
        confusions={
            (warning, event): Confusion.count([w(r) for r in used], [e(r) for r in used])
            for event, e in EVENTS.items()
            for warning, w in WARNINGS.items()
        },
    )


def _column(rows: list[Row], name: str) -> NDArray[Any]:
    return np.array([row[name] for row in rows])


def _by_task(x: NDArray[Any], y: NDArray[Any], tasks: NDArray[Any]) -> dict[str, float]:
    known = ~np.isnan(x)
    masks = {str(task): known & (tasks == task) for task in dict.fromkeys(tasks.tolist())}
    return {t: rank_correlation(x[m], y[m], np.zeros(m.sum())) for t, m in masks.items()}


def association_table(found: Summary, outcome: str) -> str:
    """Markdown: a row for each predictor of the outcome."""
    tasks = next(iter(found.by_task.values()))
    lines = [
        f"| number at the horizon | ρ | 95 % over trainings | p | cases | {' | '.join(tasks)} |",
        "|---|---|---|---|---|" + "---|" * len(tasks),
    ]
    for name in PREDICTORS:
        a, each = found.associations[name, outcome], found.by_task[name, outcome]
        cells = [
            name,
            f"{a.rho:+.2f}",
            f"{a.low:+.2f} to {a.high:+.2f}",
            f"{a.p_value:.3f}",
            f"{a.cases}",
            *(f"{rho:+.2f}" for rho in each.values()),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def confusion_table(found: Summary, event: str) -> str:
    """Markdown: a row for each warning of the event."""
    lines = ["| warning | hits | false alarms | misses | rightly quiet | p |", "|---|" + "---|" * 5]
    for name in WARNINGS:
        c = found.confusions[name, event]
        counts = f"{c.hits} | {c.false_alarms} | {c.misses} | {c.quiet}"
        lines.append(f"| {name} | {counts} | {c.p_value:.2g} |")
    return "\n".join(lines)


def page(rows: list[Row], horizon: int) -> str:
    return ""
