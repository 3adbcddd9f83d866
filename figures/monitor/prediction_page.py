"""The page docs/predictions.md: the tables of `prediction_table`, and the conclusions."""

import math
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

from figures.engine.markdown import filled, table
from figures.monitor.association import Confusion
from figures.monitor.growth_table import section
from figures.monitor.prediction_table import (
    PREDICTORS,
    RISE,
    WARNINGS,
    Row,
    Summary,
    counted,
    summarize,
)

CONTROL, KNOWN = "control: ", "quantity at the horizon"
PAGE = """
# Does the monitor predict what happens beyond the horizon?

Only partly. An oscillating eigenvalue outside the unit circle at the horizon is a warning that
usually comes true, but most rises of the loss come without one. Ascent, which also makes a verdict
`unstable`, is associated with later rises in STAR, but is a false alarm in Blackbox. Over all kinds
of optimizer, the best predictor is not a number of the monitor but whether the loss has begun to
rise within the horizon, which costs nothing to observe.

    python -m figures predictions [--recompute]

makes this page and its picture from figures/results/predictions.json; `--recompute` repeats the
measurements.

## Method

The optimizers are STAR, Blackbox and Hyperparam from {trainings} short meta-trainings (horizon
{horizon}, 4 pairs, fashion-mnist-8x8-mlp) at outer steps {outer_steps}. Each is used as trained,
and some also with larger constants ({uses} uses in all). Each is used on the task of meta-training
and on another network, with two layers of 16 units, which gives {cases} cases. The monitor measures
at step {horizon} of its own trajectory (`lopt.meta.probe`); {seeds} held-out seeds train for
{horizons} horizons. Losses are means over {window} steps. A case *rises* if the loss at the end is
above {rise:g} times that at the horizon on at least half of its seeds. It *diverges* if on at least
half of them the loss stays not finite or above the ceiling of the task. {found.left_out} cases that
had already diverged at the horizon are left out; {found.cases} remain.

## Results

* **Whether the loss rises.** It does in {unstable.events} of {found.cases} cases ({share:.0%}). Of
the warnings by the verdict `unstable`, {unstable} come true; if the verdict rests on oscillation,
{oscillating}, and if it rests on ascent, {ascending}. The verdict misses {unstable.misses} of
{unstable.events} rises; oscillation alone misses {oscillating.misses}.
* **Kinds of optimizer differ.** The correlation of ascent with the later ratio of losses is
{ascent[star]:+.2f} in STAR and {ascent[blackbox]:+.2f} in Blackbox. Of the warnings that rest on
ascent, {ascending_star} come true in STAR and {ascending_blackbox} in Blackbox.
* **A radius above 1** alone is no warning: {rises[radius > 1]} come true, and above 1.1
{rises[radius > 1.1]}. Real eigenvalues above 1 are normal in training, see
`lopt.monitor.VerdictRule`.
* **When.** Only {diverging.events} cases diverge, and in {diverging.hits} of them the monitor saw
oscillation before. The strongest correlation of a number of the monitor is {strongest[survival]}
with the steps survived, {strongest[held]} with the steps until a rise, and {strongest[ratio]} with
the size of the rise: too little to predict when.
* **The loss alone** predicts better. Of the warnings that it rose from half the horizon to the
horizon, {rose} come true, and {rose.misses} rises are missed. The correlation of this trend with
the later ratio is {trend.rho:+.2f} ({trend.low:+.2f} to {trend.high:+.2f}), and
{found.across_seeds:+.2f} if the two are measured on different seeds. The latter is the fair
comparison, because the monitor uses another seed than the outcomes, too.
* **What the monitor adds.** Of the cases whose loss was still falling, {later.events} rise later.
Oscillation predicts {later.hits} of them, with {later.false_alarms} false alarms.

The eigenvalues are those of one state, on one batch of one trajectory; growth over real steps has a
section of its own below. All meta-trainings are short and use one small task.

![Two scatter plots of the monitor's radius against what follows, with little relation, and one of
the trend of the loss, with more](figures/predictions.png)

In the left and middle panels, radii outside 0.6 to 2.2 are drawn at the edge.

## Warnings and outcomes

The case rises:

{rises_table}

The case diverges:

{diverges_table}

The case rises, among those whose loss was still falling at the horizon:

{falling_table}

The p-value is that of Fisher's exact test, two-sided, as if the cases were independent.

## Rank correlations

These are Spearman's correlations, with cases ranked within their task; the last columns give each
task separately. The interval resamples whole meta-trainings with replacement, because checkpoints
and uses of one training depend on each other. The p-value permutes cases within a task as if they
were independent, so it is too small. Neither is corrected for the number of rows. Cases without a
converged eigenvalue of the kind are left out; if there is no ascent or no growth, 1 stands for it.

Correlation with the loss at the end divided by that at the horizon, as a geometric mean over the
seeds (a good predictor is positive):

{associations[ratio]}

Correlation with the steps until the loss stays above {rise:g} times that at the horizon, censored
at the end (a good predictor is negative):

{associations[held]}

Correlation with the steps until divergence, censored at the end (a good predictor is negative):

{associations[survival]}

The first two correlations for each kind of optimizer. With the ratio of losses:

{kinds[ratio]}

With the steps until a rise (no Hyperparam rises for good):

{kinds[held]}
"""
CAPTION = """
**Seen.** The radius of the monitor says little about what happens beyond the horizon; the trend of
the loss says more. The figure shows {found.cases} uses of meta-trained optimizers. Left and middle:
the larger of the oscillatory and the ascent radius at the horizon, against the steps survived and
the rise of the loss beyond the horizon. Right: the trend of the loss within the horizon, against
the same rise. A mark is filled if the verdict of the monitor is unstable. Radii outside 0.6 to 2.2
are drawn at the edge.

**Found.** Of the warnings by oscillation {oscillating} come true, and {oscillating.misses} of
{oscillating.events} rises come without one. Of the warnings that the loss has begun to rise within
the horizon, {rose} come true, and {rose.misses} rises are missed. All numbers are in
docs/predictions.md.

**Paper.** It proposes that eigenvalues decide stability. It does not measure how well the
eigenvalues at the end of meta-training's horizon predict what follows. There is no figure.
"""


def page(rows: list[Row], horizon: int) -> str:
    """The page, with its numbers taken from the rows."""
    found = summarize(rows, horizon)
    numbers = _counted(found)
    rises = numbers["rises"]
    diverges = {name: found.confusions[name, "diverges"] for name in WARNINGS}
    falling = {name: c for name, c in found.falling.items() if "loss rose" not in name}
    outcomes = ("ratio", "held", "survival")
    by_oscillation, by_ascent = "verdict unstable, by oscillation", "verdict unstable, by ascent"
    text = filled(
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
        trend=found.associations["control: loss at the horizon / at half of it", "ratio"],
        strongest={outcome: _strongest(found, outcome) for outcome in outcomes},
        rises_table=confusion_table(rises),
        diverges_table=confusion_table(diverges),
        falling_table=confusion_table(falling),
        associations={outcome: association_table(found, outcome) for outcome in outcomes},
        kinds={outcome: kind_table(found, outcome) for outcome in ("ratio", "held")},
    )
    return text + "\n" + section(counted(rows, horizon), horizon)


def summary(rows: list[Row], horizon: int) -> str:
    """The page in short, as a caption of the figure."""
    return CAPTION.format(**_counted(summarize(rows, horizon)))


def _counted(found: Summary) -> dict[str, Any]:
    """The numbers of rises, which the page and the caption share."""
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
    """The rank correlation that is farthest from 0 among the monitor's numbers, and its name."""
    own = [name for name in PREDICTORS if not name.startswith(CONTROL)]
    name = max(own, key=lambda n: abs(found.associations[n, outcome].rho))
    return f"{_signed(found.associations[name, outcome].rho)} ({name})"


def association_table(found: Summary, outcome: str) -> str:
    """A Markdown table with a row for each predictor of the outcome."""
    tasks = next(iter(found.by_task.values()))
    rows = []
    for name in PREDICTORS:
        a, each = found.associations[name, outcome], found.by_task[name, outcome].values()
        interval = f"{_signed(a.low)} to {_signed(a.high)}"
        numbers = (_signed(a.rho), interval, f"{a.p_value:.3f}", str(a.cases))
        rows.append((name, *numbers, *map(_signed, each)))
    return table((KNOWN, "ρ", "95 % over trainings", "p", "cases", *tasks), rows)


def kind_table(found: Summary, outcome: str) -> str:
    """A Markdown table with a row for each predictor and a column for each kind of optimizer."""
    kinds = next(iter(found.within_kind.values()))
    return table(
        (KNOWN, *kinds),
        [(name, *map(_signed, found.within_kind[name, outcome].values())) for name in PREDICTORS],
    )


def confusion_table(confusions: Mapping[str, Confusion]) -> str:
    """A Markdown table with a row for each warning."""
    return table(
        ("warning", "hits", "false alarms", "misses", "correct rejections", "p"),
        [(name, *map(str, astuple(c)), f"{c.p_value:.2g}") for name, c in confusions.items()],
    )


def _signed(rho: float) -> str:
    return "—" if math.isnan(rho) else f"{rho:+.2f}"
