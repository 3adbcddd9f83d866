"""The page docs/experiments.md: each claim of section 5.3 with verdict, numbers and command."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from figures.engine import markdown
from figures.engine.figure import Data
from figures.star.evidence.experiments import EPISODE, outer, outer_steps_to
from figures.star.evidence.outcomes import (
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
from figures.star.fig3 import seeds, sizes
from figures.star.inner_runs import DRAWS, FINALISTS, RATES
from figures.star.settings import CIFAR, FASHION, Setting
from lopt.tasks.images import CEILING_OVER_CHANCE

HOLDS, PARTLY, FAILS, UNTESTED = "holds", "holds in part", "does not hold", "not tested"
# An optimizer whose uses end the horizon above this share of the loss of chance has not learned to
# train; whether it would diverge beyond the horizon is then not tested.
CHANCE = 0.97
Rows = Mapping[str, Sequence[str]]
STAR, HEAVIER, ADAM = "STAR, weight decay 0.1", "STAR, weight decay 0.5", "tuned Adam"
LONGER, TENFOLD = "star-wd0.1-long", "star-wd0.1-10x"
PAGE = """
# Does STAR do what the paper says?

This page repeats the paper's in-distribution experiments on two tasks. {sizes} On each, all
optimizers are meta-trained with the same budget and the same learning rate,
{budget[learning_rate]:g} falling to a tenth. The full-size form of the CIFAR-10 runs, for a machine
with an accelerator, is `lopt train --preset cifar10-convnet-star-wd0.1` and the like.

The pictures are `fig3`, `claims`, `app1` to `app4` and `nominal-terms` of [figures.md](figures.md).
`python -m figures claims` computes every number below from the results in figures/results/runs. If
their files are missing, `python -m figures.star.meta_runs NAME` meta-trains a run, and
`python -m figures.star.inner_runs NAME` trains with the result.

## Verdicts

{verdicts}

On Fashion-MNIST:

{fashion_claims}

On CIFAR-10:

{cifar_claims}

A run *diverges* if the mean training loss over 50 steps is not finite or above the ceiling at which
meta-training cuts losses (1.5 ln 10). It *rises for good* if from some step on, every mean over a
tenth of the horizon is above the level of the horizon, which is the mean over its last tenth. A use
is one meta-trained optimizer on one held-out seed. All optimizers use the same held-out seeds
({seeds}); they are compared seed by seed, and a diverged run counts as the ceiling.

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

## Ten times the outer steps

`star-wd0.1-10x` is the first seed of STAR on Fashion-MNIST, meta-trained for ten times as many
outer steps. The table compares it, over the same held-out seeds, with that seed at the common
budget and with the Hyperparam of that seed. The other optimizers were not meta-trained for so long.

{tenfold}

Within the horizon the blackbox term earns its place when it has time to learn; beyond it, the
longer run ends above both others: what it learns is for the horizon. The monitor at the horizon
does not tell them apart: {tenfold_seen} after ten times the outer steps, {common_seen} at the
common budget and {hyperparam_seen} for Hyperparam (verdict, largest oscillatory modulus,
sharpness).

## A short horizon

The horizon of {cifar_horizon} inner steps on CIFAR-10 is short for AdamAggMo. The slowest of its
momenta averages over 1,000 steps, twice as many, and starts at zero, so that early steps are too
short. In the first {episode} outer steps the meta-losses of STAR and Hyperparam are {begin[0]:.3f}
and {begin[1]:.3f}, where tuned Adam, whose moments are debiased, has {cifar_adam_loss:.3f}; in the
last {episode} they are {finish[0]:.3f} and {finish[1]:.3f} (means over three seeds). Blackbox,
whose last layer starts at zero, is still at {finish[2]:.3f}, where chance is 2.303.

## Outcomes

The tables give mean ± standard deviation over all seeds of meta-training and of use, after ten
horizons. On Fashion-MNIST:

{outcomes}

On CIFAR-10:

{cifar_outcomes}

The next table is for {long:,} inner steps on Fashion-MNIST, with one seed of meta-training each:

{far}

## The monitor and the outcome

The runs are named as in figures/star/meta_runs.py. The monitor measures the eigenvalues of one step
on 1,024 fixed examples along its own trajectory. The columns give its verdict, the largest
converged modulus of an oscillatory eigenvalue, and the sharpness. On Fashion-MNIST:

{monitored}

{foretold} On CIFAR-10, where the monitor takes longer than five uses, one run was measured:

{cifar_monitored}

## Baselines

Adam's learning rate is the best of {rates} half-decades, {lowest_rate:g} to {highest_rate:g}. The
mean losses over the horizon are, on Fashion-MNIST, {adam}, and on CIFAR-10,
{cifar_adam}. For NAdamW on Fashion-MNIST, {draws} random draws were judged on one seed and the best
{finalists} of them on all seeds, with losses from {nadamw[0]:.4f} to {nadamw[1]:.4f}; the best has
{constants}.
"""


class Claim(NamedTuple):
    """A row of the table; the claim holds if all conditions do, and in part if some do; without
    conditions it is not tested.
    """

    text: str
    conditions: Sequence[Any]
    numbers: str
    command: str

    @property
    def verdict(self) -> str:
        """The verdict in Markdown."""
        met = list(map(bool, self.conditions))
        if not met:
            return f"**{UNTESTED}**"
        return f"**{HOLDS if all(met) else PARTLY if any(met) else FAILS}**"

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the row in Markdown."""
        return self.text, self.verdict, self.numbers, f"`{self.command}`"


def page(data: Data, rows_of: Mapping[Setting, Rows]) -> str:
    """The page, with its numbers taken from the outcomes of the runs in the rows of each task."""
    rows, cifar = rows_of[FASHION], rows_of[CIFAR]
    compared = ((LONGER,), rows[STAR])
    far = {label: runs[:1] for label, runs in rows.items() if "far" in data[runs[0]]}
    losses = sorted(one["meta_loss"] for one in data["nadamw"]["search"])
    printed = outer("blackbox-printed")
    found = {one: claims(data, one, rows_of[one]) for one in rows_of}
    return markdown.filled(
        PAGE,
        budget=FASHION.budget,
        sizes=sizes(),
        long=FASHION.long,
        seeds=seeds(),
        draws=DRAWS,
        finalists=FINALISTS,
        verdicts=_verdicts(found),
        fashion_claims=_numbers(found[FASHION]),
        cifar_claims=_numbers(found[CIFAR]),
        lost=printed["lost"],
        printed_level=printed["level"][-1],
        blackbox_level=data["blackbox-0"]["level"][-1],
        longer=LONGER,
        within=[spread(pooled(data, runs, "meta_loss")) for runs in compared],
        beyond=[events(happened(data, runs, "rises")) for runs in compared],
        seen=seen_at(data[LONGER], FASHION.horizon),
        tenfold=table(
            data, {run: (run,) for run in (TENFOLD, rows[STAR][0], rows["Hyperparam"][0])}
        ),
        tenfold_seen=seen_at(data[TENFOLD], FASHION.horizon),
        common_seen=seen_at(data[rows[STAR][0]], FASHION.horizon),
        hyperparam_seen=seen_at(data[rows["Hyperparam"][0]], FASHION.horizon),
        cifar_horizon=CIFAR.horizon,
        episode=EPISODE,
        begin=[_level(data, cifar[label], EPISODE - 1) for label in (STAR, "Hyperparam")],
        finish=[_level(data, cifar[label], -1) for label in (STAR, "Hyperparam", "Blackbox")],
        cifar_adam_loss=pooled(data, cifar[ADAM], "meta_loss").mean(),
        outcomes=table(data, rows),
        cifar_outcomes=table(data, cifar),
        far=table({runs[0]: data[runs[0]]["far"] for runs in far.values()}, far),
        monitored=monitored(data, rows, _places(FASHION)),
        foretold=foretold(data, rows, FASHION.horizon),
        cifar_monitored=monitored(data, cifar, _places(CIFAR)),
        rates=len(RATES),
        lowest_rate=RATES[0],
        highest_rate=RATES[-1],
        adam=_searched(data[rows[ADAM][0]]),
        cifar_adam=_searched(data[cifar[ADAM][0]]),
        nadamw=(losses[0], losses[-1]),
        constants=", ".join(f"{k} {v:.3g}" for k, v in data["nadamw"]["constants"].items()),
    )


def _level(data: Data, runs: Sequence[str], place: int) -> float:
    return sum(data[run]["level"][place] for run in runs) / len(runs)


def _places(setting: Setting) -> tuple[int, int, int]:
    return setting.horizon // 10, setting.horizon, setting.steps


def _searched(found: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{one['meta_loss']:.4f} at {one['constants']['learning_rate']:g}"
        for one in found["search"]
    )


def _verdicts(found: Mapping[Setting, Sequence[Claim]]) -> str:
    """A table with the verdict on each claim for each task; a dash where a task has none."""
    verdicts = {one: {c.text: c.verdict for c in each} for one, each in found.items()}
    texts = dict.fromkeys(text for each in verdicts.values() for text in each)
    return markdown.table(
        ("claim of section 5.3 and Appendix C.2", *(one.label for one in found)),
        [(text, *(each.get(text, "–") for each in verdicts.values())) for text in texts],
    )


def _numbers(found: Sequence[Claim]) -> str:
    head = ("claim", "verdict", "numbers", "command")
    return markdown.table(head, [claim.cells() for claim in found])


def claims(data: Data, setting: Setting, rows: Rows) -> list[Claim]:
    """The claims on one task with the conditions that decide their verdicts."""
    blackbox, stars = rows["Blackbox"], [*rows[STAR], *rows[HEAVIER]]
    wrong = max(_share(data, blackbox, "diverges"), _share(data, blackbox, "rises"))
    away, up = (_share(data, stars, what) for what in ("diverges", "rises"))
    idle = wrong == 0 and not has_learned(data, blackbox)
    unmoved = (
        "; but its loss at the horizon is still that of chance, so that this says little"
        if idle
        else ""
    )
    far = {run: data[run]["far"] for run in stars if "far" in data[run]}
    further = f"; to step {setting.long:,} it {_events(far, list(far))}" if far else ""
    found = [
        Claim(
            "Blackbox diverges beyond its horizon",
            () if idle else (wrong > 0.5, wrong > 0),
            f"To step {setting.steps:,} it {_events(data, blackbox)}{unmoved}.",
            f"python -m figures.star.inner_runs {blackbox[0]}",
        ),
        Claim(
            "STAR stays stable beyond its horizon",
            (away + up == 0, up < 0.5),
            f"To step {setting.steps:,} it {_events(data, stars)}{further}.",
            f"python -m figures.star.inner_runs {stars[0]}",
        ),
        *(_faster(data, setting, rows, other) for other in ("Blackbox", "Hyperparam")),
        _weight_decay(data, rows),
        _helps(data, setting, rows, "preconditioner", "python -m figures app3"),
        _helps(data, setting, rows, "nominal term", "python -m figures app4"),
    ]
    for other in ("Hyperparam", "tuned Adam", "tuned NAdamW"):
        if other not in rows:
            continue
        within, beyond = (against(data, rows[STAR], rows[other], k) for k in ("meta_loss", "final"))
        found.append(
            Claim(
                f"STAR has a lower mean loss over the horizon than {other}",
                ((within > 0).all(), within.mean() > 0),
                f"STAR's mean loss over the horizon is {lower(within)}. Its loss at step "
                f"{setting.steps:,} is {lower(beyond)}.",
                "python -m figures claims",
            )
        )
    return found


def _faster(data: Data, setting: Setting, rows: Rows, other: str) -> Claim:
    pairs = zip(rows[STAR], rows[other], strict=True)
    needed = [outer_steps_to(data[own]["level"], data[one]["level"][-1]) for own, one in pairs]
    reached = sorted(step for step in needed if step is not None)
    total = setting.budget["outer_steps"]
    numbers = (
        f"On {len(reached)} of {len(needed)} seeds STAR reaches the final level of {other} (the "
        f"mean over {EPISODE} outer steps)"
    )
    if reached:
        numbers += (
            f" after {', '.join(map(str, reached))} outer steps instead of {total}, at least "
            f"{total / reached[-1]:.1f} times fewer"
        )
    met = [step is not None for step in needed]
    return Claim(
        f"STAR meta-trains faster than {other}", met, f"{numbers}.", "python -m figures fig3"
    )


def _weight_decay(data: Data, rows: Rows) -> Claim:
    runs_of = {
        0.0: rows["STAR, weight decay 0"],
        0.1: rows[STAR],
        0.5: rows[HEAVIER],
        1.0: rows["STAR, weight decay 1.0"],
    }
    # A variant is compared on the seeds of meta-training that all have.
    common = min(map(len, runs_of.values()))
    runs_of = {decay: runs[:common] for decay, runs in runs_of.items()}
    means, ends = (
        {decay: clipped_losses(data, runs, key).mean() for decay, runs in runs_of.items()}
        for key in ("meta_loss", "final")
    )
    return Claim(
        "Weight decay is best between 0.1 and 0.5",
        [min(losses, key=losses.__getitem__) in (0.1, 0.5) for losses in (means, ends)],
        f"On {_seeds(common)} of meta-training, the mean loss over the horizon and the final loss "
        "are "
        + "; ".join(
            f"{means[decay]:.4f} and {ends[decay]:.4f} for weight decay {decay:g}, with rises in "
            f"{events(happened(data, runs, 'rises'))}"
            for decay, runs in runs_of.items()
        )
        + ".",
        "python -m figures app2",
    )


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def _helps(data: Data, setting: Setting, rows: Rows, part: str, command: str) -> Claim:
    other = rows[f"STAR without {part}"]
    own = rows[STAR][: len(other)]
    within, beyond = (against(data, own, other, key) for key in ("meta_loss", "final"))
    return Claim(
        f"The {part} helps",
        [(gain > 0).all() for gain in (within, beyond)],
        f"On {_seeds(len(other))} of meta-training, the mean loss over the horizon with it is "
        f"{lower(within)}, and the loss at step "
        f"{setting.steps:,} is {lower(beyond)}. Without it, "
        f"{events(happened(data, other, 'rises'))} rise for good; with it, "
        f"{events(happened(data, own, 'rises'))}.",
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


def has_learned(data: Data, runs: Sequence[str]) -> bool:
    """Whether the uses of an optimizer are below the loss of chance at the horizon."""
    chance = data[runs[0]]["ceiling"] / CEILING_OVER_CHANCE
    return bool(clipped_losses(data, runs, "at_horizon").mean() < CHANCE * chance)


def _share(data: Data, runs: Sequence[str], what: str) -> float:
    steps = happened(data, runs, what)
    return sum(step is not None for step in steps) / len(steps)


def _events(data: Data, runs: Sequence[str]) -> str:
    away, up = (events(happened(data, runs, what)) for what in ("diverges", "rises"))
    return f"diverges in {away} uses and rises for good in {up}"
