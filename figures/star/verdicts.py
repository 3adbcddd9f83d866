"""The page docs/experiments.md: each claim of section 5.3 with verdict, numbers and command."""

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

This page repeats the paper's in-distribution experiments on 28x28 Fashion-MNIST (784-128-128-10
ReLU MLP, batch 128, horizon {horizon:,}, PES with truncation 50 and σ = 0.01, AdamW, clip 1). Every
optimizer is meta-trained for {budget[outer_steps]} outer steps of {budget[pairs]} antithetic pairs
with the same learning rate, {budget[learning_rate]:g} falling to a tenth. The pictures are `fig3`,
`claims`, `app1` to `app4` and `nominal-terms` of [figures.md](figures.md).
`python -m figures claims` computes every number below from the results in figures/results/runs. If
their files are missing, `python -m figures.star.meta_runs NAME` meta-trains a run, and
`python -m figures.star.inner_runs NAME` trains with the result.

## Verdicts

{claims}

A run *diverges* if the mean training loss over 50 steps is not finite or above the ceiling at which
meta-training cuts losses (1.5 ln 10). It *rises for good* if from some step on, every mean over
{window} steps is above the level of the horizon, which is the mean over the last tenth of the
horizon. A use is one meta-trained optimizer on one held-out seed. All optimizers use the same
held-out seeds; they are compared seed by seed, and a diverged run counts as the ceiling.

## The effect of the printed constants

With a random last layer, the Blackbox optimizer at the printed constants moves all weights in one
direction before it has learned anything, and diverges ({lost:.0%} of the losses of
`blackbox-printed` are above the ceiling). In 2,000 outer steps it learns only to return to the loss
of chance, ln 10 = 2.303, where the inner network is constant and the gradient vanishes: it ends at
a meta-loss of {printed_level:.3f}. If the last layer starts at zero (`initial_head_scale=0`) and
everything else is as printed, meta-training succeeds: `blackbox-0` ends at {blackbox_level:.3f}
after {budget[outer_steps]} outer steps. All runs that are compared here start in this way.

In STAR's blackbox term, the printed β₃ = 1e-3 is divided by v, which is about 1e-3 here, so that σ
= 0.01 alone changes weights by 0.01 or more per step. These runs use β₃ = 1e-5; section 5.2 asks
that β₃ account for v. For the nominal term β₁ is 0.003, where the paper has 1e-3.

## A lower meta-loss does not imply stability

`{longer}` is STAR with a random last layer, meta-trained for 2,000 outer steps. Its mean loss over
the horizon is {within[0]}; the three runs of {budget[outer_steps]} outer steps whose last layer
starts at zero have {within[1]}. Beyond the horizon its uses rise for good in {beyond[0]}, and
theirs in {beyond[1]}. The meta-loss does not show this, but the monitor at the horizon does: {seen}
(verdict, largest oscillatory modulus, sharpness).

## Outcomes

The table gives mean ± standard deviation over all seeds of meta-training and of use, for {steps:,}
inner steps.

{outcomes}

The next table is for {long:,} inner steps, with one seed of meta-training each:

{far}

## The monitor and the outcome

The runs are named as in figures/star/meta_runs.py. The monitor measures the eigenvalues of one step
on 1,024 fixed examples along its own trajectory. The columns give its verdict, the largest
converged modulus of an oscillatory eigenvalue, and the sharpness.

{monitored}

{foretold}

## Baselines

Adam's learning rate is the best of eight half-decades; the mean losses over the horizon on the
{seeds} seeds are {adam}. For NAdamW, {draws} random draws were judged on one seed and the best
{finalists} of them on all seeds, with losses from {nadamw[0]:.4f} to {nadamw[1]:.4f}; the best has
{constants}.
"""


class Claim(NamedTuple):
    """A row of the table; the claim holds if all conditions do, and in part if some do."""

    text: str
    conditions: Iterable[Any]
    numbers: str
    command: str

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the row in Markdown."""
        met = list(map(bool, self.conditions))
        verdict = HOLDS if all(met) else PARTLY if any(met) else FAILS
        return self.text, f"**{verdict}**", self.numbers, f"`{self.command}`"


def page(data: Data, rows: Rows) -> str:
    """The page, with its numbers taken from the outcomes of the runs in `rows`."""
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
            f"{one['meta_loss']:.4f} at {one['constants']['learning_rate']:g}"
            for one in data["adam"]["search"]
        ),
        nadamw=(losses[0], losses[-1]),
        constants=", ".join(f"{k} {v:.3g}" for k, v in data["nadamw"]["constants"].items()),
    )


def claims(data: Data, rows: Rows) -> list[Claim]:
    """The claims with the conditions that decide their verdicts."""
    blackbox, stars = rows["Blackbox"], [*rows[STAR], *rows[HEAVIER]]
    wrong = max(_share(data, blackbox, "diverges"), _share(data, blackbox, "rises"))
    away, up = (_share(data, stars, what) for what in ("diverges", "rises"))
    found = [
        Claim(
            "Blackbox diverges beyond its horizon",
            (wrong > 0.5, wrong > 0),
            f"To step {STEPS:,} it {_events(data, blackbox)}.",
            "python -m figures.star.inner_runs blackbox-0",
        ),
        Claim(
            "STAR stays stable beyond its horizon",
            (away + up == 0, up < 0.5),
            f"To step {STEPS:,} it {_events(data, stars)}; to step {LONG:,} it "
            f"{_events({stars[0]: data[stars[0]]['far']}, stars[:1])}.",
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
                f"STAR has a lower mean loss over the horizon than {other}",
                ((within > 0).all(), within.mean() > 0),
                f"STAR's mean loss over the horizon is {lower(within)}. Its loss at step {STEPS:,} "
                f"is {lower(beyond)}.",
                "python -m figures claims",
            )
        )
    return found


def _faster(data: Data, rows: Rows, other: str) -> Claim:
    pairs = zip(rows[STAR], rows[other], strict=True)
    needed = [outer_steps_to(data[own]["level"], data[one]["level"][-1]) for own, one in pairs]
    reached = sorted(step for step in needed if step is not None)
    total = BUDGET["outer_steps"]
    numbers = (
        f"On {len(reached)} of {len(needed)} seeds STAR reaches the final level of {other} (the "
        f"mean over an episode, {EPISODE} outer steps) after {', '.join(map(str, reached))} "
        f"outer steps instead of {total}, at least {total / reached[-1]:.1f} times fewer."
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
        "Weight decay is best between 0.1 and 0.5",
        [min(losses, key=losses.__getitem__) in (0.1, 0.5) for losses in (means, ends)],
        "The mean loss over the horizon and the final loss are "
        + "; ".join(
            f"{means[decay]:.4f} and {ends[decay]:.4f} for weight decay {decay:g}, with rises in "
            f"{events(happened(data, runs, 'rises'))}"
            for decay, runs in runs_of.items()
        )
        + ".",
        "python -m figures app2",
    )


def _helps(data: Data, rows: Rows, part: str, command: str) -> Claim:
    own, other = rows[STAR], rows[f"STAR without {part}"]
    within, beyond = (against(data, own, other, key) for key in ("meta_loss", "final"))
    return Claim(
        f"The {part} helps",
        [(gain > 0).all() for gain in (within, beyond)],
        f"With it the mean loss over the horizon is {lower(within)}, and the loss at step "
        f"{STEPS:,} is {lower(beyond)}. Without it, {events(happened(data, other, 'rises'))} rise "
        f"for good; with it, {events(happened(data, own, 'rises'))}.",
        command,
    )


def against(data: Data, own: Sequence[str], other: Sequence[str], key: str = "meta_loss") -> Any:
    """The mean loss of `other` minus that of `own` on each held-out seed, ``[seeds]``."""
    theirs, ours = (clipped_losses(data, runs, key).mean(axis=0) for runs in (other, own))
    return theirs - ours


def lower(differences: Any) -> str:
    """Say how much lower or higher a loss is, and on how many seeds it is lower."""
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
