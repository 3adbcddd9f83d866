"""The preconditioners that are stable on every Hessian up to a curvature, for N = 2."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from figures.engine.figure import Data, Figure
from figures.engine.store import rounded
from figures.engine.style import BLUE, GREEN, ORANGE, PALE, plt, use_style
from figures.quadratic.certified import certified_steps
from nqm import every_hessian_stability, numerical_radius

CONFIG: dict[str, Any] = {
    "triangular": {"to": 2.1, "offset": 0.5, "below": 0.0},
    "skew": {"to": 1.6, "offset": 1.0, "below": -1.0},
    "points": 121,
    "steps": [-0.5, 2.5],
}
PANELS = ("triangular", "skew")
KINDS = ("exact", "radius", "norm")


def matrix(panel: str, c: float, alpha: float) -> NDArray[np.float64]:
    """M = alpha I + P."""
    offset, below = (CONFIG[panel][name] for name in ("offset", "below"))
    return np.array([[alpha, c], [below * c, alpha + offset]])


def parameters(panel: str) -> NDArray[np.float64]:
    """The values of c."""
    return np.linspace(-CONFIG[panel]["to"], CONFIG[panel]["to"], CONFIG["points"])


def _exact(M: NDArray[np.float64]) -> float:
    return 1 - every_hessian_stability(M, 1.0).upper


def _radius(M: NDArray[np.float64]) -> float:
    return 1 - numerical_radius(np.eye(2) - M)[1]


def _norm(M: NDArray[np.float64]) -> float:
    return 1 - float(np.linalg.norm(np.eye(2) - M, 2))


MARGINS: dict[str, Callable[[NDArray[np.float64]], float]] = {
    "exact": _exact, "radius": _radius, "norm": _norm,
}  # fmt: skip


def _margin(kind: str, panel: str, c: float, alpha: float) -> float:
    return MARGINS[kind](matrix(panel, c, alpha)) + 1e-12


def compute(panel: str) -> Any:
    """Compute, for each c, the interval of nominal steps that each condition allows."""
    low, high = CONFIG["steps"]
    found = []
    for c in parameters(panel).tolist():
        steps = {
            kind: certified_steps(partial(_margin, kind, panel, c), low, high) for kind in KINDS
        }
        found.append({kind: list(each) if each else None for kind, each in steps.items()})
    return rounded(found, 5)


def draw(data: Data) -> Any:
    """Draw the three nested regions in both families."""
    use_style()
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3.3))
    for place, panel in zip(axes, PANELS, strict=True):
        for kind, style in (
            ("exact", {"facecolor": PALE, "edgecolor": BLUE, "lw": 1.3}),
            ("radius", {"facecolor": "none", "edgecolor": ORANGE, "lw": 1.3, "ls": "--"}),
            ("norm", {"facecolor": GREEN, "alpha": 0.6, "lw": 0}),
        ):
            c, low, high = _band(panel, data[panel], kind)
            place.fill_between(c, low, high, **style)
        place.set(xlim=(c_end := -CONFIG[panel]["to"], -c_end))
    axes[0].set(title="(a) M = [[α, c], [0, α + ½]]", xlabel="c", ylabel="nominal step α")
    axes[1].set(title="(b) M = [[α, c], [−c, α + 1]]", xlabel="c")
    axes[0].set_ylim(-0.1, 1.75)
    axes[1].set_ylim(-0.35, 1.35)
    axes[1].text(1.13, 0.5, "exact", color=BLUE, fontsize=8, va="center")
    axes[1].text(0.74, 0.5, "numerical\nradius", color=ORANGE, fontsize=8, ha="center", va="center")
    for place in axes:
        place.text(
            0.0,
            0.75 if place is axes[0] else 0.5,
            "Theorem 1'",
            color="white",
            fontsize=8,
            ha="center",
            va="center",
        )
    figure.tight_layout()
    return figure


def _band(panel: str, rows: Any, kind: str) -> tuple[NDArray[np.float64], ...]:
    there = [k for k, row in enumerate(rows) if row[kind]]
    ends = np.array([rows[k][kind] for k in there])
    return parameters(panel)[there], ends[:, 0], ends[:, 1]


def _areas(panel: str, rows: Any) -> dict[str, float]:
    step = np.diff(parameters(panel)).mean()
    return {
        kind: float(sum(row[kind][1] - row[kind][0] for row in rows if row[kind]) * step)
        for kind in KINDS
    }


def caption(data: Data) -> str:
    """Describe the picture and what it adds to the paper."""
    areas = {panel: _areas(panel, data[panel]) for panel in PANELS}
    share = {
        panel: {kind: area[kind] / area["exact"] for kind in KINDS} for panel, area in areas.items()
    }
    return f"""
**Seen.** Theorem 1' allows only a part of what is safe for every Hessian with 0 < H ≤ I. Light
blue: the nominal steps α, over the size c of the part of M = α I + P that is not symmetric, for
which no such Hessian makes I - M H unstable. Dashed: those for which the numerical radius of I - M
is at most 1. Green: those that Theorem 1', |I - M| ≤ 1, certifies. (a) P triangular: Theorem 1'
covers {share["triangular"]["norm"]:.0%} of the exact region, the numerical radius
{share["triangular"]["radius"]:.0%}. (b) P with a skew part: {share["skew"]["norm"]:.0%} and
{share["skew"]["radius"]:.0%}.

**Paper.** The paper has no such figure; its Theorem 1 is about one Hessian at a time.

**Differs.** For two parameters the exact condition is the closed form that
`nqm.every_hessian_stability` evaluates: the symmetric part of Z = I - M has a norm of at most 1,
and the determinant of Z is at most 1.
"""


FIGURE = Figure(
    name="every-hessian",
    title="Preconditioners that are stable on every Hessian",
    seen="Two panels with three nested regions: what is exactly safe, what the numerical radius "
    "allows, and the smaller region of Theorem 1'",
    config=CONFIG,
    parts=PANELS,
    compute=compute,
    draw=draw,
    caption=caption,
)
