"""All variants at one budget compared with tuned Adam, and verdicts on section 5.3's claims."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from figures.engine.figure import PICTURES, Data, Figure
from figures.engine.style import BLUE, GREY, plt, use_style
from figures.star.curves import plain
from figures.star.experiments import collect
from figures.star.fig3 import CURVES, KINDS, config
from figures.star.inner_runs import SEEDS, STEPS
from figures.star.outcomes import clipped_losses
from figures.star.verdicts import page

ROWS = {
    "STAR, weight decay 0.1": KINDS["star-wd0.1"],
    "STAR, weight decay 0.5": KINDS["star-wd0.5"],
    "Hyperparam": KINDS["hyperparam"],
    "Blackbox": KINDS["blackbox"],
    "STAR, weight decay 0": ("star-wd0-0",),
    "STAR, weight decay 1.0": ("star-wd1.0-0",),
    "STAR without preconditioner": ("star-no-preconditioner-0",),
    "STAR without nominal term": ("star-no-nominal-0",),
    "STAR, nominal term SGD": ("star-sgd-0",),
    "STAR, nominal term SGDM": ("star-sgdm-0",),
    "STAR, nominal term AggMo": ("star-aggmo-0",),
    "STAR, nominal term Adam": ("star-adam-0",),
    "STAR, β₃ = 1e-6": ("star-small-blackbox",),
    "STAR, 2,000 outer steps, random last layer": ("star-wd0.1-long",),
    "tuned Adam": ("adam",),
    "tuned NAdamW": ("nadamw",),
}
RUNS = tuple(run for runs in ROWS.values() for run in runs)
COLOURS = {curve.label: curve.colour for curve in CURVES} | {"tuned NAdamW": "black"}


def compute(name: str) -> Any:
    """Compute the outcome of a run, without the points of its curves."""
    found = collect(name)
    found.get("far", {}).pop("curves", None)
    return {key: value for key, value in found.items() if key not in ("curves", "at", "outer")}


def draw(data: Data) -> Any:
    """Draw ratios to tuned Adam: a row per variant, a dot per run and held-out seed."""
    use_style()
    figure, panels = plt.subplots(1, 2, figsize=(9.4, 5.0), sharey=True)
    titles = ("Mean loss over the horizon", f"Loss at inner step {STEPS:,}")
    for axes, key, title in zip(panels, ("meta_loss", "final"), titles, strict=True):
        reference = np.array(data["adam"][key], float)
        for row, (label, runs) in enumerate(ROWS.items()):
            ratios = clipped_losses(data, runs, key) / reference
            colour = COLOURS.get(label, BLUE if label.startswith("STAR") else GREY)
            axes.plot(ratios.ravel(), np.full(ratios.size, row), "o", ms=3, alpha=0.5, color=colour)
            axes.plot(np.median(ratios), row, "|", ms=13, mew=2, color=colour)
        axes.axvline(1, color=GREY, lw=1, ls="--")
        axes.set(xscale="log", title=title, xlabel="ratio to tuned Adam on the same seed")
        axes.grid(axis="y", lw=0.3)
        plain(axes.xaxis, (1, 1.2, 1.5, 2, 3, 5, 7, 9) if key == "meta_loss" else (1, 2, 5))
    panels[0].set_yticks(range(len(ROWS)), ROWS)
    panels[0].invert_yaxis()
    figure.tight_layout()
    return figure


def caption(data: Data) -> str:
    """Describe the picture, the paper's section, and the differences."""
    means = {label: clipped_losses(data, runs, "meta_loss").mean() for label, runs in ROWS.items()}
    best = sorted((label for label in means), key=means.__getitem__)[:3]
    said = "; ".join(f"{label} ({means[label]:.3f})" for label in best)
    return f"""
**Seen.** Within the horizon, STAR with AdamAggMo and Hyperparam are below tuned Adam; Blackbox and
STAR with another nominal term, or none, are above it. The setting is that of Figure 3 (`fig3`),
with the same {SEEDS} held-out seeds for every variant. Left is the mean loss over the horizon and
right the loss after ten horizons, each divided by tuned Adam's on the same seed; there is a dot for
each seed of meta-training and of use, and a bar at the median. The lowest mean losses over the
horizon are those of {said}; tuned Adam has {means["tuned Adam"]:.3f}. The verdicts on the claims of
section 5.3, with all numbers, are in docs/experiments.md.

**Paper.** Section 5.3 and Appendix C.2 state the claims in words; there is no such figure.

**Differs.** As in Figure 3 (`fig3`).
"""


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
