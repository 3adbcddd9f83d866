"""The picture docs/predictions.png of the cases of `figures.monitor.predictions`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from matplotlib.ticker import FuncFormatter, NullFormatter

from figures.engine.style import BLUE, GREY, ORANGE, PURPLE, plt, use_style
from figures.monitor.prediction_table import OUTCOMES, Row, counted, trend, worst

KINDS = {
    "star": (BLUE, "o", "STAR"),
    "blackbox": (ORANGE, "s", "Blackbox"),
    "hyperparam": (PURPLE, "^", "Hyperparam"),
}
# What lies beyond is drawn at the edge.
RADII = (0.6, 2.2)


class _Panel(NamedTuple):
    title: str
    x: Callable[[Row], float]
    known: str
    y: Callable[[Row], float]
    after: str
    ticks: tuple[float, ...]


def draw(rows: list[Row], horizon: int) -> Any:
    """What is known at the horizon against what follows; filled where the verdict is unstable."""
    use_style()
    used, steps = counted(rows, horizon), rows[0]["steps"]
    figure, axes = plt.subplots(1, 3, figsize=(8.4, 3.2))
    for place, panel in zip(axes, _panels(steps, horizon), strict=True):
        _scatter(place, panel, used)
    for place in axes[1:]:
        place.axhline(1, color=GREY, lw=0.8, ls="--", zorder=0)
    for colour, marker, label in KINDS.values():
        axes[0].scatter([], [], s=26, marker=marker, color=colour, label=label)
    hollow = {"facecolors": "none", "edgecolors": GREY}
    axes[0].scatter([], [], s=26, **hollow, label="hollow: not unstable")
    axes[0].legend(loc="center right", bbox_to_anchor=(1.03, 0.72), fontsize=7.5, handletextpad=0.2)
    figure.tight_layout(w_pad=1)
    return figure


def _panels(steps: int, horizon: int) -> tuple[_Panel, ...]:
    def radius(row: Row) -> float:
        return float(np.clip(worst(row), *RADII))

    def survived(row: Row) -> float:
        return float(10 ** OUTCOMES["survival"](row))

    def ratio(row: Row) -> float:
        return float(np.exp(OUTCOMES["ratio"](row)))

    known = "oscillatory or ascent radius,\nthe larger"
    after = f"loss at step {steps} /\nat the horizon"
    few, many = (200, 500, 1000, 2000), (0.5, 1, 2, 5)
    return (
        _Panel("Monitor, and divergence", radius, known, survived, "steps survived", few),
        _Panel("Monitor, and rise", radius, known, ratio, after, many),
        _Panel(
            "Loss itself, and rise",
            trend,
            f"loss at the horizon, step {horizon} /\nat step {horizon // 2}",
            ratio,
            after,
            many,
        ),
    )


def _scatter(axes: Any, panel: _Panel, rows: list[Row]) -> None:
    for kind, (colour, marker, _) in KINDS.items():
        mine = [row for row in rows if row["optimizer"] == kind]
        face = [colour if row["verdict"] == "unstable" else "white" for row in mine]
        places = [panel.x(row) for row in mine], [panel.y(row) for row in mine]
        axes.scatter(*places, s=26, marker=marker, facecolors=face, edgecolors=colour, lw=0.9)
    axes.axvline(1, color=GREY, lw=0.8, ls="--", zorder=0)
    axes.set(title=panel.title, xlabel=panel.known, ylabel=panel.after, yscale="log")
    axes.set_yticks(panel.ticks)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
