"""The page docs/experiments.md: each claim of section 5.3 with its verdict, numbers and command."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from figures.engine.figure import Data
from figures.engine.output import wrapped
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
Rows = dict[str, Sequence[str]]


class Claim(NamedTuple):
    """A row of the table."""

    text: str
    verdict: str
    numbers: str
    command: str

    def row(self) -> str:
        """It in Markdown."""
        return f"| {self.text} | **{self.verdict}** | {self.numbers} | `{self.command}` |"


def page(data: Data, rows: Rows) -> str:
    """The page, its numbers from the outcomes of the runs in `rows`."""
    claims = [
        _blackbox_diverges(data, rows),
        _star_does_not(data, rows),
        *_faster(data, rows),
        _weight_decay(data, rows),
        _preconditioner(data, rows),
        _nominal(data, rows),
        *_against_the_rest(data, rows),
    ]
    lines, printed = "\n".join(claim.row() for claim in claims), outer("blackbox-printed")
    return f"""# Does STAR do what the paper says?

The paper's in-distribution experiments on 28x28 Fashion-MNIST (784-128-128-10 ReLU MLP, batch 128,
horizon {HORIZON:,}, PES with truncation 50 and σ = 0.01, AdamW, clip 1):
{BUDGET["outer_steps"]} outer steps of {BUDGET["pairs"]} antithetic pairs for each optimizer, the
same learning rate, {BUDGET["learning_rate"]:g} falling to a tenth. The pictures are in
[figures.md](figures.md): `fig3`, `claims`, `app1` to `app4`, `nominal-terms`. Every number below is
computed from the results in figures/results/runs by `python -m figures claims`;
`python -m figures.star.meta_runs NAME` meta-trains a run and
`python -m figures.star.inner_runs NAME` uses it, anew where its files are not there.

## Verdicts

| claim of section 5.3 and Appendix C.2 | verdict | numbers | command |
|---|---|---|---|
{lines}

A run *diverges* when the mean training loss over 50 steps is not finite or above the ceiling that
meta-training clips at (1.5 ln 10); it *rises for good* when from some step on no mean over
{HORIZON // 10} steps is at the level of the horizon or below it, the level being the mean over the
last tenth of the horizon. Losses are over the seeds of use that all optimizers share; where they
are compared, seed by seed, a diverged run counts as the ceiling.

## What the printed constants do

With a random last layer the Blackbox optimizer at the printed constants pushes all weights one way
before it has learned anything, and diverges ({printed["lost"]:.0%} of the losses of
`blackbox-printed` are above the ceiling). What it learns in 2,000 outer steps is to bring the loss
to that of chance, ln 10 = 2.303, where the inner network is constant and no gradient is left: it
ends at a meta-loss of {printed["level"][-1]:.3f}. With the last layer at zero
(`initial_head_scale=0`), everything else as printed, it meta-trains: `blackbox-0` ends at
{data["blackbox-0"]["level"][-1]:.3f} after {BUDGET["outer_steps"]}. All runs that are compared here
begin so.

In STAR's blackbox term β₃ = 1e-3 is divided by v, some 1e-3 here, so that σ = 0.01 alone moves
weights by 0.01 a step and more: β₃ is 1e-5, as section 5.2 asks that it account for v. β₁ is 0.003
for the nominal term; the paper has 1e-3.

## A lower meta-loss is not stability

{wrapped(_not_stability(data, rows))}

## Outcomes

Mean ± standard deviation over all seeds of meta-training and of use; {STEPS:,} inner steps.

{table(data, rows)}

{_far(data, rows)}## The monitor beside the outcome

One step's eigenvalues on 1,024 fixed examples along a trajectory of its own: the verdict, the
largest modulus of what oscillates (a converged one), and the sharpness.

{monitored(data, rows, (HORIZON // 10, HORIZON, 10 * HORIZON))}

{foretold(data, rows, HORIZON)}

## Baselines

Adam, every half-decade of the learning rate, mean loss over the horizon on the {SEEDS} seeds:
{_search(data, "adam")}. NAdamW, {DRAWS} random draws judged on one seed, the best {FINALISTS} of
them on all: from {_best(data)}.
"""


def _not_stability(data: Data, rows: Rows) -> str:
    """The run with more meta-training, within its horizon and beyond."""
    long, short = ("star-wd0.1-long",), rows["STAR, weight decay 0.1"]
    within = [spread(pooled(data, runs, "meta_loss")) for runs in (long, short)]
    beyond = [events(happened(data, runs, "rises")) for runs in (long, short)]
    return (
        f"`{long[0]}`, STAR begun with random heads and meta-trained for 2,000 outer steps, has a "
        f"mean loss over the horizon of {within[0]}; the three runs of {BUDGET['outer_steps']} "
        f"from silent heads have {within[1]}. Beyond the horizon its uses rise for good in "
        f"{beyond[0]}, theirs in {beyond[1]}. Its meta-loss does not say so; the monitor "
        f"does, at the horizon: {seen_at(data[long[0]], HORIZON)}."
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


def _share(steps: Sequence[Any]) -> float:
    return sum(step is not None for step in steps) / len(steps)


def _blackbox_diverges(data: Data, rows: Rows) -> Claim:
    runs = rows["Blackbox"]
    away, up = (_share(happened(data, runs, what)) for what in ("diverges", "rises"))
    return Claim(
        "Blackbox diverges beyond its horizon",
        HOLDS if max(away, up) > 0.5 else PARTLY if max(away, up) > 0 else FAILS,
        _beyond(data, runs),
        "python -m figures.star.inner_runs blackbox-0",
    )


def _star_does_not(data: Data, rows: Rows) -> Claim:
    runs = [*rows["STAR, weight decay 0.1"], *rows["STAR, weight decay 0.5"]]
    away, up = (_share(happened(data, runs, what)) for what in ("diverges", "rises"))
    return Claim(
        "STAR stays stable beyond it",
        HOLDS if away + up == 0 else PARTLY if up < 0.5 else FAILS,
        _beyond(data, runs),
        "python -m figures.star.inner_runs star-wd0.1-0",
    )


def _beyond(data: Data, runs: Sequence[str]) -> str:
    """What becomes of the runs, and of the first of them farther on."""
    said = _events(happened(data, runs, "diverges"), happened(data, runs, "rises"))
    found, far = f"to step {STEPS:,} it {said}", data[runs[0]].get("far")
    if far:
        found += f"; to step {LONG:,} it {_events(far['diverges'], far['rises'])}"
    return found


def _events(diverges: Sequence[Any], rises: Sequence[Any]) -> str:
    return f"diverges in {events(diverges)} uses and rises for good in {events(rises)}"


def _faster(data: Data, rows: Rows) -> list[Claim]:
    found = []
    for other in ("Blackbox", "Hyperparam"):
        pairs = list(zip(rows["STAR, weight decay 0.1"], rows[other], strict=True))
        needed = [outer_steps_to(data[own]["level"], data[one]["level"][-1]) for own, one in pairs]
        reached = [step for step in needed if step is not None]
        ratios = [BUDGET["outer_steps"] / step for step in reached]
        numbers = (
            f"{len(reached)} of {len(pairs)} seeds reach the level (the mean over an episode, "
            f"{EPISODE} outer steps) that {other} ends at"
        )
        if ratios:
            numbers += (
                f", after {min(reached)} to {max(reached)} of its {BUDGET['outer_steps']} outer "
                f"steps: {min(ratios):.1f} to {max(ratios):.1f} times fewer"
            )
        verdict = HOLDS if len(reached) == len(pairs) else PARTLY if reached else FAILS
        text = f"STAR meta-trains faster than {other}"
        found.append(Claim(text, verdict, numbers, "python -m figures fig3"))
    return found


def _weight_decay(data: Data, rows: Rows) -> Claim:
    decays = {0.0: ("star-wd0-0",), 0.1: rows["STAR, weight decay 0.1"],
              0.5: rows["STAR, weight decay 0.5"], 1.0: ("star-wd1.0-0",)}  # fmt: skip
    means = {d: clipped_losses(data, runs, "meta_loss").mean() for d, runs in decays.items()}
    ends = {d: clipped_losses(data, runs, "final").mean() for d, runs in decays.items()}
    rises = {d: events(happened(data, runs, "rises")) for d, runs in decays.items()}
    said = "; ".join(
        f"{d:g}: {means[d]:.4f}, {ends[d]:.4f} at the end, rises in {rises[d]}" for d in decays
    )
    inside = {0.1, 0.5}
    best = [min(found, key=found.__getitem__) in inside for found in (means, ends)]
    verdict = HOLDS if all(best) else PARTLY if any(best) else FAILS
    return Claim("Weight decay from 0.1 to 0.5 is the good range", verdict, said,
                 "python -m figures app2")  # fmt: skip


def _helps(data: Data, rows: Rows, without: str, text: str, command: str) -> Claim:
    own, other = rows["STAR, weight decay 0.1"], rows[without]
    within, beyond = (against(data, own, other, key) for key in ("meta_loss", "final"))
    better = [(d > 0).all() for d in (within, beyond)]
    return Claim(
        text,
        HOLDS if all(better) else PARTLY if any(better) else FAILS,
        f"with it the mean loss over the horizon is {lower(within)}; the loss at step {STEPS:,} "
        f"{lower(beyond)}; without it {events(happened(data, other, 'rises'))} rise for good, with "
        f"it {events(happened(data, own, 'rises'))}",
        command,
    )


def _preconditioner(data: Data, rows: Rows) -> Claim:
    return _helps(data, rows, "STAR without preconditioner", "The preconditioner helps",
                  "python -m figures app3")  # fmt: skip


def _nominal(data: Data, rows: Rows) -> Claim:
    return _helps(data, rows, "STAR without nominal term", "The nominal term helps",
                  "python -m figures app4")  # fmt: skip


def _against_the_rest(data: Data, rows: Rows) -> list[Claim]:
    found = []
    for other in ("Hyperparam", "tuned Adam", "tuned NAdamW"):
        own = rows["STAR, weight decay 0.1"]
        within, beyond = (against(data, own, rows[other], key) for key in ("meta_loss", "final"))
        verdict = HOLDS if (within > 0).all() else PARTLY if within.mean() > 0 else FAILS
        numbers = f"{lower(within)}; at step {STEPS:,} {lower(beyond)}"
        text = f"STAR's mean loss over the horizon is below that of {other}"
        found.append(Claim(text, verdict, numbers, "python -m figures claims"))
    return found


def _far(data: Data, rows: Rows) -> str:
    """What came of those that went on."""
    far = {runs[0]: data[runs[0]]["far"] for runs in rows.values() if "far" in data[runs[0]]}
    if not far:
        return ""
    kinds = {label: runs[:1] for label, runs in rows.items() if runs[0] in far}
    return f"To {LONG:,} inner steps, one seed of meta-training each:\n\n{table(far, kinds)}\n\n"


def _search(data: Data, name: str) -> str:
    shown = [(one["constants"]["learning_rate"], one["meta_loss"]) for one in data[name]["search"]]
    return ", ".join(f"{rate:g}: {loss:.4f}" for rate, loss in shown)


def _best(data: Data) -> str:
    losses = sorted(one["meta_loss"] for one in data["nadamw"]["search"])
    constants = ", ".join(f"{k} {v:.3g}" for k, v in data["nadamw"]["constants"].items())
    return f"{losses[0]:.4f} to {losses[-1]:.4f}, the first with {constants}"
