"""All variants at one budget compared with tuned Adam, and verdicts on section 5.3's claims."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from figures.engine.figure import PICTURES, Data, Figure
from figures.engine.style import BLUE, GREY, plt, use_style
from figures.star.curves import plain
from figures.star.evidence.experiments import collect
from figures.star.evidence.outcomes import clipped_losses
from figures.star.evidence.page import page
from figures.star.evidence.verdicts import ADAM, Rows, longer
from figures.star.fig3 import CURVES, config
from figures.star.settings import COMPARED, SETTINGS, Setting, tenfold

LEARNED = {curve.label: curve.kind for curve in CURVES if curve.kind in COMPARED}
TUNED = {curve.label: curve.kind for curve in CURVES if curve.kind not in COMPARED}
VARIANTS = {
    "STAR, weight decay 0": "star-wd0",
    "STAR, weight decay 1.0": "star-wd1.0",
    "STAR without preconditioner": "star-no-preconditioner",
    "STAR without nominal term": "star-no-nominal",
    "STAR, nominal term SGD": "star-sgd",
    "STAR, nominal term SGDM": "star-sgdm",
    "STAR, nominal term AggMo": "star-aggmo",
    "STAR, nominal term Adam": "star-adam",
}
# Single runs, outside the comparison at one budget.
BESIDES = {
    "STAR, nominal term SGDM, momentum 0.9": "star-sgdm-0.9",
    "STAR, nominal term Adam, momentum 0.9": "star-adam-0.9",
    "STAR, β₃ = 1e-6": "star-small-blackbox",
    "STAR, 2,000 outer steps, random last layer": "star-wd0.1-long",
    **{longer(label): tenfold(kind) for label, kind in LEARNED.items()},
}
ROWS = {
    one: {
        label: one.runs(kind)
        for label, kind in (LEARNED | VARIANTS | BESIDES | TUNED).items()
        if one.has(kind)
    }
    for one in SETTINGS
}
RUNS = tuple(run for rows in ROWS.values() for runs in rows.values() for run in runs)
COLOURS = {label: c.colour for c in CURVES for label in (c.label, longer(c.label))}


def compute(name: str) -> Any:
    """Compute the outcome of a run, without the points of its curves."""
    found = collect(name)
    found.get("far", {}).pop("curves", None)
    return {key: value for key, value in found.items() if key not in ("curves", "at", "outer")}


def draw(data: Data) -> Any:
    """Draw ratios to tuned Adam: a row per variant, a dot per run and held-out seed; a row of
    panels for each task.
    """
    use_style()
    heights = [len(rows) for rows in ROWS.values()]
    figure, axes = plt.subplots(
        len(ROWS), 2, figsize=(10.2, 0.32 * sum(heights) + 1.2), sharey="row", height_ratios=heights
    )
    for panels, (setting, rows) in zip(axes, ROWS.items(), strict=True):
        _draw(data, setting, rows, panels)
    figure.tight_layout()
    return figure


def _draw(data: Data, setting: Setting, rows: Rows, panels: Any) -> None:
    titles = ("mean over the horizon", f"at step {setting.steps:,}")
    for axes, key, title in zip(panels, ("meta_loss", "final"), titles, strict=True):
        reference = np.array(data[rows[ADAM][0]][key], float)
        for row, (label, runs) in enumerate(rows.items()):
            ratios = clipped_losses(data, runs, key) / reference
            colour = COLOURS.get(label, BLUE if label.startswith("STAR") else GREY)
            axes.plot(ratios.ravel(), np.full(ratios.size, row), "o", ms=3, alpha=0.5, color=colour)
            axes.plot(np.median(ratios), row, "|", ms=13, mew=2, color=colour)
        axes.axvline(1, color=GREY, lw=1, ls="--")
        axes.set(
            xscale="log",
            title=f"{setting.label}: {title}",
            xlabel="loss over tuned Adam's on the same seed",
        )
        axes.grid(axis="y", lw=0.3)
        plain(axes.xaxis, (1, 1.2, 1.5, 2, 3, 5, 7, 9) if key == "meta_loss" else (1, 2, 5))
    panels[0].set_yticks(range(len(rows)), rows)
    panels[0].invert_yaxis()


def _lowest(data: Data, setting: Setting) -> str:
    rows = ROWS[setting]
    means = {label: clipped_losses(data, runs, "meta_loss").mean() for label, runs in rows.items()}
    best = sorted((label for label in means), key=means.__getitem__)[:3]
    said = "; ".join(f"{label} ({means[label]:.3f})" for label in best)
    return f"On {setting.label}, {said} have the lowest; tuned Adam has {means[ADAM]:.3f}."


def caption(data: Data) -> str:
    """Describe the picture, the paper's section, and the differences."""
    return f"""
**Seen.** {MESSAGE} The settings are those of Figure 3 (`fig3`), with the same held-out
seeds for every variant. Left is the mean loss over the horizon and right the loss after ten
horizons, each divided by tuned Adam's on the same seed; there is a dot for each seed of
meta-training and of use, and a bar at the median. These are mean losses over the horizon:
{" ".join(_lowest(data, one) for one in SETTINGS)} The verdicts on the claims of section 5.3, with
all numbers, are in docs/experiments.md.

**Paper.** Section 5.3 and Appendix C.2 state the claims in words; there is no such figure.

**Differs.** As in Figure 3 (`fig3`).
"""


MESSAGE = """Within the horizon, STAR with AdamAggMo and Hyperparam are below tuned Adam on
Fashion-MNIST, and above it on CIFAR-10, whose horizon is short. Blackbox and STAR with another
nominal term, or none, are not below it on either, but Blackbox is on Fashion-MNIST after ten times
the outer steps."""


def pages(data: Data) -> Mapping[Path, str]:
    """The page of verdicts and tables."""
    return {PICTURES.parent / "experiments.md": page(data, ROWS)}


FIGURE = Figure(
    name="claims",
    title="The claims of section 5.3 at one budget",
    seen="A row of dots for each variant: its losses divided by tuned Adam's, within the horizon "
    "and beyond it",
    config=config(RUNS),
    parts=RUNS,
    compute=compute,
    draw=draw,
    caption=caption,
    pages=pages,
)
