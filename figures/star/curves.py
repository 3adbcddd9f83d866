"""The panels of an experiment: meta-loss over outer steps, training loss over inner steps."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from figures.engine.figure import Data
from figures.engine.style import GREY, plt, use_style
from figures.star.settings import SETTINGS, Setting
from lopt.meta.evaluation.curves import clipped

# Ticks for an axis that spans less than a decade.
FINE = (1, 2, 3, 4, 5, 7)
# Ratio of the ends of an axis below which decades say nothing.
NARROW = 2.5


class Curve(NamedTuple):
    """An optimizer in a figure: its label, its kind, its style."""

    label: str
    kind: str
    colour: str
    style: str = "-"


# Curves with their runs, one for each seed of meta-training.
Shown = Sequence[tuple[Curve, tuple[str, ...]]]
Panels = Mapping[Setting, Shown]


def panels(curves: Sequence[Curve]) -> Panels:
    """The curves that each task has, with their runs; a task on which an optimizer was not
    meta-trained that the other has takes no part.
    """
    learned = [c.kind for c in curves if any(c.kind in one.kinds for one in SETTINGS)]
    return {
        one: [(c, one.runs(c.kind)) for c in curves if one.has(c.kind)]
        for one in SETTINGS
        if all(kind in one.kinds for kind in learned)
    }


def runs_of(shown: Panels) -> tuple[str, ...]:
    """All runs in the panels."""
    return tuple(run for curves in shown.values() for _, runs in curves for run in runs)


def draw(data: Data, shown: Panels, title: str) -> Any:
    """Draw a column for each task: meta-training above, use below; a single task side by side."""
    use_style()
    alone = len(shown) == 1
    rows, columns = (1, 2) if alone else (2, len(shown))
    figure, axes = plt.subplots(rows, columns, figsize=(9.4, 3.7 * rows), squeeze=False)
    for place, (setting, curves) in enumerate(shown.items()):
        above, below = axes[0] if alone else axes[:, place]
        meta_panel(above, data, curves)
        inner_panel(below, data, curves, setting.horizon)
        above.set_title(f"{title}, {setting.label} {setting.network}")
        below.set_title(f"Use on {setting.label}, held-out seeds")
        below.legend(fontsize=7.5, loc="lower left")
    figure.tight_layout()
    return figure


def meta_panel(axes: Any, data: Data, curves: Shown) -> None:
    """Draw the smoothed meta-loss of every run and the median of an optimizer's runs in bold.

    A baseline is a horizontal line.
    """
    lows, tops = [], []
    for (label, _, colour, style), runs in curves:
        if "outer" not in data[runs[0]]:
            level = float(np.mean(data[runs[0]]["meta_loss"]))
            axes.axhline(level, color=colour, ls=style, lw=1.1, label=label)
            lows.append(level)
            continue
        found = np.array([data[run]["outer"] for run in runs], float)
        steps = 10 * np.arange(1, found.shape[1] + 1)
        if len(runs) > 1:
            axes.plot(steps, found.T, color=colour, ls=style, lw=0.6, alpha=0.5)
        axes.plot(steps, np.median(found, axis=0), color=colour, ls=style, label=label)
        lows.append(found.min())
        tops.append(found[:, 4:].max())
    axes.set(xlabel="outer step", ylabel="meta-loss", yscale="log", xlim=(0, None))
    axes.set_ylim(0.93 * min(lows), 1.05 * max(tops))
    plain(axes.yaxis, FINE)


def inner_panel(axes: Any, data: Data, curves: Shown, horizon: int) -> None:
    """Draw the training loss of every run, a mean over held-out seeds, and the median in bold.

    Losses are cut at the ceiling.
    """
    lows, ceiling = [], data[curves[0][1][0]]["ceiling"]
    for (label, _, colour, style), runs in curves:
        shown = [cut(data[run], ceiling).mean(axis=0) for run in runs]
        at = np.array(data[runs[0]]["at"])
        short = np.array([curve[: at.size] for curve in shown])
        if len(runs) > 1:
            axes.plot(at, short.T, color=colour, ls=style, lw=0.6, alpha=0.5)
        axes.plot(at, np.median(short, axis=0), color=colour, ls=style, label=label)
        far = data[runs[0]].get("far")
        if far:
            x, y = np.array(far["at"]), cut(far, ceiling).mean(axis=0)
            axes.plot(x[x >= at[-1]], y[x >= at[-1]], color=colour, ls=style, lw=1.0)
            lows.append(np.nanmin(y))
        lows.append(np.nanmin(short))
    axes.set(xlabel="inner step", ylabel="training loss", xscale="log", yscale="log")
    axes.set_ylim(max(0.6 * min(lows), 1e-4), 1.1 * ceiling)
    mark_horizon(axes, horizon)
    plain(axes.yaxis)


def mark_horizon(axes: Any, horizon: int) -> None:
    """Draw a dashed line at the horizon of meta-training, with its name."""
    axes.axvline(horizon, color="black", ls="--", lw=0.9)
    axes.text(
        *(horizon * 1.07, 0.97),
        "horizon",
        transform=axes.get_xaxis_transform(),
        fontsize=7.5,
        va="top",
        color=GREY,
    )


def cut(found: Any, ceiling: float) -> Any:
    """Cut losses at the ceiling, which also replaces values that are not finite."""
    return clipped(np.array(found["curves"], float), ceiling)


def plain(axis: Any, subs: Sequence[float] = (1, 2, 5)) -> None:
    """Label a logarithmic axis with decimal numbers, evenly spaced where it spans little."""
    ticker = plt.matplotlib.ticker
    low, high = sorted(axis.get_view_interval())
    narrow = low > 0 and high / low < NARROW
    axis.set_major_locator(ticker.MaxNLocator(5) if narrow else ticker.LogLocator(subs=subs))
    axis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axis.set_minor_formatter(ticker.NullFormatter())
    if narrow:
        axis.set_minor_locator(ticker.NullLocator())
