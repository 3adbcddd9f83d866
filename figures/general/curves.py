"""The figure `general-curves`: the training curves behind `general`, a panel for each task."""

from typing import Any

import numpy as np

from figures.engine.figure import Data, Figure
from figures.engine.store import rounded
from figures.engine.style import BLUE, GREEN, GREY, ORANGE, plt, use_style
from figures.general.outcomes import CONFIG, GENERAL, SEEDS, STEPS, UNLEARNED, evaluated, learned
from lopt.meta.evaluation.scheduled import ADAMW, DEFAULTS, RATES
from lopt.tasks.suites.catalogue import SMALL

STYLES = {
    ADAMW: (GREY, "AdamW"),
    "Muon": (GREEN, "Muon"),
    UNLEARNED: (ORANGE, "the same before meta-training"),
    GENERAL: (BLUE, "general"),
}
COLUMNS = 4


def compute(task: str) -> dict[str, Any]:
    """The mean curves of a task over seeds; what is missing is computed and kept first."""
    both = dict(zip(("tuned", "untuned"), evaluated(task, learned(), ("Muon",)), strict=True))
    return {
        "steps": STEPS[task],
        **{
            how: {row.name: rounded(row.cut.mean(0), 4) for row in found.rows if row.name in STYLES}
            for how, found in both.items()
        },
    }


def draw(data: Data) -> Any:
    """Draw a panel for each task."""
    use_style()
    rows = -(-len(data) // COLUMNS)
    figure, panels = plt.subplots(rows, COLUMNS, figsize=(10.2, 2.1 * rows + 0.7), squeeze=False)
    for axes, (task, part) in zip(panels.flat, data.items(), strict=False):
        for name, (colour, label) in STYLES.items():
            for how, line in (("tuned", "-"), ("untuned", ":")):
                curve = np.array(part[how][name], float)
                steps = (np.arange(curve.size) + 0.5) * part["steps"] / curve.size
                axes.plot(steps, curve, line, color=colour, lw=1.3, label=label + f", {how}")
        axes.set_title(task.removesuffix(SMALL), fontsize=8)
        axes.set_xlim(0, part["steps"])
        axes.tick_params(labelsize=7)
    for axes in panels.flat[len(data) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel("training loss", fontsize=8)
    for axes in panels[-1]:
        axes.set_xlabel("step", fontsize=8)
    figure.tight_layout(rect=(0, 0.45 / figure.get_figheight(), 1, 1))
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(), loc="lower center", ncols=4, fontsize=8
    )
    return figure


def caption(data: Data) -> str:
    """Describe the picture and what differs from its sources."""
    return f"""
**Seen.** The training losses of `general` on the {len(data)} tasks of the comparison above, as
means over {SEEDS} held-out seeds: solid lines at the best of {len(RATES)} learning rates for each
task, dotted ones at the default rate ({DEFAULTS[ADAMW]:g} for all four). Where solid and dotted
lines are far apart, an optimizer has to be tuned.

**Paper.** There is no such figure.

**Differs.** Losses are averaged over bins of a hundredth of the steps, and cut at the ceiling of
the task.
"""


FIGURE = Figure(
    name="general-curves",
    title="Training curves of general on tasks that it has not seen",
    seen="Sixteen panels of training losses, tuned and untuned: AdamW's, Muon's, and those of the "
    "general optimizer before and after meta-training",
    config=CONFIG,
    parts=tuple(STEPS),
    compute=compute,
    draw=draw,
    caption=caption,
)
