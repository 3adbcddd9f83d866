"""The part of the stable steps that Theorem 1 and Theorem 1' certify."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from figures.engine.figure import Data, Figure
from figures.engine.store import rounded
from figures.engine.style import BLUE, GREEN, GREY, ORANGE, PALE, plt, use_style
from figures.quadratic.certified import certified_steps
from nqm import example, nominal_step_intervals, theorem1_interval, theorem1_prime

CONFIG: dict[str, Any] = {
    "symmetric": {"hessian": "paper", "from": -2.0, "to": 18.0, "steps": [0.0, 1.6]},
    "triangular": {
        "hessian": "theorem1-real-eigenvalues", "from": -3.0, "to": 3.0, "steps": [0.0, 0.9],
    },
    "rotation": {
        "hessian": "theorem1-real-eigenvalues", "from": -0.9, "to": 0.9, "steps": [0.0, 1.1],
    },
    "points": 361,
}  # fmt: skip
PANELS = ("symmetric", "triangular", "rotation")
LIGHT = "#F8E0D2"


def hessian(panel: str) -> NDArray[np.float64]:
    """The matrix H of a panel."""
    return np.asarray(example(CONFIG[panel]["hessian"]).hessian, np.float64)


def parameters(panel: str) -> NDArray[np.float64]:
    """The values of c."""
    return np.linspace(CONFIG[panel]["from"], CONFIG[panel]["to"], CONFIG["points"])


def preconditioner(panel: str, c: float) -> NDArray[np.float64]:
    """The matrix P of a panel: symmetric, the counterexample to Theorem 1, or a rotation."""
    if panel == "symmetric":
        flattest = np.linalg.eigh(hessian(panel))[1][:, 0]
        return c * np.outer(flattest, flattest)
    return np.array([[0.0, c], [0.0, 0.5]] if panel == "triangular" else [[0.0, c], [-c, 0.0]])


def _prime_margin(H: NDArray[np.float64], P: NDArray[np.float64], alpha: float) -> float:
    return float(theorem1_prime(H, P, alpha).margin) + 1e-12


def compute(panel: str) -> Any:
    """Compute, for each c, the stable steps and those that each theorem certifies.

    As printed, Theorem 1 depends only on the eigenvalues of P, which must be real, so a diagonal
    matrix of them gives the same bounds.
    """
    H, found = hessian(panel), []
    for c in parameters(panel).tolist():
        P = preconditioner(panel, c)
        values = np.linalg.eigvals(P)
        real = np.abs(values.imag).max() < 1e-12
        printed = list(theorem1_interval(H, np.diag(values.real))) if real else None
        prime = certified_steps(partial(_prime_margin, H, P), -25.0, 25.0)
        found.append(
            {
                "stable": [list(i) for i in nominal_step_intervals(H, P)],
                "printed": printed if printed and printed[0] <= printed[1] else None,
                "prime": list(prime) if prime else None,
            }
        )
    return rounded(found, 5)


def _length(low: float, high: float) -> float:
    """The length of the part of an interval with alpha >= 0."""
    return max(0.0, high - max(low, 0.0))


def false_share(rows: list[dict[str, Any]]) -> float:
    """The share of the area that Theorem 1 as printed certifies which is unstable."""
    claims = [(row["printed"], row["stable"]) for row in rows if row["printed"]]
    stable = sum(
        _length(max(a, low), min(b, high)) for (low, high), ends in claims for a, b in ends
    )
    return 1 - stable / sum(_length(*claim) for claim, _ in claims)


def draw(data: Data) -> Any:
    """Draw the stable region and the certified regions."""
    use_style()
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 3.1))
    for place, panel in zip(axes, PANELS, strict=True):
        _region(place, panel, data[panel])
        low, high = CONFIG[panel]["steps"]
        place.set(xlim=(CONFIG[panel]["from"], CONFIG[panel]["to"]), ylim=(low, high))
    axes[0].set_ylabel("nominal step α")
    axes[0].set(title="(a) P symmetric", xlabel="c  in  P = c u uᵀ")
    axes[1].set(title="(b) P triangular", xlabel="c  in  P = [[0, c], [0, ½]]")
    axes[2].set(title="(c) P a rotation", xlabel="c  in  P = [[0, c], [−c, 0]]")
    _words(axes)
    figure.tight_layout(w_pad=1.2)
    return figure


def _region(axes: Any, panel: str, rows: list[dict[str, Any]]) -> None:
    c = parameters(panel)
    for x, low, high in _bands(c, [row["stable"] for row in rows]):
        outline = np.r_[x, x[::-1], x[0]], np.r_[low, high[::-1], low[0]]
        axes.fill(*outline, color=PALE, lw=0, zorder=1)
        axes.plot(*outline, color=BLUE, lw=1.3, zorder=4)
    for name, style in (
        ("printed", {"facecolor": LIGHT, "lw": 0, "zorder": 0}),
        ("printed", {"facecolor": "none", "edgecolor": ORANGE, "hatch": "////", "zorder": 2}),
        ("prime", {"facecolor": GREEN, "alpha": 0.6, "lw": 0, "zorder": 3}),
    ):
        for x, low, high in _bands(c, [[row[name]] if row[name] else [] for row in rows]):
            axes.fill_between(x, np.maximum(low, 0), high, where=high >= 0, **style)


def _bands(
    c: NDArray[np.float64], intervals: list[list[list[float]]]
) -> Iterator[tuple[NDArray[np.float64], ...]]:
    """Yield c and the ends of the k-th interval, for each range of c that has so many."""
    for k in range(max(len(row) for row in intervals)):
        there = np.array([len(row) > k for row in intervals])
        edges = np.flatnonzero(np.diff(np.r_[False, there, False]))
        for first, last in zip(edges[::2], edges[1::2], strict=True):
            ends = np.array([intervals[i][k] for i in range(first, last)])
            yield c[first:last], ends[:, 0], ends[:, 1]


def _words(axes: Any) -> None:
    """Label the regions."""
    for place, x, y, text, colour in (
        (axes[0], 8.5, 0.95, "stable", BLUE),
        (axes[1], -0.65, 0.29, "stable", BLUE),
        (axes[1], 2.1, 0.26, "unstable, yet\ncertified\nas printed", ORANGE),
        (axes[2], 0.48, 0.64, "stable", BLUE),
        (axes[2], 0.0, 0.33, "Theorem 1'", "white"),
        (axes[2], 0.0, 1.04, "Theorem 1 does not apply", GREY),
    ):
        place.text(x, y, text, color=colour, fontsize=8, ha="center", va="center", zorder=6)
    for place, text, at, near in (
        (axes[0], "Theorems 1 and 1'", (0.9, 0.3), (8.5, 0.3)),
        (axes[1], "Theorem 1'", (0.04, 0.12), (1.6, 0.62)),
    ):
        place.annotate(
            text, at, xytext=near, color=GREEN, fontsize=8, ha="center", va="center",
            arrowprops={"arrowstyle": "-", "color": GREEN, "lw": 0.8, "shrinkB": 0}, zorder=7,
        )  # fmt: skip


def caption(data: Data) -> str:
    """Describe the picture, the paper's theorem, and the differences."""
    area = {panel: _areas(data[panel]) for panel in PANELS}
    share = false_share(data["triangular"])
    flat = data["symmetric"]
    c = parameters("symmetric")
    last = {
        name: max(x for x, row in zip(c, flat, strict=True) if _covers(row, name))
        for name in ("stable", "printed")
    }
    eigenvalues = np.linalg.eigvalsh(hessian("symmetric"))
    kappa = eigenvalues[-1] / eigenvalues[0]
    return f"""
**Seen.** Theorem 1 certifies only a corner of the stable steps in (a), certifies unstable steps in
(b), and says nothing in (c). Light blue, between blue lines: the nominal steps α ≥ 0 that are
exactly stable, over a parameter c of P. Hatched orange: the steps that Theorem 1 as printed
certifies, from the eigenvalues of P. Green: the steps that Theorem 1', |P - (1/h - α) I| ≤ 1/h,
certifies. (a) H of (A.30) and P = c u uᵀ, where u is the direction of least curvature: for
symmetric P the two theorems agree, and certify {area["symmetric"]["printed"]:.0%} of the stable
area. (b) H = [[2, 1], [1, 2]]: {share:.0%} of what Theorem 1 as printed certifies is unstable
(hatched without blue). Theorem 1' certifies {area["triangular"]["prime"]:.1%} of the stable area.
(c) P is a rotation, whose eigenvalues are not real, so Theorem 1 does not apply. Theorem 1'
certifies {area["rotation"]["prime"]:.0%} of the stable area. If c ≠ 0, stability needs a nominal
term.

**Paper.** Theorem 1: (9) and (10) suffice for every diagonalizable P with real eigenvalues.

**Differs.** They suffice only for symmetric P (docs/errata.md), and there they are cautious: some
step is certified up to c = {last["printed"]:.3g}, and some step is stable up to c =
{last["stable"]:.3g}. The ratio is close to the condition number of H, {kappa:.3g}, which it cannot
exceed. In (b) the eigenvalues of P are 0 and 1/2 for every c, so (9) and (10) do not depend on c.
The corrected Theorem 1 applies in (b) and (c) only at c = 0.
"""


def _covers(row: dict[str, Any], name: str) -> bool:
    found = row[name] or []
    intervals = found if name == "stable" else [found] if found else []
    return any(high >= max(low, 0.0) for low, high in intervals)


def _areas(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The areas that the theorems certify, as shares of the stable area with alpha >= 0."""
    stable = sum(_length(*ends) for row in rows for ends in row["stable"])
    return {
        name: sum(_length(*row[name]) for row in rows if row[name]) / stable
        for name in ("printed", "prime")
    }


FIGURE = Figure(
    name="regions",
    title="Stable steps, and those that Theorem 1 certifies",
    seen="Three panels of stable regions: Theorem 1 covers a corner of one, claims unstable steps "
    "in the second and does not apply in the third",
    config=CONFIG,
    parts=PANELS,
    compute=compute,
    draw=draw,
    caption=caption,
)
