"""Sliders for the settings of `notebooks.eigenvalues`, and static plots of the same settings."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from io import BytesIO
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure

from figures.engine.style import BLUE, GREY, ORANGE, PURPLE, unit_circle
from notebooks.eigenvalues import SETTINGS, Setting, Verdict, disturbed, verdicts

# Name, lower end, upper end, step and label of each slider.
SLIDERS = {
    "alpha": (0.0, 1.2, 0.01, "nominal step α"),
    "low": (-1.0, 1.0, 0.01, "λ₁(P̃)"),
    "high": (-1.0, 1.0, 0.01, "λ₂(P̃)"),
    "coupling": (-2.5, 2.5, 0.05, "non-normality c"),
    "weight_decay": (0.0, 1.0, 0.01, "weight decay w"),
    "preconditioning": (0.0, 0.5, 0.01, "precondition q"),
    "d1": (0.05, 2.0, 0.05, "disturbance Δ₁"),
    "d2": (0.05, 2.0, 0.05, "disturbance Δ₂"),
}
COLOURS = {"stable": BLUE, "unstable": ORANGE, "marginal": PURPLE}
REACH = 2.3
SWEPT = 121


def truth(setting: Setting) -> tuple[str, float]:
    """Return "stable", "marginal" or "unstable", from the eigenvalues, and the spectral radius."""
    radius = float(np.abs(setting.eigenvalues()).max())
    if abs(radius - 1) <= 1e-9:
        return "marginal", radius
    return ("stable" if radius < 1 else "unstable"), radius


def plane(axes: Any, path: Sequence[Setting]) -> Any:
    """Draw the eigenvalues along a path of settings; return the dots of the last setting."""
    unit_circle(axes)
    way = np.concatenate([setting.eigenvalues() for setting in path])
    axes.scatter(way.real, way.imag, s=2.5, color=PURPLE, lw=0, zorder=1)
    now = path[-1].eigenvalues()
    colours = [BLUE if abs(x) <= 1 + 1e-9 else ORANGE for x in now]
    dots = axes.scatter(now.real, now.imag, s=75, c=colours, edgecolors="white", lw=1, zorder=3)
    axes.set(xlim=(-REACH, REACH), ylim=(-1.5, 1.5), xticks=(-2, -1, 0, 1, 2), yticks=(-1, 0, 1))
    for x in now[np.abs(now.real) > REACH]:  # an arrow at the edge for each one outside the plot
        side = np.sign(x.real)
        axes.plot(side * (REACH - 0.08), x.imag, ">" if side > 0 else "<", ms=9, color=ORANGE)
        axes.text(side * (REACH - 0.25), x.imag + 0.1, f"{x.real:.1f}", color=ORANGE, fontsize=9,
                  ha="right" if side > 0 else "left")  # fmt: skip
    return dots


def table(axes: Any, setting: Setting) -> None:
    """Write the true verdict and the answer of each criterion."""
    axes.axis("off")
    word, radius = truth(setting)
    axes.text(0, 1, word.upper(), fontsize=17, fontweight="bold", color=COLOURS[word],
              va="top")  # fmt: skip
    axes.text(0.46, 0.975, f"ρ(A) = {radius:.3f}", fontsize=13, va="top")
    for row, found in enumerate(verdicts(setting)):
        _verdict(axes, found, 0.76 - 0.17 * row)
    report = disturbed(setting)
    worst = f"worst ρ found: {report.worst_spectral_radius:.3g}"
    answer = {"certified": "all stable", "refuted": "not all stable"}.get(report.status, "unknown")
    axes.text(0, 0.055, "every 0 < Δ′ ≤ Δ", fontsize=9.5)
    axes.text(0.46, 0.055, answer, fontsize=9.5, fontweight="bold")
    axes.text(0, -0.015, f"{report.status}, {worst}", fontsize=7.5, color=GREY)


def _verdict(axes: Any, found: Verdict, height: float) -> None:
    silent = found.says == "no answer"
    colour = ORANGE if found.wrong else GREY if silent else BLUE
    says = found.says if silent else f"says {found.says}"
    style = {"color": colour, "fontsize": 9.5, "fontweight": "normal" if silent else "bold"}
    axes.text(0, height, found.name, fontsize=9.5)
    axes.text(0.46, height, says + (" — WRONG" if found.wrong else ""), **style)
    axes.text(0, height - 0.07, found.why, fontsize=7.5, color=GREY)


def picture(setting: Setting, swept: str) -> tuple[Figure, Any]:
    """Draw the complex plane and the table; return the figure and the dots of the plane."""
    figure = Figure(figsize=(9.2, 3.7), dpi=110)
    left, right = (
        figure.add_axes((0.035, 0.07, 0.55, 0.85)),
        figure.add_axes((0.62, 0.07, 0.37, 0.85)),
    )
    lower, upper, _, label = SLIDERS[swept]
    path = [replace(setting, **{swept: float(x)}) for x in np.linspace(lower, upper, SWEPT)]
    dots = plane(left, [*path, setting])
    left.set_title("eigenvalues of A", loc="left", fontsize=10)
    left.text(1, 1.02, f"path over the range of {label}", color=PURPLE,
              fontsize=8, ha="right", transform=left.transAxes)  # fmt: skip
    table(right, setting)
    return figure, dots


class Explorer:
    """Sliders and a plot; `show` returns the widget.

    Attributes
    ----------
    sliders : dict of FloatSlider
        The sliders, by the field of `Setting` that they set.
    dots : PathCollection
        The eigenvalues that are drawn.
    """

    def __init__(self) -> None:
        self.choice = widgets.Dropdown(options=list(SETTINGS), description="start from")
        self.sliders = {name: _slider(name) for name in SLIDERS}
        self.image = widgets.Image(format="png", layout={"width": "100%", "max_width": "1000px"})
        self.choice.observe(self._choose, "value")
        for slider in self.sliders.values():
            slider.observe(self._moved, "value")
        self._choose()

    def show(self) -> widgets.VBox:
        """Return the widget."""
        grid = widgets.GridBox(
            list(self.sliders.values()),
            layout={"grid_template_columns": "repeat(2, minmax(0, 460px))"},
        )
        return widgets.VBox([self.choice, grid, self.image])

    def setting(self) -> Setting:
        """Return the setting of the sliders."""
        # A slider in a browser counts steps and returns values such as 0.30000000000000004.
        return Setting(**{name: round(slider.value, 6) for name, slider in self.sliders.items()})

    def _choose(self, _: Any = None) -> None:
        """Move every slider to the chosen setting, then draw once."""
        chosen, names = SETTINGS[self.choice.value], list(SETTINGS)
        other = SETTINGS[names[names.index(self.choice.value) ^ 1]]  # the other one of its pair
        self.swept = next(n for n in SLIDERS if getattr(chosen, n) != getattr(other, n))
        self.choosing = True
        for name, slider in self.sliders.items():
            slider.value = getattr(chosen, name)
        self.choosing = False
        self._draw()

    def _moved(self, change: Any) -> None:
        if not self.choosing and abs(change["new"] - change["old"]) > 1e-6:
            self.swept = next(n for n, s in self.sliders.items() if s is change["owner"])
            self._draw()

    def _draw(self) -> None:
        figure, self.dots = picture(self.setting(), self.swept)
        buffer = BytesIO()
        figure.savefig(buffer, format="png", bbox_inches=None)
        self.image.value = buffer.getvalue()


def _slider(name: str) -> widgets.FloatSlider:
    lower, upper, step, label = SLIDERS[name]
    return widgets.FloatSlider(
        value=getattr(Setting(), name), min=lower, max=upper, step=step, description=label,
        readout_format=".2f", style={"description_width": "110px"}, layout={"width": "98%"},
    )  # fmt: skip


def gallery() -> Figure:
    """Draw Figure 1 of the paper with numbers, and three more panels, without widgets.

    Each panel goes in a straight line from one setting (hollow) to another (filled).
    """
    figure = Figure(figsize=(9.6, 6.0), dpi=110)
    panels = figure.subplots(2, 3)
    figure.subplots_adjust(left=0.03, right=0.99, top=0.94, bottom=0.12, wspace=0.1, hspace=0.55)
    names = list(SETTINGS)
    pairs = zip(names[::2], names[1::2], "abcdef", strict=True)
    for axes, (before, after, letter) in zip(panels.flat, pairs, strict=True):
        _move(axes, SETTINGS[before], SETTINGS[after])
        axes.set_title(f"({letter}) {after}", loc="left", fontsize=10, fontweight="bold")
    return figure


def _move(axes: Any, before: Setting, after: Setting) -> None:
    ends = asdict(before), asdict(after)
    path = [
        Setting(**{name: (1 - x) * ends[0][name] + x * ends[1][name] for name in ends[0]})
        for x in np.linspace(0, 1, SWEPT)
    ]
    plane(axes, path)
    axes.set(xticks=(), yticks=())
    start = before.eigenvalues()
    axes.scatter(start.real, start.imag, s=60, facecolors="white", edgecolors=GREY, lw=1.5)
    for row, (name, setting) in enumerate((("before", before), ("after", after))):
        word, radius = truth(setting)
        printed, height = verdicts(setting)[0], -0.11 - 0.12 * row
        says = "WRONG" if printed.wrong else printed.says
        axes.text(0, height, f"{name}: ρ = {radius:.2f}, {word}",
                  color=COLOURS[word], **_small(axes))  # fmt: skip
        axes.text(1, height, f"Theorem 1: {says}", ha="right",
                  color=ORANGE if printed.wrong else "black", **_small(axes))  # fmt: skip


def _small(axes: Any) -> dict[str, Any]:
    return {"transform": axes.transAxes, "fontsize": 8, "fontweight": "bold"}
