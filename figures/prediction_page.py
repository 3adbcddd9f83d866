"""The page docs/predictions.md: the tables of `figures.prediction_table`, and what they say."""

import math
from collections.abc import Mapping

from figures.association import Confusion
from figures.output import wrapped
from figures.prediction_table import PREDICTORS, RISE, WARNINGS, Row, Summary, summarize

CONTROL, TREND = "control: ", "control: loss at the horizon / at half"
ROSE = "control: loss rose since half the horizon"
UNSTABLE = ("unstable", "unstable, by oscillation", "unstable, by ascent")


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


def kind_table(found: Summary, outcome: str) -> str:
    """Markdown: a row for each predictor of the outcome, a column for each kind of optimizer."""
    kinds = next(iter(found.within_kind.values()))
    lines = [f"| number at the horizon | {' | '.join(kinds)} |", "|---|" + "---|" * len(kinds)]
    for name in PREDICTORS:
        each = found.within_kind[name, outcome].values()
        shown = ("—" if math.isnan(rho) else f"{rho:+.2f}" for rho in each)
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def confusion_table(confusions: Mapping[str, Confusion]) -> str:
    """Markdown: a row for each warning."""
    lines = ["| warning | hits | false alarms | misses | rightly quiet | p |", "|---|" + "---|" * 5]
    for name, c in confusions.items():
        counts = f"{c.hits} | {c.false_alarms} | {c.misses} | {c.quiet}"
        lines.append(f"| {name} | {counts} | {c.p_value:.2g} |")
    return "\n".join(lines)


def page(rows: list[Row], horizon: int) -> str:
    """The page, its numbers taken from the rows; its first paragraph is what they said."""
    found = summarize(rows, horizon)
    rises, diverges = ({w: found.confusions[w, e] for w in WARNINGS} for e in ("rises", "diverges"))
    falling = {w: c for w, c in found.falling.items() if "loss rose" not in w}
    return f"""# Does the monitor foretell what comes after the horizon?

Only in part. An oscillating eigenvalue beyond the unit circle at the horizon is a warning that
mostly comes true, but most rises of the loss come without one. Ascent, which also makes a verdict
`unstable`, goes with later rises in STAR and is a false alarm in Blackbox.
Over all kinds, whether the loss itself has begun to rise within the horizon, which costs nothing to
see, foretold more than any number of the monitor's.

    python -m figures.predictions [--again]

makes this page and its picture from figures/results/predictions.json (`--again` measures anew).

## What was done

{_setup(rows, horizon, found)}

## What is seen

{_findings(found, rises, diverges)}

![What is known at the horizon against what follows: the monitor's radius says little, the trend of
the loss more](figures/predictions.png)

Left and middle, radii outside 0.6 to 2.2 are drawn at the edge.

## Warnings and what came

A case that rises:

{confusion_table(rises)}

A case that diverges:

{confusion_table(diverges)}

A case that rises, among those whose loss was still falling at the horizon:

{confusion_table(falling)}

p is that of Fisher's exact test, two-sided, as if cases were independent.

## Rank correlations

Spearman's, cases ranked within their task; the last columns are the tasks by themselves. The
interval draws whole meta-trainings with replacement, since checkpoints and uses of one training
depend on each other; p permutes cases within a task as if they did not, and is too small for it.
Neither is corrected for the number of rows. Cases without a converged eigenvalue of the kind are
left out; no ascent or growth beyond 1 counts as 1.

With the loss at the end over that at the horizon, geometric mean of the seeds (a good foreteller
is above 0):

{association_table(found, "ratio")}

With the steps until the loss is above {RISE:g} times that at the horizon for good, censored at the
end (below 0):

{association_table(found, "held")}

With the steps until it has diverged, censored at the end (below 0):

{association_table(found, "survival")}

The first two for each kind of optimizer by itself: the ratio,

{kind_table(found, "ratio")}

and the steps until a rise (no Hyperparam rises for good):

{kind_table(found, "held")}
"""


def summary(rows: list[Row], horizon: int) -> str:
    """The page in short, as a caption."""
    found = summarize(rows, horizon)
    rises = {w: found.confusions[w, "rises"] for w in WARNINGS}
    oscillating, trend = rises[f"verdict {UNSTABLE[1]}"], rises[ROSE]
    return f"""
**Seen.** {found.cases} uses of meta-trained optimizers: left and middle, the larger of the
oscillatory and the ascent radius at the horizon against the steps survived and the rise of the loss
beyond it; right, the trend of the loss within the horizon against the same rise. Filled where the
monitor's verdict is unstable. Radii outside 0.6 to 2.2 are drawn at the edge.

**Found.** Of the warnings by oscillation {_true(oscillating)} come true, and
{oscillating.misses} of {oscillating.hits + oscillating.misses} rises come without one; that the
loss has begun to rise within the horizon foretells with {_true(trend)}, and misses {trend.misses}.
All numbers are in docs/predictions.md.

**Paper.** It proposes eigenvalues as what decides stability, and does not measure how well those at
the end of meta-training's horizon foretell what comes after. No figure.
"""


def _setup(rows: list[Row], horizon: int, found: Summary) -> str:
    seeds, horizons = len(rows[0]["end"]), rows[0]["steps"] // horizon
    trainings, uses = (len({row[name] for row in rows}) for name in ("trained", "run"))
    outer = ", ".join(map(str, sorted({row["outer_step"] for row in rows})))
    return wrapped(
        f"""STAR, Blackbox and Hyperparam optimizers from {trainings} short meta-trainings (horizon
        {horizon}, 4 pairs, fashion-mnist-8x8-mlp), at outer steps {outer}. Each is used as trained,
        some also with larger constants ({uses} uses), on that task and on a network with two layers
        of 16 units that it was not trained on: {len(rows)} cases. The monitor looks at step
        {horizon} of its own trajectory (`lopt.meta.probe`); {seeds} held-out seeds are
        trained to {horizons} horizons. Losses are means over {horizon // 10} steps. A case *rises*
        where in half of its seeds or more the loss at the end is above {RISE:g} times that at the
        horizon, and *diverges* where in so many it is not finite or above the task's ceiling for
        good. {found.left_out} cases that had diverged at the horizon already are left out:
        {found.cases} count."""
    )


def _findings(
    found: Summary, rises: Mapping[str, Confusion], diverges: Mapping[str, Confusion]
) -> str:
    unstable, oscillating, ascending = (rises[f"verdict {kind}"] for kind in UNSTABLE)
    events = unstable.hits + unstable.misses
    share = events / found.cases
    seen = diverges[f"verdict {UNSTABLE[1]}"]
    later = found.falling[f"verdict {UNSTABLE[1]}"]
    trend = found.associations[TREND, "ratio"]
    points = (
        f"""**Whether the loss rises** ({events} of {found.cases} cases, {share:.0%}).
        Warnings that come true: {_true(unstable)} by the verdict `unstable`; {_true(oscillating)}
        where it rests on oscillation, {_true(ascending)} where on ascent. The verdict misses
        {unstable.misses} of {events} rises, oscillation alone {oscillating.misses}.""",
        f"""**Kinds differ.** Ascent correlates with the later ratio by {_of_kind(found, "star")} in
        STAR and {_of_kind(found, "blackbox")} in Blackbox, where of the warnings that rest on it
        {_kind_true(found, "blackbox")} come true; in STAR {_kind_true(found, "star")}.""",
        f"""**A radius above 1** is no warning by itself: {_true(rises["radius > 1"])} come true;
        above 1.1, {_true(rises["radius > 1.1"])}. Real eigenvalues above 1 belong to healthy
        training, see `lopt.monitor.VerdictRule`.""",
        f"""**When.** Only {seen.hits + seen.misses} cases diverge, {seen.hits} of them with
        oscillation seen before. The monitor's numbers correlate with the steps survived by
        {_strongest(found, "survival")} at most, with the steps until a rise by
        {_strongest(found, "held")}, with the size of the rise by {_strongest(found, "ratio")}: too
        little to say when.""",
        f"""**The loss alone** does better. That it rose from half the horizon to the horizon:
        {_true(rises[ROSE])} come true, {rises[ROSE].misses} are missed; how much it did correlates
        with how much it does later by {trend.rho:+.2f} ({trend.low:+.2f} to {trend.high:+.2f}), by
        {found.across_seeds:+.2f} where the two are of different seeds. The monitor, too, looks at
        another seed than those it is judged by.""",
        f"""**What the monitor adds.** Where the loss was still falling, {later.hits + later.misses}
        cases rise later; oscillation foretells {later.hits} of them with {later.false_alarms} false
        alarms.""",
    )
    limits = """The eigenvalues are those of one state, on one batch of one trajectory; growth along
        real steps (`lopt.monitor.growth`) was not tried. All meta-trainings are short and on one
        small task."""
    return "\n".join([*(wrapped(point, "* ") for point in points), "", wrapped(limits)])


def _of_kind(found: Summary, kind: str) -> str:
    return f"{found.within_kind['ascent radius', 'ratio'][kind]:+.2f}"


def _kind_true(found: Summary, kind: str) -> str:
    return _true(found.by_kind[f"verdict {UNSTABLE[2]}", kind])


def _true(c: Confusion) -> str:
    given = c.hits + c.false_alarms
    return f"{c.hits} of {given}" + (f" ({c.hits / given:.0%})" if given else "")


def _strongest(found: Summary, outcome: str) -> str:
    """The rank correlation of the monitor's number that is farthest from 0, and the number."""
    own = [name for name in PREDICTORS if not name.startswith(CONTROL)]
    name = max(own, key=lambda n: abs(found.associations[n, outcome].rho))
    return f"{found.associations[name, outcome].rho:+.2f} ({name})"
