"""The page docs/experiments.md: what was run at which size, verdicts, outcomes, the monitor."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from figures.engine import markdown
from figures.engine.figure import Data
from figures.star.drift import BATCHES, SILENT
from figures.star.evidence.experiments import EPISODE, outer
from figures.star.evidence.outcomes import (
    events,
    foretold,
    happened,
    monitored,
    pooled,
    seen_at,
    spread,
    table,
)
from figures.star.evidence.terms import controllers, drifts, factors, momenta, stopped
from figures.star.evidence.verdicts import ADAM, NADAMW, STAR, Claim, Rows, claims
from figures.star.fig3 import seeds, sizes
from figures.star.inner_runs import RATES
from figures.star.search import FINALISTS
from figures.star.settings import (
    ABLATED,
    CIFAR,
    COMPARED,
    FASHION,
    SETTINGS,
    TERMS,
    Setting,
    tenfold,
)
from lopt.optimizers.baselines import RANDOM_SEARCH
from lopt.optimizers.star_update import HYPERPARAM

LONGER, TENFOLD = "star-wd0.1-long", tenfold("star-wd0.1")
BLACKBOX_LONGER, HYPERPARAM_LONGER = tenfold("blackbox"), tenfold("hyperparam")
PAGE = """
# Does STAR do what the paper says?

This page repeats the paper's in-distribution experiments on two tasks. {sizes} On each, all
optimizers are meta-trained with the same budget and the same learning rate,
{budget[learning_rate]:g} falling to a tenth; on Fashion-MNIST one seed of four of them is also
meta-trained for ten times as many outer steps. {counts} Each result is used on
{seeds}. The full-size form of the CIFAR-10 runs, for a
machine with an accelerator, is `lopt train --preset cifar10-convnet-star-wd0.1` and the like.

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
({seeds}); they are compared seed by seed, and a diverged run counts as the ceiling. Where the loss
stands still, a rise is a fluctuation: at the loss of chance, as with `star-no-nominal-2`, and where
the learning rate has come down to zero, as with NAdamW on CIFAR-10.

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

On Fashion-MNIST, the first seed of each optimizer was also meta-trained for ten times as many outer
steps (`10x`). The table has it below the same seed at the common budget.

{tenfold}

Within the horizon the blackbox term earns its place when it has time to learn: STAR with weight
decay 0.1 is below Hyperparam, and with 0.5 it is level with it. Blackbox alone comes within
{behind:.3f} of Hyperparam's mean loss, and no use of it rises for good: that it diverges is here a
matter of the budget of meta-training. The monitor calls it unstable at steps {places[1]:,} and
{places[2]:,} nonetheless ({blackbox_seen[1]}; {blackbox_seen[2]}). After ten horizons Hyperparam
has the lowest loss, and everything with a blackbox term is above it.

## Why the blackbox term costs beyond the horizon

The monitor does not foretell this cost: it measures how a small change of the weights grows, and it
calls `star-wd0.1-10x` stable at each of the steps {places[0]:,}, {places[1]:,} and {places[2]:,}
({tenfold_seen[0]}; {tenfold_seen[1]}; {tenfold_seen[2]}: verdict, largest oscillatory modulus,
sharpness). What costs is no instability but a drift. The mean of the blackbox term over batches
pushes the weights outward, hardly along the gradient, and does not become smaller with it. Within
the horizon larger weights help; afterwards they go on growing. If the blackbox term is left out
from step {silent:,} on, the loss after ten horizons is {stopped}.

{drift}

`python -m figures.star.drift NAME` measures this on the first held-out seed. Sizes are root mean
squares; the terms are means over {batches} batches.

## What the controller learns

At the printed β₂ = 1e-3 the hyperparameter controller has no effect in these runs. The factor
exp(β₂ m_g), by which it modulates the nominal term of every weight, is between {factors[0]:.4f} and
{factors[1]:.4f} at the horizon in all runs of Hyperparam; for a factor of two, m_g would have to be
693, and it is {head:.2f} at most. So Hyperparam is AdamAggMo with learned constants: the table has
its scale, which begins at 1, and its momenta, which begin at {momenta}.

{controllers}

`python -m figures.star.controller NAME` measures this on the first held-out seed and {batches}
batches.

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

{foretold} On CIFAR-10 one run was measured:

{cifar_monitored}

## Baselines

Adam's learning rate is the best of {rates} half-decades, {lowest_rate:g} to {highest_rate:g}. The
mean losses over the horizon are, on Fashion-MNIST, {adam}, and on CIFAR-10,
{cifar_adam}. For NAdamW, {draws:,} random draws with schedules were judged by their loss at the end
of the horizon on one seed, and the best {finalists} of them on all seeds. {nadamw}
"""


def page(data: Data, rows_of: Mapping[Setting, Rows]) -> str:
    """The page, with its numbers taken from the outcomes of the runs in the rows of each task."""
    rows, cifar = rows_of[FASHION], rows_of[CIFAR]
    compared = ((LONGER,), rows[STAR])
    far = {label: runs[:1] for label, runs in rows.items() if "far" in data[runs[0]]}
    printed = outer("blackbox-printed")
    found = {one: claims(data, one, rows_of[one]) for one in rows_of}
    return markdown.filled(
        PAGE,
        budget=FASHION.budget,
        sizes=sizes(),
        long=FASHION.long,
        seeds=seeds(),
        counts=_counts(),
        draws=RANDOM_SEARCH,
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
            data,
            {run: (run,) for kind in COMPARED for run in (FASHION.runs(kind)[0], tenfold(kind))},
        ),
        behind=pooled(data, [BLACKBOX_LONGER], "meta_loss").mean()
        - pooled(data, [HYPERPARAM_LONGER], "meta_loss").mean(),
        blackbox_seen=[seen_at(data[BLACKBOX_LONGER], place) for place in _places(FASHION)],
        tenfold_seen=[seen_at(data[TENFOLD], place) for place in _places(FASHION)],
        places=_places(FASHION),
        silent=SILENT * FASHION.horizon,
        stopped=stopped(),
        drift=drifts(),
        batches=BATCHES,
        factors=factors(),
        head=max(abs(math.log(factor)) for factor in factors()) / HYPERPARAM.nominal_exponent,
        momenta=momenta(HYPERPARAM.initial_momentum_decays),
        controllers=controllers(),
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
        nadamw=" ".join(_draws(data, one, rows_of[one]) for one in rows_of),
    )


def _counts() -> str:
    """Say how many seeds of meta-training there are."""
    (compared,) = {one.kinds[kind] for one in SETTINGS for kind in COMPARED}
    ablated = [{one.kinds[kind] for kind in ABLATED} for one in SETTINGS]
    terms = {FASHION.kinds[kind] for kind in TERMS}
    (fashion,), (cifar,), (other,) = *ablated, terms
    return (
        f"STAR, Blackbox and Hyperparam have {compared} seeds of meta-training each; STAR's "
        f"ablations have {fashion} on Fashion-MNIST and {cifar} on CIFAR-10, other nominal terms "
        f"have {other}."
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


def _draws(data: Data, setting: Setting, rows: Rows) -> str:
    """Say what the draws of NAdamW gave on a task."""
    found = data[rows[NADAMW][0]]
    losses = [one["final"] for one in found["search"]]
    constants = ", ".join(f"{k} {v:.3g}" for k, v in found["constants"].items())
    return (
        f"On {setting.label} their losses are from {min(losses):.4f} to {max(losses):.4f}, and the "
        f"best has {constants}."
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
