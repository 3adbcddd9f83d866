"""What `figures.monitor.growth` has measured, beside the outcomes: a section of predictions.md."""

import json
from collections.abc import Callable
from dataclasses import astuple
from typing import Any

import numpy as np

from figures.engine.figure import RESULTS
from figures.engine.markdown import filled, table
from figures.monitor.association import Association, Confusion, associate
from figures.monitor.prediction_table import EVENTS, OUTCOMES, Row, seeds, trend

RESULT = RESULTS / "growth.json"
WINDOWS = (50, 100, 199)
MEASURED = (*(f"growth {w}" for w in WINDOWS), "radius", "sharpness", "radius drift",
            "sharpness drift")  # fmt: skip
# A meta-training that is repeated is not the same to the last bit.
SAME = 0.1
TREND, LAST = "control: loss at the horizon / at half of it, on these seeds", "growth 50"
PREDICTORS: dict[str, Callable[[Row], float]] = {
    **{f"growth over the last {w} steps": lambda r, w=w: r[f"growth {w}"] for w in WINDOWS},  # type: ignore
    "radius of A": lambda r: r["radius"],
    "its change in a step": lambda r: r["radius drift"],
    "1 - smallest Re λ(A)": lambda r: r["sharpness"],
    "the change of that in a step": lambda r: r["sharpness drift"],
    TREND: lambda r: trend(seeds(r, first=True)),
}
WARNINGS: dict[str, Callable[[Row], bool]] = {
    "growth over the last 50 steps > 0": lambda r: r[LAST] > 0,
    "growth over the last 50 steps > 0.01": lambda r: r[LAST] > 0.01,
    "the radius rises": lambda r: r["radius drift"] > 0,
    "a horizon on at this drift: 1 - smallest Re λ(A) > 2": lambda r: (
        r["sharpness"] + r["later"] * r["sharpness drift"] > 2
    ),
    "control: loss rose since half the horizon": lambda r: trend(r) > 1,
    "growth over the last 50 steps > 0.01, or the loss rose": lambda r: (
        r[LAST] > 0.01 or trend(r) > 1
    ),
}
SECTION = """
## Growth along real steps, and the drift of the spectrum

    python -m figures.monitor.growth

trains the optimizers again and measures, on three of the six seeds, the largest finite-time
Lyapunov exponent over the last steps before the horizon, as `lopt.monitor.growth` does (nats a
step, along the tangent that has grown most since the first step), and the eigenvalues of A = I -
du/dparams - M H, the hidden state frozen, on one fixed batch at the last two states: the spectral
radius, 1 - the smallest real part, above 2 of which a direction oscillates and grows, and how much
both change in one step. The means over these seeds are compared with the outcomes above, the
correlations with those of the other three seeds. Measured are {cases} cases ({kinds}), of which
{rising} rise; left out are {left_out} that had diverged, or whose loss at half the horizon is not
within {same:.0%} of the one above.

* **Growth.** The exponent over the last 50 steps is positive in {positive} of {cases} cases,
whether the loss rises later or not: its sign is no warning. Of the warnings that it is above 0.01,
{above} come true, and {above.misses} rises are missed; among the cases whose loss was still falling
{above_falling} come true. The correlation with the later ratio is {rho_last:+.2f}, and
{rho_all:+.2f} for all steps; that of the trend of the loss on the same seeds is {rho_trend:+.2f}.
* **Drift.** In the median the radius changes by {step:.2g} in a step; it grows in {up} of {cases}
cases. Of the warnings that it grows, {drifting} come true; the correlation of its change is
{rho_radius:+.2f}, and that of the change of 1 - the smallest real part {rho_sharpness:+.2f}.
* **Beside the loss's own trend**, growth adds what the trend cannot see. Among the cases whose loss
was still falling, the trend by its definition foretells none of the later rises; growth above 0.01
foretells {above_falling.hits} of {falling_rises}. That either warns misses {both.misses} of
{rising} rises, at the price of {both.false_alarms} false alarms. The threshold was set on STAR and
the task of meta-training, before the other cases were measured.
* **The rules** of the verdict stay as they are: most warnings of growth are false, and it costs a
tangent through every step. `lopt.monitor.growth` is there for who wants to miss little.

"""


def joined(rows: list[Row], horizon: int) -> list[Row]:
    """The cases with the means over the seeds of what was measured; without those that lack one."""
    measured = {_key(row): row for row in json.loads(RESULT.read_text("utf-8"))}
    found = []
    for row in rows:
        own = measured.get(_key(row))
        if own is None or any(None in own[name] for name in (*MEASURED, "half")):
            continue
        means = {name: float(np.mean(own[name])) for name in MEASURED}
        off = np.divide(own["half"], row["half"][: len(own["half"])]) - 1
        if np.abs(off).max() <= SAME:
            found.append(row | means | {"later": horizon})
    return found


def _key(row: Row) -> tuple[Any, ...]:
    return row["task"], row["run"], row["outer_step"]


def section(rows: list[Row], horizon: int) -> str:
    """The section, from the cases that are counted."""
    used = joined(rows, horizon)
    kinds = dict.fromkeys(row["optimizer"] for row in used)
    tasks = dict.fromkeys(row["task"] for row in used)
    falling = [row for row in used if trend(row) <= 1]
    counts, later = _confusions(used), _confusions(falling)
    each = {name: _correlation(used, name) for name in PREDICTORS}
    columns = {"falling": falling} | {k: [r for r in used if r["optimizer"] == k] for k in kinds}
    names = list(PREDICTORS)
    text = filled(
        SECTION,
        cases=len(used),
        kinds=f"{', '.join(kinds)}; {' and '.join(tasks)}",
        rising=sum(EVENTS["rises"](row) for row in used),
        left_out=len(json.loads(RESULT.read_text("utf-8"))) - len(used),
        same=SAME,
        positive=sum(row[LAST] > 0 for row in used),
        above=counts["growth over the last 50 steps > 0.01"],
        above_falling=later["growth over the last 50 steps > 0.01"],
        both=counts["growth over the last 50 steps > 0.01, or the loss rose"],
        falling_rises=sum(EVENTS["rises"](row) for row in falling),
        drifting=counts["the radius rises"],
        rho_last=each[names[0]].rho,
        rho_all=each[names[2]].rho,
        rho_trend=each[TREND].rho,
        rho_radius=each["its change in a step"].rho,
        rho_sharpness=each["the change of that in a step"].rho,
        up=sum(row["radius drift"] > 0 for row in used),
        step=float(np.median([abs(row["radius drift"]) for row in used])),
    )
    correlations = table(
        ("quantity at the horizon", "ρ", "95 % over trainings", *columns),
        [
            (
                *(name, _signed(a.rho), f"{_signed(a.low)} to {_signed(a.high)}"),
                *(_signed(_correlation(part, name).rho) for part in columns.values()),
            )
            for name, a in each.items()
        ],
    )
    return "\n".join([text, _table(counts), "", "Of the cases whose loss was still falling:", "",
                      _table(later), "", correlations, ""])  # fmt: skip


def _confusions(rows: list[Row]) -> dict[str, Confusion]:
    happened = [EVENTS["rises"](row) for row in rows]
    return {w: Confusion.count([warn(r) for r in rows], happened) for w, warn in WARNINGS.items()}


def _table(counts: dict[str, Confusion]) -> str:
    return table(
        ("warning", "hits", "false alarms", "misses", "correct rejections", "p"),
        [(name, *map(str, astuple(c)), f"{c.p_value:.2g}") for name, c in counts.items()],
    )


def _correlation(rows: list[Row], name: str) -> Association:
    later = [OUTCOMES["ratio"](seeds(row, first=False)) for row in rows]
    tasks, trained = ([row[column] for row in rows] for column in ("task", "trained"))
    return associate([PREDICTORS[name](row) for row in rows], later, tasks, trained)


def _signed(rho: float) -> str:
    return "—" if np.isnan(rho) else f"{rho:+.2f}"
