"""A live plot of a meta-training run."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from IPython.display import display
from matplotlib.figure import Figure

from figures.engine.averages import smooth
from figures.engine.style import BLUE, GREY, ORANGE, PURPLE, unit_circle
from lopt.meta import Measurement, Progress
from lopt.monitor import converged_values


class Live:
    """An observer for `lopt.meta.train` that plots the meta-loss and the eigenvalues so far.

    Parameters
    ----------
    outer_steps : int
        The number of outer steps of the run.
    lines : iterable of dict
        The earlier metrics of a run that is resumed, from `RunDirectory.read_metrics`.
    every : float
        The least time between two plots, in seconds.

    Attributes
    ----------
    losses : dict
        The meta-loss by outer step.
    points : dict
        The monitor's results at the last inner step that it measures, by outer step.
    """

    def __init__(
        self, outer_steps: int, lines: Iterable[Mapping[str, Any]] = (), every: float = 3.0
    ) -> None:
        self.outer_steps, self.every = outer_steps, every
        self.losses: dict[int, float] = {}
        self.points: dict[int, Mapping[str, Any]] = {}
        self.verdict = "(compiling)"
        for line in lines:
            if "meta_loss" in line:
                self.losses[line["outer_step"]] = line["meta_loss"]
            if "monitor" in line:
                self.points[line["outer_step"]] = line["monitor"]["points"][-1]
        self.drawn = time.monotonic()
        self.handle = display(self.figure(), display_id=True)

    def step(self, progress: Progress) -> None:
        """Record an outer step."""
        self.losses[progress.outer_step] = progress.meta_loss
        if time.monotonic() - self.drawn > self.every:
            self.draw()

    def measured(self, outer_step: int, measurement: Measurement) -> None:
        """Record a measurement of the eigenvalues."""
        self.points[outer_step] = measurement.to_json()["points"][-1]
        self.verdict = measurement.text()
        self.draw()

    def warn(self, message: str) -> None:
        """Print a warning of the run."""
        print(message)

    def draw(self) -> None:
        """Replace the plot by a new one."""
        self.handle.update(self.figure())
        self.drawn = time.monotonic()

    def figure(self) -> Figure:
        """Plot the meta-loss, the eigenvalues, and their moduli over the outer steps."""
        figure = Figure(figsize=(10.5, 3.2), dpi=100, layout="constrained")
        loss, plane, radii = figure.subplots(1, 3, width_ratios=(1.3, 1, 1))
        self._loss(loss)
        self._plane(plane)
        self._radii(radii)
        figure.suptitle(
            f"outer step {max(self.losses, default=0)} of {self.outer_steps}: {self.verdict}",
            x=0.01, ha="left", fontweight="bold",
            color=ORANGE if self.verdict.startswith(("unstable", "diverged")) else "black",
        )  # fmt: skip
        return figure

    def _loss(self, axes: Any) -> None:
        if self.losses:
            values = np.array(list(self.losses.values()))
            means = smooth(values, 50)
            axes.plot(list(self.losses), values, color=BLUE, alpha=0.25, lw=0.7)
            axes.plot(list(self.losses), means, color=BLUE)
            axes.set_ylim(means.min() - 0.05, np.median(means) + 0.15)
        axes.set(xlim=(0, self.outer_steps), xlabel="outer step")
        axes.set_title("Meta-loss", loc="left")

    def _plane(self, axes: Any) -> None:
        unit_circle(axes)
        last = max(self.points, default=0)
        for outer_step, point in self.points.items():
            x = converged_values(point["joint"])
            if outer_step == last:
                axes.scatter(x.real, x.imag, s=26, facecolors="none", edgecolors=BLUE, label="now")
            elif outer_step == 0:
                axes.scatter(x.real, x.imag, s=26, marker="x", color=PURPLE, label="untrained")
            else:
                axes.scatter(x.real, x.imag, s=3, color=GREY, alpha=0.5)
        axes.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2))
        axes.set_title("Eigenvalues at the horizon", loc="left")
        if self.points:
            axes.legend(loc="center left", fontsize=8)

    def _radii(self, axes: Any) -> None:
        names = {
            "radius": ("largest converged", GREY),
            "oscillatory_radius": ("largest oscillating", BLUE),
        }
        for name, (label, colour) in names.items():
            heights = [np.nan if p[name] is None else p[name] for p in self.points.values()]
            axes.plot(list(self.points), heights, ".-", color=colour, label=label)
        axes.axhline(1, color=ORANGE, lw=1)
        axes.set(xlim=(0, self.outer_steps), xlabel="outer step")
        axes.set_title("Moduli (unit circle: 1)", loc="left")
        axes.legend(fontsize=8)
