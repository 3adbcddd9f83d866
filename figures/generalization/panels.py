"""The panels of Figure 4 and of Figures 5 and 6 of the appendix."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from figures.engine.figure import Data
from figures.engine.style import GREY, plt, use_style
from figures.generalization.outcomes import CHOSEN, KINDS, rows_of
from figures.star.curves import plain
from lopt.meta.evaluation.records import edges
from lopt.tasks.suites.catalogue import SMALL


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
    at, rows = edges(part["steps"])[1:], part["rows"]
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
    axes.set_title(task.removesuffix(SMALL))
    plain(axes.yaxis, (1, 1.25, 1.5, 2, 3, 4, 6, 8))
