"""The two panels of an experiment: meta-loss over outer steps, training loss over inner steps."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from figures.engine.figure import Data
from figures.engine.style import GREY, plt, use_style
from figures.star.inner_runs import HORIZON
from lopt.meta.evaluation.curves import clipped

# Ticks for an axis that spans less than a decade.
FINE = (1, 2, 3, 4, 5, 7)


class Curve(NamedTuple):
    """An optimizer in a figure: its label, its runs (one per meta-training seed), its style."""

    label: str
    runs: tuple[str, ...]
    colour: str
    style: str = "-"


def draw(data: Data, curves: Sequence[Curve], title: str) -> Any:
    """Draw both panels side by side."""
    use_style()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.7))
    meta_panel(left, data, curves)
    inner_panel(right, data, curves)
    left.set_title(title)
    right.set_title("Inner training, held-out seeds")
    right.legend(fontsize=7.5, loc="lower left")
    figure.tight_layout()
    return figure


def meta_panel(axes: Any, data: Data, curves: Sequence[Curve]) -> None:
    """Draw the smoothed meta-loss of every run and the median of an optimizer's runs in bold.

    A baseline is a horizontal line.
    """
    lows, tops = [], []
    for label, runs, colour, style in curves:
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


def inner_panel(axes: Any, data: Data, curves: Sequence[Curve]) -> None:
    """Draw the training loss of every run, a mean over held-out seeds, and the median in bold.

    Losses are cut at the ceiling.
    """
    lows, ceiling = [], data[curves[0].runs[0]]["ceiling"]
    for label, runs, colour, style in curves:
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
        lows.append(np.nanmin(short))
    axes.set(xlabel="inner step", ylabel="training loss", xscale="log", yscale="log")
    axes.set_ylim(max(0.6 * min(lows), 1e-4), 1.1 * ceiling)
    mark_horizon(axes, ceiling)
    plain(axes.yaxis)


def mark_horizon(axes: Any, ceiling: float) -> None:
    """Draw a dashed line at the horizon of meta-training, with its name."""
    axes.axvline(HORIZON, color="black", ls="--", lw=0.9)
    axes.text(HORIZON * 1.07, 0.97 * ceiling, "horizon", fontsize=7.5, va="top", color=GREY)


def cut(found: Any, ceiling: float) -> Any:
    """Cut losses at the ceiling, which also replaces values that are not finite."""
    return clipped(np.array(found["curves"], float), ceiling)


def plain(axis: Any, subs: Sequence[float] = (1, 2, 5)) -> None:
    """Label a logarithmic axis with decimal numbers."""
    axis.set_major_locator(plt.matplotlib.ticker.LogLocator(subs=subs))
    axis.set_major_formatter(plt.matplotlib.ticker.FormatStrFormatter("%g"))
    axis.set_minor_formatter(plt.matplotlib.ticker.NullFormatter())
