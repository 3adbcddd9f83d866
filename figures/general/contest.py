"""The figure `general`: learned optimizers on sixteen tasks that they have not seen, scheduled."""

from typing import Any

import numpy as np

from figures.engine.figure import Data, Figure
from figures.engine.markdown import table
from figures.engine.style import BLUE, GREEN, GREY, ORANGE, PLUM, plt, use_style
from figures.general.outcomes import (
    CONFIG,
    SCREENING,
    SEEDS,
    STEPS,
    UNLEARNED,
    at_the_largest_rate,
    compute,
    diverged,
    faster,
    named,
    names,
    over_adamw,
    shares,
)
from figures.star.curves import plain
from lopt.meta.evaluation.scheduled import ADAMW, DECAY, RATES, WARMUP
from lopt.tasks.suites.catalogue import SMALL

LEFT, RIGHT = 0.05, 4.0
COLOURS = {
    "NAdamW": GREY,
    "Lion": PLUM,
    "Muon": GREEN,
    "Schedule-free-AdamW": "black",
    UNLEARNED: ORANGE,
}


def draw(data: Data) -> Any:
    """Draw a row for each task: a dot for each optimizer, its steps on the left, its loss without
    tuning on the right.
    """
    use_style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.2, 0.36 * len(data) + 1.8), sharey=True)
    rows = np.arange(len(data))
    for name in names(data):
        if name == ADAMW:
            continue
        colour = COLOURS.get(name, BLUE)
        mark = {"color": colour, "ms": 5 if name in COLOURS else 7, "alpha": 0.85}
        shape = "o" if name in COLOURS else "D"
        found = np.array(shares(data, name))
        left.plot(
            np.clip(found, LEFT, RIGHT / 2), rows, shape, label=named(name).replace("`", ""), **mark
        )
        ratios = np.clip(over_adamw(data, name, "untuned"), 1 / RIGHT, RIGHT)
        right.plot(ratios, rows, shape, **mark)
    for axes in (left, right):
        axes.axvline(1, color=GREY, lw=1, ls="--")
        axes.set(xscale="log")
        axes.grid(axis="y", lw=0.3)
    left.set(
        title="steps to tuned AdamW's final loss",
        xlabel="share of its steps (right of 1: not reached)",
        xlim=(LEFT, RIGHT / 1.8),
    )
    right.set(title="final loss, nobody tuned", xlabel="over AdamW's at 1e-3")
    left.set_yticks(rows, [name.removesuffix(SMALL) for name in data])
    left.invert_yaxis()
    plain(left.xaxis, (1, 2, 5))
    plain(right.xaxis, (1, 2, 3, 5, 7))
    figure.tight_layout(rect=(0, 0.55 / figure.get_figheight(), 1, 1))
    figure.legend(*left.get_legend_handles_labels(), loc="lower center", ncols=4, fontsize=8)
    return figure


def summary(data: Data) -> str:
    """A Markdown table with a row for each optimizer."""
    head = (
        "optimizer",
        "fewer steps than tuned AdamW",
        "median share of its steps",
        "median of the tuned losses' ratio",
        "untuned, below AdamW at 1e-3",
        "median of that ratio",
        "best at the largest rate",
        "diverges",
    )
    tasks = len(data)
    return table(
        head,
        [
            (
                named(name),
                f"{faster(data, name)} of {tasks}",
                _share(float(np.median(shares(data, name)))),
                f"{np.median(over_adamw(data, name, 'tuned')):.3f}",
                f"{sum(ratio < 1 for ratio in over_adamw(data, name, 'untuned'))} of {tasks}",
                f"{np.median(over_adamw(data, name, 'untuned')):.3f}",
                f"on {at_the_largest_rate(data, name)}",
                f"on {diverged(data, name)}",
            )
            for name in names(data)
            if name != ADAMW
        ],
    )


def _share(share: float) -> str:
    return f"{share:.2f}" if np.isfinite(share) else "not reached"


def by_task(data: Data) -> str:
    """A Markdown table of final losses at the best learning rates, a row for each task."""
    shown = names(data)
    rows = []
    for task, part in data.items():
        tuned = part["tuned"]
        best = min(shown, key=lambda name: np.mean(tuned[name]["final"]))
        cells = [_cell(tuned[name], bold=name == best) for name in shown]
        rows.append((task.removesuffix(SMALL), f"{part['steps']:,}", *cells))
    return table(("task", "steps", *map(named, shown)), rows)


def _cell(row: Any, *, bold: bool) -> str:
    text = f"{np.mean(row['final']):.4g} ({row['rate']:g})"
    return f"**{text}**" if bold else text


def caption(data: Data) -> str:
    """Describe the picture and what differs from its sources."""
    return f"""
**Seen.** {len(data)} tasks on which nothing here was meta-trained; every optimizer has a linear
warm-up over {WARMUP:.0%} of the steps, then a cosine down to zero, and weight decay {DECAY:g} times
the learning rate. Left: the share of tuned AdamW's steps after which an optimizer has come down to
tuned AdamW's final loss, each at its best of {len(RATES)} learning rates, {min(RATES):g} to
{max(RATES):g}, found on {SCREENING} of {SEEDS} held-out seeds. Right: the final loss over AdamW's,
everyone at the default rate. The diamond is meta-trained. Who is often best at the largest rate
might be better at a larger one.

{summary(data)}

Final losses at the best learning rate (in brackets), the lowest in bold:

{by_task(data)}

**Paper.** There is no such figure; its optimizers have no learning rate.

**Differs.** The tasks have their forms for two CPU cores (`lopt.tasks.SUITES`), and few steps.
"""


FIGURE = Figure(
    name="general",
    title="Learned optimizers with a learning rate on tasks that they have not seen",
    seen="A row of dots for each task: the steps that each optimizer needs, and its final loss "
    "where nobody is tuned",
    config=CONFIG,
    parts=tuple(STEPS),
    compute=compute,
    draw=draw,
    caption=caption,
)
