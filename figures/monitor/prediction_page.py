"""The page docs/predictions.md: the tables of `prediction_table`, and what they say."""

import math
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

from figures.engine.markdown import filled, table
from figures.monitor.association import Confusion
from figures.monitor.prediction_table import PREDICTORS, RISE, WARNINGS, Row, Summary, summarize

CONTROL, KNOWN = "control: ", "number at the horizon"
PAGE = """
# Does the monitor foretell what comes after the horizon?

Only in part. An oscillating eigenvalue beyond the unit circle at the horizon is a warning that
mostly comes true, but most rises of the loss come without one. Ascent, which also makes a verdict
`unstable`, goes with later rises in STAR and is a false alarm in Blackbox. Over all kinds, whether
the loss itself has begun to rise within the horizon, which costs nothing to see, foretold more than
any number of the monitor's.

    python -m figures predictions [--recompute]

makes this page and its picture from figures/results/predictions.json (`--recompute` repeats the
measurements).

## What was done

STAR, Blackbox and Hyperparam optimizers from {trainings} short meta-trainings (horizon {horizon}, 4
pairs, fashion-mnist-8x8-mlp), at outer steps {outer_steps}. Each is used as trained, some also with
larger constants ({uses} uses), on that task and on a network with two layers of 16 units that it
was not trained on: {cases} cases. The monitor looks at step {horizon} of its own trajectory
(`lopt.meta.probe`); {seeds} held-out seeds are trained to {horizons} horizons. Losses are
means over {window} steps. A case *rises* where in half of its seeds or more the loss at the end is
above {rise:g} times that at the horizon, and *diverges* where in so many it is not finite or above
the task's ceiling for good. {found.left_out} cases that had diverged at the horizon already are
left out: {found.cases} count.

## What is seen

* **Whether the loss rises** ({unstable.events} of {found.cases} cases, {share:.0%}). Warnings that
come true: {unstable} by the verdict `unstable`; {oscillating} where it rests on oscillation,
{ascending} where on ascent. The verdict misses {unstable.misses} of {unstable.events} rises,
oscillation alone {oscillating.misses}.
* **Kinds differ.** Ascent correlates with the later ratio by {ascent[star]:+.2f} in STAR and
{ascent[blackbox]:+.2f} in Blackbox, where of the warnings that rest on it {ascending_blackbox} come
true; in STAR {ascending_star}.
* **A radius above 1** is no warning by itself: {rises[radius > 1]} come true; above 1.1,
{rises[radius > 1.1]}. Real eigenvalues above 1 belong to healthy training, see
`lopt.monitor.VerdictRule`.
* **When.** Only {diverging.events} cases diverge, {diverging.hits} of them with oscillation seen
before. The monitor's numbers correlate with the steps survived by {strongest[survival]} at most,
with the steps until a rise by {strongest[held]}, with the size of the rise by {strongest[ratio]}:
too little to say when.
* **The loss alone** does better. That it rose from half the horizon to the horizon: {rose} come
true, {rose.misses} are missed; how much it did correlates with how much it does later by
{trend.rho:+.2f} ({trend.low:+.2f} to {trend.high:+.2f}), by {found.across_seeds:+.2f} where the two
are of different seeds. The monitor, too, looks at another seed than those it is judged by.
* **What the monitor adds.** Where the loss was still falling, {later.events} cases rise later;
oscillation foretells {later.hits} of them with {later.false_alarms} false alarms.

The eigenvalues are those of one state, on one batch of one trajectory; growth along real steps
(`lopt.monitor.growth`) was not tried. All meta-trainings are short and on one small task.

![What is known at the horizon against what follows: the monitor's radius says little, the trend of
the loss more](figures/predictions.png)

Left and middle, radii outside 0.6 to 2.2 are drawn at the edge.

## Warnings and outcomes

A case that rises:

{rises_table}

A case that diverges:

{diverges_table}

A case that rises, among those whose loss was still falling at the horizon:

{falling_table}

p is that of Fisher's exact test, two-sided, as if cases were independent.

## Rank correlations

Spearman's, cases ranked within their task; the last columns are the tasks by themselves. The
interval draws whole meta-trainings with replacement, since checkpoints and uses of one training
depend on each other; p permutes cases within a task as if they did not, and is too small for it.
Neither is corrected for the number of rows. Cases without a converged eigenvalue of the kind are
left out; no ascent or growth beyond 1 counts as 1.

With the loss at the end over that at the horizon, geometric mean of the seeds (a good foreteller is
above 0):

{associations[ratio]}

With the steps until the loss is above {rise:g} times that at the horizon for good, censored at the
end (below 0):

{associations[held]}

With the steps until it has diverged, censored at the end (below 0):

{associations[survival]}

The first two for each kind of optimizer by itself: the ratio,

{kinds[ratio]}

and the steps until a rise (no Hyperparam rises for good):

{kinds[held]}
"""
CAPTION = """
**Seen.** {found.cases} uses of meta-trained optimizers: left and middle, the larger of the
oscillatory and the ascent radius at the horizon against the steps survived and the rise of the loss
beyond it; right, the trend of the loss within the horizon against the same rise. Filled where the
monitor's verdict is unstable. Radii outside 0.6 to 2.2 are drawn at the edge.

**Found.** Of the warnings by oscillation {oscillating} come true, and {oscillating.misses} of
{oscillating.events} rises come without one; that the loss has begun to rise within the horizon
foretells with {rose}, and misses {rose.misses}. All numbers are in docs/predictions.md.

**Paper.** It proposes eigenvalues as what decides stability, and does not measure how well those at
the end of meta-training's horizon foretell what comes after. No figure.
"""


def page(rows: list[Row], horizon: int) -> str:
    """The page, its numbers taken from the rows; its first paragraph is what they said."""
    found = summarize(rows, horizon)
    numbers = _counted(found)
    rises = numbers["rises"]
    diverges = {name: found.confusions[name, "diverges"] for name in WARNINGS}
    falling = {name: c for name, c in found.falling.items() if "loss rose" not in name}
    outcomes = ("ratio", "held", "survival")
    by_oscillation, by_ascent = "verdict unstable, by oscillation", "verdict unstable, by ascent"
    return filled(
        PAGE,
        **numbers,
        horizon=horizon,
        window=horizon // 10,
        horizons=rows[0]["steps"] // horizon,
        seeds=len(rows[0]["end"]),
        cases=len(rows),
        trainings=len({row["trained"] for row in rows}),
        uses=len({row["run"] for row in rows}),
        outer_steps=", ".join(map(str, sorted({row["outer_step"] for row in rows}))),
        rise=RISE,
        share=rises["verdict unstable"].events / found.cases,
        diverging=diverges[by_oscillation],
        later=found.falling[by_oscillation],
        ascent=found.within_kind["ascent radius", "ratio"],
        ascending_star=found.by_kind[by_ascent, "star"],
        ascending_blackbox=found.by_kind[by_ascent, "blackbox"],
        trend=found.associations["control: loss at the horizon / at half", "ratio"],
        strongest={outcome: _strongest(found, outcome) for outcome in outcomes},
        rises_table=confusion_table(rises),
        diverges_table=confusion_table(diverges),
        falling_table=confusion_table(falling),
        associations={outcome: association_table(found, outcome) for outcome in outcomes},
        kinds={outcome: kind_table(found, outcome) for outcome in ("ratio", "held")},
    )


def summary(rows: list[Row], horizon: int) -> str:
    """The page in short, as a caption."""
    return CAPTION.format(**_counted(summarize(rows, horizon)))


def _counted(found: Summary) -> dict[str, Any]:
    """What page and caption say of rises."""
    rises = {name: found.confusions[name, "rises"] for name in WARNINGS}
    return {
        "found": found,
        "rises": rises,
        "unstable": rises["verdict unstable"],
        "oscillating": rises["verdict unstable, by oscillation"],
        "ascending": rises["verdict unstable, by ascent"],
        "rose": rises["control: loss rose since half the horizon"],
    }


def _strongest(found: Summary, outcome: str) -> str:
    """The rank correlation of the monitor's number that is farthest from 0, and the number."""
    own = [name for name in PREDICTORS if not name.startswith(CONTROL)]
    name = max(own, key=lambda n: abs(found.associations[n, outcome].rho))
    return f"{_signed(found.associations[name, outcome].rho)} ({name})"


def association_table(found: Summary, outcome: str) -> str:
    """Markdown: a row for each predictor of the outcome."""
    tasks = next(iter(found.by_task.values()))
    rows = []
    for name in PREDICTORS:
        a, each = found.associations[name, outcome], found.by_task[name, outcome].values()
        interval = f"{_signed(a.low)} to {_signed(a.high)}"
        numbers = (_signed(a.rho), interval, f"{a.p_value:.3f}", str(a.cases))
        rows.append((name, *numbers, *map(_signed, each)))
    return table((KNOWN, "ρ", "95 % over trainings", "p", "cases", *tasks), rows)


def kind_table(found: Summary, outcome: str) -> str:
    """Markdown: a row for each predictor of the outcome, a column for each kind of optimizer."""
    kinds = next(iter(found.within_kind.values()))
    return table(
        (KNOWN, *kinds),
        [(name, *map(_signed, found.within_kind[name, outcome].values())) for name in PREDICTORS],
    )


def confusion_table(confusions: Mapping[str, Confusion]) -> str:
    """Markdown: a row for each warning."""
    return table(
        ("warning", "hits", "false alarms", "misses", "rightly quiet", "p"),
        [(name, *map(str, astuple(c)), f"{c.p_value:.2g}") for name, c in confusions.items()],
    )


def _signed(rho: float) -> str:
    return "—" if math.isnan(rho) else f"{rho:+.2f}"
