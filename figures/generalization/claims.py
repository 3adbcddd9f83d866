"""What the outcomes on other tasks say: a table, and the claims of section 5.3 and Appendix C.3."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from figures.engine.figure import Data
from figures.engine.markdown import table
from figures.generalization.outcomes import (
    EXTENT,
    KINDS,
    RATES,
    STARS,
    best_star,
    final,
    rows_of,
)
from figures.star.evidence.verdicts import Claim
from lopt.tasks.suites.catalogue import SMALL

# A final loss that is at most so far above tuned Adam's is comparable.
COMPARABLE = 1.1


def results_table(data: Data, tasks: Sequence[str]) -> str:
    """A Markdown table: final losses over tuned Adam's, and what diverged."""
    tuned = any(EXTENT[task].tuned for task in tasks)
    stars = [star.replace("weight decay ", "") for star in STARS]
    head = (
        "task",
        "Adam (rate)",
        *stars,
        "Blackbox",
        "Hyperparam",
        *(["β₁ chosen (β₁, decay)"] if tuned else []),
    )
    lines = []
    for task in tasks:
        part = data[task]
        adam = part["rows"]["Adam"]
        cells = [f"{final([adam]):.4g} ({adam['constants']['learning_rate']:g})"]
        cells += [_cell(rows_of(part, label)) for label in KINDS]
        chosen = ""
        if EXTENT[task].tuned:
            star = best_star(part, chosen=True)
            rows = rows_of(part, star, chosen=True)
            step = rows[0]["constants"]["nominal_step"]
            chosen = f"{_cell(rows)} ({step:g}, {star.removeprefix('STAR, weight decay ')})"
        lines.append((_short(task), *cells, *([chosen] if tuned else [])))
    return table(head, lines)


def _cell(rows: Sequence[Any]) -> str:
    """The ratio of the final loss to tuned Adam's, with the share of uses that diverge."""
    ratio = np.mean([row["final_over_adam"] for row in rows])
    lost = [gone for row in rows for gone in row["diverged"]]
    return f"{ratio:.2f}" + (f" ({sum(lost)}/{len(lost)})" if any(lost) else "")


def claims(data: Data, tasks: Sequence[str], four: Sequence[str]) -> list[Claim]:
    """The claims about other tasks, with the conditions that decide them; the first is about the
    tasks of Figure 4.
    """
    command = "python -m figures fig4"
    parts = {task: data[task] for task in tasks}
    star = {task: rows_of(part, best_star(part)) for task, part in parts.items()}
    blackbox = {task: rows_of(part, "Blackbox") for task, part in parts.items()}
    lost = {task: _lost(blackbox[task]) for task in four}
    falls = [_descends(rows) for rows in star.values()]
    to_adam = _ratios(star, {task: [part["rows"]["Adam"]] for task, part in parts.items()})
    tuned = _chosen(data, tasks)
    to_blackbox = _ratios(star, blackbox)
    to_hyperparam = _ratios(star, {t: rows_of(part, "Hyperparam") for t, part in parts.items()})
    below = [ratio < 1 for ratio in to_hyperparam.values()]
    return [
        Claim(
            "Blackbox diverges on all tasks of Figure 4",
            [any(gone) for gone in lost.values()],
            "It ends above the loss at which it began, or diverges, in "
            + ", ".join(
                f"{sum(gone)} of {len(gone)} uses ({_short(n)})" for n, gone in lost.items()
            )
            + ".",
            command,
        ),
        Claim(
            "STAR continues to descend at the right weight decay",
            falls,
            f"The final loss is below that at half of the steps, in every use, on {_of(falls)}.",
            command,
        ),
        Claim(
            "STAR is comparable to tuned Adam",
            [ratio <= COMPARABLE for ratio in to_adam.values()],
            f"Final loss over tuned Adam's: {_summary(to_adam, COMPARABLE)}"
            + (f"; with β₁ chosen: {_summary(tuned, COMPARABLE)}." if tuned else "."),
            command,
        ),
        Claim(
            "STAR is sometimes better than tuned Adam",
            [min(to_adam.values()) < 1],
            f"Its final loss is lower on {_of([r < 1 for r in to_adam.values()])}"
            + (f", with β₁ chosen on {_of([r < 1 for r in tuned.values()])}." if tuned else "."),
            command,
        ),
        Claim(
            "STAR nearly always ends below Blackbox",
            [ratio < 1 for ratio in to_blackbox.values()],
            f"Final loss over Blackbox's: {_summary(to_blackbox)}.",
            command,
        ),
        Claim(
            "STAR against Hyperparam is mixed",
            [any(below), not all(below)],
            f"Final loss over Hyperparam's: {_summary(to_hyperparam)}.",
            command,
        ),
    ]


def _lost(rows: Sequence[Any]) -> list[bool]:
    """Whether each use ends above its first loss, or diverges."""
    return [
        gone or end > first
        for row in rows
        for gone, end, first in zip(row["diverged"], row["final"], row["first"], strict=True)
    ]


def _descends(rows: Sequence[Any]) -> bool:
    """Whether every use ends below its loss at half of the steps."""
    return not any(
        gone or end >= half
        for row in rows
        for gone, end, half in zip(row["diverged"], row["final"], row["halfway"], strict=True)
    )


def _ratios(rows: dict[str, list[Any]], others: dict[str, list[Any]]) -> dict[str, float]:
    """Final losses, each divided by another's on the same task."""
    return {task: final(own) / final(others[task]) for task, own in rows.items()}


def _chosen(data: Data, tasks: Sequence[str]) -> dict[str, float]:
    """STAR's final loss with beta_1 chosen over tuned Adam's, where it has been chosen."""
    parts = {task: data[task] for task in tasks if EXTENT[task].tuned}
    star = {t: rows_of(p, best_star(p, chosen=True), chosen=True) for t, p in parts.items()}
    return _ratios(star, {task: [part["rows"]["Adam"]] for task, part in parts.items()})


def _summary(ratios: dict[str, float], bound: float = 1.0) -> str:
    """The range of ratios, their median, and how many are within a bound."""
    low, high = (
        f"{ratios[task]:.2f} ({_short(task)})"
        for task in (min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__))
    )
    within = [ratio <= bound if bound > 1 else ratio < 1 for ratio in ratios.values()]
    middle = float(np.median(list(ratios.values())))
    word = f"at most {bound:g}" if bound > 1 else "below 1"
    return f"{word} on {_of(within)}, median {middle:.2f}, from {low} to {high}"


def _of(which: Sequence[bool]) -> str:
    return f"{sum(which)} of {len(which)} tasks" if len(which) > 1 else f"{sum(which)} of 1 task"


def _short(task: str) -> str:
    return task.removesuffix(SMALL)


def setting(data: Data, tasks: Sequence[str]) -> str:
    """Say what the curves are."""
    extents = [EXTENT[task] for task in tasks]
    seeds, runs, steps = (
        " or ".join(f"{n:,}" for n in sorted({getattr(extent, what) for extent in extents}))
        for what in ("seeds", "runs", "steps")
    )
    few = f"Where β₁ is chosen, for one seed, it has {len(RATES)} values, too; else it is 0.003. "
    return (
        "All learned optimizers were meta-trained on the 784-128-128-10 MLP on Fashion-MNIST over "
        f"2,000 inner steps (`fig3`; {_count(runs, 'seed')} each) and train here for {steps}. A "
        f"curve is the mean over {_count(seeds, 'held-out seed')} of the training loss in bins of "
        f"a hundredth of the steps. Adam's rate is the best of {len(RATES)} half-decades by the "
        "final loss, the mean over the last tenth of the steps, on the same seeds. "
        f"{_at_the_edge(data, tasks)}"
        f"{few if any(extent.tuned for extent in extents) else 'β₁ is 0.003. '}"
        "The table gives tuned Adam's final loss, and those of the others divided by it. A run "
        "that diverges (final loss not finite or above the ceiling, 1.5 times chance or 1 for "
        "squared errors) counts as the ceiling; the share of such runs is in brackets."
    )


def _at_the_edge(data: Data, tasks: Sequence[str]) -> str:
    """Name the tasks where Adam might do better with a rate that was not tried."""
    rate = {task: data[task]["rows"]["Adam"]["constants"]["learning_rate"] for task in tasks}
    found = [_short(task) for task in tasks if rate[task] in (min(RATES), max(RATES))]
    if not found:
        return ""
    return (
        f"It is at an end of the range, {min(RATES):g} to {max(RATES):g}, for {', '.join(found)}. "
    )


def _count(number: str, what: str) -> str:
    return f"{number} {what}{'' if number == '1' else 's'}"


def seen(data: Data, tasks: Sequence[str]) -> str:
    """Say how STAR, at the better weight decay, and Blackbox do."""
    star = {task: rows_of(data[task], best_star(data[task])) for task in tasks}
    blackbox = {task: rows_of(data[task], "Blackbox") for task in tasks}
    ratios = _ratios(star, {task: [data[task]["rows"]["Adam"]] for task in tasks}).values()
    below = sum(ratio < 1 for ratio in _ratios(star, blackbox).values())
    lost = sum(any(_lost(rows)) for rows in blackbox.values())
    return (
        f"At the better of two weight decays, STAR's final loss is {min(ratios):.2f} to "
        f"{max(ratios):.2f} times tuned Adam's, and below Blackbox's on {below} of {len(tasks)} "
        f"tasks. Blackbox ends above its first loss on {lost} of them."
    )
