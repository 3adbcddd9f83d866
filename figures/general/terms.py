"""The figure `general-terms`: what the terms of the update are worth where updates are normalized.

Every meta-trained optimizer had the same budget; AdamAggMo is not learned. Each takes part with
normalized updates and with orthogonalized ones.
"""

from typing import Any

import numpy as np

from figures.engine.figure import Data, Figure
from figures.engine.markdown import table
from figures.engine.style import BLUE, GREEN, GREY, ORANGE, plt, use_style
from figures.general.outcomes import (
    CONFIG,
    SEEDS,
    STEPS,
    UNLEARNED,
    evaluated,
    numbers,
    over_adamw,
    unlearned,
)
from figures.star.curves import plain
from figures.star.meta_runs import KEPT
from lopt.meta.evaluation.scheduled import ADAMW, RATES
from lopt.optimizers.files.saved import Saved, load
from lopt.tasks.suites.catalogue import SMALL

NORMALIZED = "AdamAggMo-normalized"
# By geometry: who takes part, the one that is not learned last.
ENTRANTS: dict[str, dict[str, str]] = {
    "normalized": {
        "general-star": "nominal term, controller, blackbox term",
        "general-blackbox": "blackbox term",
        "general-hyperparam": "nominal term, controller",
        NORMALIZED: "nominal term, not learned",
    },
    "orthogonalized": {
        "general-star-orthogonal": "nominal term, controller, blackbox term",
        "general-blackbox-orthogonal": "blackbox term",
        "general-hyperparam-orthogonal": "nominal term, controller",
        UNLEARNED: "nominal term, not learned",
    },
}
COLOURS = (BLUE, ORANGE, GREEN, GREY)
LOWEST, HIGHEST = 0.3, 3.0


def optimizers() -> dict[str, Saved]:
    """All that take part."""
    return {
        name: unlearned(orthogonal=name == UNLEARNED)
        if name in (NORMALIZED, UNLEARNED)
        else load(KEPT / f"{name}.npz")
        for each in ENTRANTS.values()
        for name in each
    }


def compute(task: str) -> dict[str, Any]:
    """The outcome of a task, from what is kept; what is missing is computed and kept first."""
    return numbers(*evaluated(task, optimizers(), (ADAMW,)))


def draw(data: Data) -> Any:
    """Draw a panel for each geometry, with a row for each task."""
    use_style()
    height = 0.33 * len(data) + 1.6
    figure, panels = plt.subplots(1, 2, figsize=(10.2, height), sharey=True)
    rows = np.arange(len(data))
    for axes, (geometry, entrants) in zip(panels, ENTRANTS.items(), strict=True):
        for colour, (name, label) in zip(COLOURS, entrants.items(), strict=True):
            ratios = np.clip(over_adamw(data, name, "tuned"), LOWEST, HIGHEST)
            axes.plot(ratios, rows, "o", ms=5, alpha=0.85, color=colour, label=label)
        axes.axvline(1, color=GREY, lw=1, ls="--")
        axes.grid(axis="y", lw=0.3)
        axes.set(xscale="log", title=geometry, xlabel="final loss over tuned AdamW's")
        axes.set_xlim(0.95 * LOWEST, 1.05 * HIGHEST)
        plain(axes.xaxis, (1, 2, 3, 5, 7))
    panels[0].set_yticks(rows, [name.removesuffix(SMALL) for name in data])
    panels[0].invert_yaxis()
    figure.tight_layout(rect=(0, 0.45 / height, 1, 1))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="lower center", ncols=4, fontsize=8)
    return figure


def summary(data: Data) -> str:
    """A Markdown table with a row for each optimizer."""
    rows = []
    for geometry, entrants in ENTRANTS.items():
        plain_losses = np.array(over_adamw(data, list(entrants)[-1], "tuned"))
        for name, label in entrants.items():
            tuned, default = (np.array(over_adamw(data, name, how)) for how in ("tuned", "untuned"))
            against = tuned / plain_losses
            learned = label != list(entrants.values())[-1]
            rows.append(
                (
                    geometry,
                    label,
                    f"{np.median(tuned):.3f}",
                    f"{np.median(default):.3f}",
                    f"{np.median(against):.3f}" if learned else "",
                    f"{(against < 1).sum()} of {len(data)}" if learned else "",
                )
            )
    head = (
        "update",
        "terms",
        "tuned, over tuned AdamW",
        "untuned, over untuned AdamW",
        "tuned, over not learned",
        "lower than not learned",
    )
    return table(head, rows)


def caption(data: Data) -> str:
    """Describe the picture and what differs from its sources."""
    return f"""
**Seen.** Final training losses over that of tuned AdamW on the {len(data)} tasks of `general`, each
at its best of {len(RATES)} learning rates, means over {SEEDS} held-out seeds. Left, the update of
each tensor is divided by its root mean square; right, matrices are orthogonalized first. All that
are meta-trained had the same budget and tasks (figures/general/meta_runs.py).

{summary(data)}

The numbers are medians over the tasks of ratios of final losses.

**Paper.** There is no such figure; its optimizers are not normalized.

**Differs.** As in `general`.
"""


FIGURE = Figure(
    name="general-terms",
    title="What the terms are worth where updates are normalized",
    seen="Two panels, normalized and orthogonalized: a row of dots for each task, the final losses "
    "of four optimizers over tuned AdamW's",
    config=CONFIG,
    parts=tuple(STEPS),
    compute=compute,
    draw=draw,
    caption=caption,
)
