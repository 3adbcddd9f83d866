"""The page docs/experiments.md: each claim of section 5.3 with its verdict, numbers and command."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from figures.engine import markdown
from figures.engine.figure import Data
from figures.star.experiments import EPISODE, outer, outer_steps_to
from figures.star.inner_runs import DRAWS, FINALISTS, HORIZON, LONG, SEEDS, STEPS
from figures.star.meta_runs import BUDGET
from figures.star.outcomes import (
    clipped_losses,
    events,
    foretold,
    happened,
    monitored,
    pooled,
    seen_at,
    spread,
    table,
)

HOLDS, PARTLY, FAILS = "holds", "holds in part", "does not hold"
Rows = Mapping[str, Sequence[str]]
STAR, HEAVIER = "STAR, weight decay 0.1", "STAR, weight decay 0.5"
LONGER = "star-wd0.1-long"
PAGE = """
# Does STAR do what the paper says?

The paper's in-distribution experiments on 28x28 Fashion-MNIST (784-128-128-10 ReLU MLP, batch 128,
horizon {horizon:,}, PES with truncation 50 and σ = 0.01, AdamW, clip 1): {budget[outer_steps]}
outer steps of {budget[pairs]} antithetic pairs for each optimizer, the same learning rate,
{budget[learning_rate]:g} falling to a tenth. The pictures are in [figures.md](figures.md): `fig3`,
`claims`, `app1` to `app4`, `nominal-terms`. Every number below is computed from the results in
figures/results/runs by `python -m figures claims`; `python -m figures.star.meta_runs NAME`
meta-trains a run and `python -m figures.star.inner_runs NAME` trains with it, if their files are
missing.

## Verdicts

{claims}

A run *diverges* when the mean training loss over 50 steps is not finite or above the ceiling that
meta-training clips at (1.5 ln 10); it *rises for good* when from some step on no mean over {window}
steps is at the level of the horizon or below it, the level being the mean over the last tenth of
the horizon. Losses are over the seeds of use that all optimizers share; where they are compared,
seed by seed, a diverged run counts as the ceiling.

## What the printed constants do

With a random last layer the Blackbox optimizer at the printed constants pushes all weights one way
before it has learned anything, and diverges ({lost:.0%} of the losses of
`blackbox-printed` are above the ceiling). What it learns in 2,000 outer steps is to bring the loss
to that of chance, ln 10 = 2.303, where the inner network is constant and no gradient is left: it
ends at a meta-loss of {printed_level:.3f}. With the last layer at zero
(`initial_head_scale=0`), everything else as printed, it meta-trains: `blackbox-0` ends at
{blackbox_level:.3f} after {budget[outer_steps]}. All runs that are compared here begin so.

In STAR's blackbox term β₃ = 1e-3 is divided by v, some 1e-3 here, so that σ = 0.01 alone moves
weights by 0.01 a step and more: β₃ is 1e-5, as section 5.2 asks that it account for v. β₁ is 0.003
for the nominal term; the paper has 1e-3.

## A lower meta-loss is not stability

`{longer}`, STAR begun with random heads and meta-trained for 2,000 outer steps, has a mean loss
over the horizon of {within[0]}; the three runs of {budget[outer_steps]} from silent heads have
{within[1]}. Beyond the horizon its uses rise for good in {beyond[0]}, theirs in {beyond[1]}. Its
meta-loss does not say so; the monitor does, at the horizon: {seen}.

## Outcomes

Mean ± standard deviation over all seeds of meta-training and of use; {steps:,} inner steps.

{outcomes}

To {long:,} inner steps, one seed of meta-training each:

{far}

## The monitor beside the outcome

One step's eigenvalues on 1,024 fixed examples along a trajectory of its own: the verdict, the
largest modulus of what oscillates (a converged one), and the sharpness.

{monitored}

{foretold}

## Baselines

Adam, every half-decade of the learning rate, mean loss over the horizon on the {seeds} seeds:
{adam}. NAdamW, {draws} random draws judged on one seed, the best {finalists} of them on all: from
{nadamw[0]:.4f} to {nadamw[1]:.4f}, the first with {constants}.
"""


class Claim(NamedTuple):
    """A row of the table: it holds if all of the conditions do, in part if some do."""

    text: str
    conditions: Iterable[Any]
    numbers: str
    command: str

    def cells(self) -> tuple[str, ...]:
        """The row in Markdown."""
        met = list(map(bool, self.conditions))
        verdict = HOLDS if all(met) else PARTLY if any(met) else FAILS
        return self.text, f"**{verdict}**", self.numbers, f"`{self.command}`"


def page(data: Data, rows: Rows) -> str:
    """The page, its numbers from the outcomes of the runs in `rows`."""
    compared = ((LONGER,), rows[STAR])
    far = {label: runs[:1] for label, runs in rows.items() if "far" in data[runs[0]]}
    losses = sorted(one["meta_loss"] for one in data["nadamw"]["search"])
    printed = outer("blackbox-printed")
    return markdown.filled(
        PAGE,
        budget=BUDGET,
        horizon=HORIZON,
        window=HORIZON // 10,
        steps=STEPS,
        long=LONG,
        seeds=SEEDS,
        draws=DRAWS,
        finalists=FINALISTS,
        claims=markdown.table(
            ("claim of section 5.3 and Appendix C.2", "verdict", "numbers", "command"),
            [claim.cells() for claim in claims(data, rows)],
        ),
        lost=printed["lost"],
        printed_level=printed["level"][-1],
        blackbox_level=data["blackbox-0"]["level"][-1],
        longer=LONGER,
        within=[spread(pooled(data, runs, "meta_loss")) for runs in compared],
        beyond=[events(happened(data, runs, "rises")) for runs in compared],
        seen=seen_at(data[LONGER], HORIZON),
        outcomes=table(data, rows),
        far=table({runs[0]: data[runs[0]]["far"] for runs in far.values()}, far),
        monitored=monitored(data, rows, (HORIZON // 10, HORIZON, 10 * HORIZON)),
        foretold=foretold(data, rows, HORIZON),
        adam=", ".join(
            f"{one['constants']['learning_rate']:g}: {one['meta_loss']:.4f}"
            for one in data["adam"]["search"]
        ),
        nadamw=(losses[0], losses[-1]),
        constants=", ".join(f"{k} {v:.3g}" for k, v in data["nadamw"]["constants"].items()),
    )


def claims(data: Data, rows: Rows) -> list[Claim]:
    """The claims with the conditions that they are judged by."""
    blackbox, stars = rows["Blackbox"], [*rows[STAR], *rows[HEAVIER]]
    wrong = max(_share(data, blackbox, "diverges"), _share(data, blackbox, "rises"))
    away, up = (_share(data, stars, what) for what in ("diverges", "rises"))
    found = [
        Claim(
            "Blackbox diverges beyond its horizon",
            (wrong > 0.5, wrong > 0),
            f"to step {STEPS:,} it {_events(data, blackbox)}",
            "python -m figures.star.inner_runs blackbox-0",
        ),
        Claim(
            "STAR stays stable beyond it",
            (away + up == 0, up < 0.5),
            f"to step {STEPS:,} it {_events(data, stars)}; to step {LONG:,} it "
            f"{_events({stars[0]: data[stars[0]]['far']}, stars[:1])}",
            "python -m figures.star.inner_runs star-wd0.1-0",
        ),
        *(_faster(data, rows, other) for other in ("Blackbox", "Hyperparam")),
        _weight_decay(data, rows),
        _helps(data, rows, "preconditioner", "python -m figures app3"),
        _helps(data, rows, "nominal term", "python -m figures app4"),
    ]
    for other in ("Hyperparam", "tuned Adam", "tuned NAdamW"):
        within, beyond = (against(data, rows[STAR], rows[other], k) for k in ("meta_loss", "final"))
        found.append(
            Claim(
                f"STAR's mean loss over the horizon is below that of {other}",
                ((within > 0).all(), within.mean() > 0),
                f"{lower(within)}; at step {STEPS:,} {lower(beyond)}",
                "python -m figures claims",
            )
        )
    return found


def _faster(data: Data, rows: Rows, other: str) -> Claim:
    pairs = zip(rows[STAR], rows[other], strict=True)
    needed = [outer_steps_to(data[own]["level"], data[one]["level"][-1]) for own, one in pairs]
    reached = sorted(step for step in needed if step is not None)
    numbers = (
        f"{len(reached)} of {len(needed)} seeds reach the level (the mean over an episode, "
        f"{EPISODE} outer steps) that {other} ends at"
    )
    if reached:
        total = BUDGET["outer_steps"]
        numbers += (
            f", after {reached[0]} to {reached[-1]} of its {total} outer steps: "
            f"{total / reached[-1]:.1f} to {total / reached[0]:.1f} times fewer"
        )
    met = [step is not None for step in needed]
    return Claim(f"STAR meta-trains faster than {other}", met, numbers, "python -m figures fig3")


def _weight_decay(data: Data, rows: Rows) -> Claim:
    runs_of = {0.0: ("star-wd0-0",), 0.1: rows[STAR], 0.5: rows[HEAVIER], 1.0: ("star-wd1.0-0",)}
    means, ends = (
        {decay: clipped_losses(data, runs, key).mean() for decay, runs in runs_of.items()}
        for key in ("meta_loss", "final")
    )
    return Claim(
        "Weight decay from 0.1 to 0.5 is the good range",
        [min(losses, key=losses.__getitem__) in (0.1, 0.5) for losses in (means, ends)],
        "; ".join(
            f"{decay:g}: {means[decay]:.4f}, {ends[decay]:.4f} at the end, rises in "
            f"{events(happened(data, runs, 'rises'))}"
            for decay, runs in runs_of.items()
        ),
        "python -m figures app2",
    )


def _helps(data: Data, rows: Rows, part: str, command: str) -> Claim:
    own, other = rows[STAR], rows[f"STAR without {part}"]
    within, beyond = (against(data, own, other, key) for key in ("meta_loss", "final"))
    return Claim(
        f"The {part} helps",
        [(gain > 0).all() for gain in (within, beyond)],
        f"with it the mean loss over the horizon is {lower(within)}; the loss at step {STEPS:,} "
        f"{lower(beyond)}; without it {events(happened(data, other, 'rises'))} rise for good, with "
        f"it {events(happened(data, own, 'rises'))}",
        command,
    )


def against(data: Data, own: Sequence[str], other: Sequence[str], key: str = "meta_loss") -> Any:
    """How much lower the first is on each seed of use, means over meta-training, ``[seeds]``."""
    theirs, ours = (clipped_losses(data, runs, key).mean(axis=0) for runs in (other, own))
    return theirs - ours


def lower(differences: Any) -> str:
    """How much lower, or higher, in words."""
    mean, count = differences.mean(), int((differences > 0).sum())
    word = "lower" if mean > 0 else "higher"
    return (
        f"{abs(mean):.4f} ± {differences.std(ddof=1):.4f} {word}, lower on {count} of "
        f"{differences.size} seeds"
    )


def _share(data: Data, runs: Sequence[str], what: str) -> float:
    steps = happened(data, runs, what)
    return sum(step is not None for step in steps) / len(steps)


def _events(data: Data, runs: Sequence[str]) -> str:
    away, up = (events(happened(data, runs, what)) for what in ("diverges", "rises"))
    return f"diverges in {away} uses and rises for good in {up}"
