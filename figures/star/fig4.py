"""Figure 4: optimizers that were meta-trained on one MLP, on other tasks.

    python -m lopt evaluate figures/results/runs/star-wd0.1-0.npz ... --tasks NAME ... --steps 2000
        --rates 1e-4 3e-4 1e-3 3e-3 1e-2 --draws 0 --results figures/results/suite [--tune]

trains what is missing; the figures read what figures/results/suite keeps, and train the rest.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from figures.engine.figure import RESULTS, Data, Figure
from figures.engine.markdown import table
from figures.engine.store import rounded
from figures.engine.style import BLUE, GREEN, GREY, ORANGE, PURPLE, plt, use_style
from figures.star.curves import plain
from figures.star.meta_runs import KEPT
from figures.star.verdicts import Claim
from lopt.meta.evaluation.outcome import CHOSEN, Row, TaskOutcome, tail
from lopt.meta.evaluation.records import edges
from lopt.meta.evaluation.suite import evaluate_suite
from lopt.optimizers.files.saved import load

PLACE = RESULTS / "suite"
STEPS, RATES = 2000, (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
KINDS = {
    "STAR, weight decay 0.1": ("star-wd0.1", BLUE),
    "STAR, weight decay 0.5": ("star-wd0.5", GREEN),
    "Blackbox": ("blackbox", ORANGE),
    "Hyperparam": ("hyperparam", PURPLE),
}
STARS = tuple(KINDS)[:2]
# A final loss that is at most so far above tuned Adam's is comparable.
COMPARABLE = 1.1


class Extent(NamedTuple):
    """What of a task is computed: held-out seeds, seeds of meta-training, and whether beta_1 of
    STAR is also chosen.
    """

    seeds: int
    runs: int = 1
    tuned: bool = False


EXTENT: dict[str, Extent] = {
    "cifar10-mlp-layernorm-small": Extent(1),
    "mnist-mlp-es1-small": Extent(1, tuned=True),
    "mnist-autoencoder-small": Extent(1, tuned=True),
    "cifar10-mlp-dropout-mse-small": Extent(1),
}
"""The tasks with results, in the order of the figures; Figure 4 shows the first four."""
SHOWN = tuple(EXTENT)[:4]
CONFIG: dict[str, Any] = {
    "steps": STEPS,
    "rates": list(RATES),
    "extent": {name: list(extent) for name, extent in EXTENT.items()},
}


def compute(task: str) -> dict[str, Any]:
    """The outcome of a task, from what is kept; what is missing is computed and kept first."""
    extent = EXTENT[task]
    kinds = [kind for kind, _ in KINDS.values()]
    found = _evaluated(task, extent, kinds, tune=False)
    rows = list(found.rows)
    if extent.tuned:
        more = _evaluated(task, extent, [KINDS[star][0] for star in STARS], tune=True)
        rows += [row for row in more.rows if row.name.endswith(CHOSEN)]
    return {
        "ceiling": rounded(found.adam.ceiling, 5),
        "at": edges(found.steps)[1:].tolist(),
        "rows": {row.name: _numbers(found, row) for row in rows},
    }


def _evaluated(task: str, extent: Extent, kinds: Iterable[str], *, tune: bool) -> TaskOutcome:
    runs = [f"{kind}-{seed}" for kind in kinds for seed in range(extent.runs)]
    saved = {run: load(KEPT / f"{run}.npz") for run in runs}
    found = evaluate_suite(
        saved, [task], PLACE, seeds=extent.seeds, rates=RATES, steps=STEPS, tune=tune
    )
    if found.skipped:
        raise ValueError(f"{task}: {found.skipped[task]}")
    return found.tasks[0]


def _numbers(found: TaskOutcome, row: Row) -> dict[str, Any]:
    """What the figures and captions use of a row."""
    curve, width = row.cut.mean(axis=0), tail(row.curves)
    middle = len(curve) // 2
    return {
        "constants": rounded(row.constants, 4),
        "curve": rounded(curve, 4),
        "first": rounded(row.cut[:, 0], 4),
        "final": rounded(row.final, 4),
        "diverged": row.diverged.tolist(),
        "final_over_adam": rounded(found.ratio(row, "final"), 4),
        "mean_over_adam": rounded(found.ratio(row, "mean"), 4),
        "steps_to_adam": found.steps_to_adam(row),
        "halfway": rounded(row.cut[:, middle - width : middle].mean(axis=1), 4),
    }


def rows_of(part: Any, label: str, *, chosen: bool = False) -> list[Any]:
    """The rows of an optimizer, one for each seed of its meta-training."""
    kind, _ = KINDS[label]
    return [
        row
        for name, row in part["rows"].items()
        if name.startswith(f"{kind}-") and name.endswith(CHOSEN) == chosen
    ]


def final(rows: Sequence[Any]) -> float:
    """The mean final loss of some rows."""
    return float(np.mean([row["final"] for row in rows]))


def best_star(part: Any, *, chosen: bool = False) -> str:
    """The weight decay with the lower final loss."""
    return min(STARS, key=lambda star: final(rows_of(part, star, chosen=chosen)))


def draw(data: Data, tasks: Sequence[str]) -> Any:
    """Draw a panel for each task: the losses of all optimizers over the inner steps."""
    use_style()
    columns = 2 if len(tasks) <= 4 else 3
    lines = -(-len(tasks) // columns)
    figure, panels = plt.subplots(lines, columns, figsize=(9.4, 3.2 * lines), squeeze=False)
    for axes, task in zip(panels.ravel(), tasks, strict=False):
        panel(axes, data[task], task)
    for axes in panels.ravel()[len(tasks) :]:
        axes.set_axis_off()
    lines_of = {
        label: handle
        for axes in panels.ravel()
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.tight_layout(rect=(0, 0.45 / (3.2 * lines), 1, 1))
    figure.legend(lines_of.values(), lines_of, loc="lower center", ncols=4, fontsize=8)
    return figure


def panel(axes: Any, part: Any, task: str) -> None:
    """Draw the curves of a task, cut at the ceiling or at one and a half times the first loss."""
    at, rows = np.array(part["at"]), part["rows"]
    top = min(part["ceiling"], 1.5 * max(row["curve"][0] for row in rows.values()))
    top = min(top, 1.03 * max(max(row["curve"]) for row in rows.values()))
    low = top
    for label, (_, colour) in KINDS.items():
        for chosen, style in ((False, "-"), (True, ":")):
            curves = [row["curve"] for row in rows_of(part, label, chosen=chosen)]
            name = label + (CHOSEN if chosen else "")
            for number, curve in enumerate(np.minimum(np.array(curves, float), top)):
                axes.plot(at, curve, style, color=colour, lw=1.3, label=name if not number else "")
                low = min(low, curve.min())
    adam = np.minimum(np.array(rows["Adam"]["curve"], float), top)
    axes.plot(at, adam, "--", color=GREY, label="tuned Adam")
    axes.set(xscale="log", yscale="log", xlabel="inner step", ylabel="training loss")
    axes.set_ylim(0.93 * min(low, adam.min()), 1.03 * top)
    axes.set_title(task.removesuffix("-small"))
    plain(axes.yaxis, (1, 1.25, 1.5, 2, 3, 4, 6, 8))


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
        *(["β₁ chosen"] if tuned else []),
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
            chosen = f"{_cell(rows)} (β₁ {step:g}, {star.removeprefix('STAR, weight ')})"
        lines.append((task.removesuffix("-small"), *cells, *([chosen] if tuned else [])))
    return table(head, lines)


def _cell(rows: Sequence[Any]) -> str:
    """The ratio of the final loss to tuned Adam's, with the uses that diverge."""
    ratio = np.mean([row["final_over_adam"] for row in rows])
    lost = [gone for row in rows for gone in row["diverged"]]
    return f"{ratio:.2f}" + (f", {sum(lost)} of {len(lost)} diverge" if any(lost) else "")


def claims(data: Data, tasks: Sequence[str]) -> list[Claim]:
    """The claims of section 5.3 about other tasks, with the conditions that decide them."""
    command = "python -m figures fig4"
    parts = {task.removesuffix("-small"): data[task] for task in tasks}
    lost = {name: _lost(rows_of(part, "Blackbox")) for name, part in parts.items()}
    star = {name: rows_of(part, best_star(part)) for name, part in parts.items()}
    falls = {
        name: all(
            row["final"][s] < row["halfway"][s] and not row["diverged"][s]
            for row in rows
            for s in range(len(row["final"]))
        )
        for name, rows in star.items()
    }
    to_adam = {
        name: final(rows) / final([parts[name]["rows"]["Adam"]]) for name, rows in star.items()
    }
    tuned = {
        task.removesuffix("-small"): final(rows_of(part, best_star(part, chosen=True), chosen=True))
        / final([part["rows"]["Adam"]])
        for task in tasks
        if EXTENT[task].tuned and (part := data[task])
    }
    against = {
        other: {
            name: final(rows) / final(rows_of(parts[name], other)) for name, rows in star.items()
        }
        for other in ("Blackbox", "Hyperparam")
    }
    below = [ratio < 1 for ratio in against["Hyperparam"].values()]
    chosen = f" With β₁ chosen: {_list(tuned)}." if tuned else ""
    return [
        Claim(
            "Blackbox diverges on all tasks of Figure 4",
            [any(gone) for gone in lost.values()],
            "It ends above the loss at which it began, or diverges, in "
            + ", ".join(f"{sum(gone)} of {len(gone)} uses ({n})" for n, gone in lost.items())
            + ".",
            command,
        ),
        Claim(
            "STAR continues to descend at the right weight decay",
            falls.values(),
            f"The final loss is below that at half of the steps, in every use, on "
            f"{sum(falls.values())} of {len(falls)} tasks.",
            command,
        ),
        Claim(
            "STAR is comparable to tuned Adam",
            [ratio <= COMPARABLE for ratio in to_adam.values()],
            f"Final loss over tuned Adam's: {_list(to_adam)}.{chosen}",
            command,
        ),
        Claim(
            "STAR is sometimes better than tuned Adam",
            [min(to_adam.values()) < 1],
            f"Its final loss is lower on {sum(r < 1 for r in to_adam.values())} of {len(to_adam)} "
            f"tasks{_also(tuned)}.",
            command,
        ),
        Claim(
            "STAR nearly always ends below Blackbox",
            [ratio < 1 for ratio in against["Blackbox"].values()],
            f"Final loss over Blackbox's: {_list(against['Blackbox'])}.",
            command,
        ),
        Claim(
            "STAR against Hyperparam is mixed",
            [any(below), not all(below)],
            f"Final loss over Hyperparam's: {_list(against['Hyperparam'])}.",
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


def _list(ratios: dict[str, float]) -> str:
    return ", ".join(f"{ratio:.2f} ({name})" for name, ratio in ratios.items())


def _also(tuned: dict[str, float]) -> str:
    if not tuned:
        return ""
    return f", with β₁ chosen on {sum(r < 1 for r in tuned.values())} of {len(tuned)}"


def setting(tasks: Sequence[str]) -> str:
    """Say what the curves are."""
    seeds, runs = (
        " or ".join(str(n) for n in sorted({getattr(EXTENT[task], what) for task in tasks}))
        for what in ("seeds", "runs")
    )
    tuned = any(EXTENT[task].tuned for task in tasks)
    few = f"Where β₁ is chosen it has {len(RATES)} values, too; otherwise it is 0.003. "
    return (
        "All learned optimizers were meta-trained on the 784-128-128-10 MLP on Fashion-MNIST over "
        f"2,000 inner steps (`fig3`; {_count(runs, 'seed')} each). A curve is the mean over "
        f"{_count(seeds, 'held-out seed')} of the training loss in bins of {STEPS // 100} steps. "
        f"Adam's rate is the best of {len(RATES)} half-decades by the final loss, the mean over "
        f"the last tenth of the steps, on the same seeds. {few if tuned else 'β₁ is 0.003. '}"
        "The table gives tuned Adam's final loss, and those of the others divided by it. A run "
        "that diverges (final loss not finite or above the ceiling, 1.5 times chance or 1 for "
        "squared errors) counts as the ceiling."
    )


def _count(number: str, what: str) -> str:
    return f"{number} {what}{'' if number == '1' else 's'}"


def seen(data: Data, tasks: Sequence[str]) -> str:
    """Say how STAR, at the better weight decay, and Blackbox do."""
    star = {task: rows_of(data[task], best_star(data[task])) for task in tasks}
    ratios = [final(rows) / final([data[task]["rows"]["Adam"]]) for task, rows in star.items()]
    blackbox = {task: rows_of(data[task], "Blackbox") for task in tasks}
    below = sum(final(star[task]) < final(blackbox[task]) for task in tasks)
    lost = sum(any(_lost(rows)) for rows in blackbox.values())
    return (
        f"At the better of two weight decays, STAR's final loss is {min(ratios):.2f} to "
        f"{max(ratios):.2f} times tuned Adam's, and below Blackbox's on {below} of {len(tasks)} "
        f"tasks. Blackbox ends above its first loss on {lost} of them."
    )


def caption(data: Data) -> str:
    """Describe the picture, the paper's figure, the differences, and the verdicts."""
    found = claims(data, tuple(EXTENT))
    verdicts = "\n".join(f"* {c.text}: {c.cells()[1]}. {c.numbers}" for c in found)
    return f"""
**Seen.** {seen(data, SHOWN)} {setting(SHOWN)}

{results_table(data, SHOWN)}

Verdicts on the claims of section 5.3 about other tasks, for the better of the two weight decays:

{verdicts}

**Paper.** Figure 4: a 3-layer MLP with layer norm on CIFAR-10, a shallow ResNet on 32x32 ImageNet,
an LSTM and a transformer on LM1B. Blackbox diverges on all of them; STAR with the right weight
decay continues to descend, and is comparable to tuned Adam.

**Differs.** Of the paper's four tasks the first is here, and smaller tasks replace the others. Runs
have {STEPS:,} steps, which is the horizon of meta-training, where the paper has more. There is no
NAdamW. Meta-training differs as in Figure 3 (`fig3`). The verdicts are on all tasks that are shown.
"""


FIGURE = Figure(
    name="fig4",
    title="Figure 4: optimizers from one MLP on other tasks",
    seen="Training loss over inner steps of STAR, Blackbox, Hyperparam and tuned Adam, a panel for "
    "each task",
    config=CONFIG,
    parts=tuple(EXTENT),
    compute=compute,
    draw=partial(draw, tasks=SHOWN),
    caption=caption,
)
