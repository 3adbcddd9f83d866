"""Stability with momentum over the step and the momentum, and for complex eigenvalues."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from figures.engine.figure import Data, Figure
from figures.engine.store import rounded
from figures.engine.style import BLUE, GREY, ORANGE, PALE, plt, use_style
from nqm import (
    aggmo_limit,
    aggmo_rule,
    heavy_ball_ellipse,
    heavy_ball_limit,
    heavy_ball_rule,
    nesterov_limit,
    nesterov_rule,
    spectral_radius,
)

CONFIG: dict[str, Any] = {
    "largest_momentum": 0.98,
    "momenta": 50,
    "largest_step": 4.0,
    "steps": 65,
    "ellipses": [0.0, 0.5, 0.9],
    "angles": 361,
}
"""Steps are lr lambda, the step in units of the curvature."""
RULES = ("heavy ball", "Nesterov", "AggMo")
COMPLEX = "complex eigenvalues"


def dampings(beta: float) -> list[float]:
    """The three dampings of AggMo: 0, beta and 1 - (1 - beta)^2, its authors' at beta = 0.9."""
    return [0.0, beta, 1 - (1 - beta) ** 2]


def limit(rule: str, beta: float) -> float:
    """The exact bound on lr lambda."""
    if rule == "AggMo":
        return aggmo_limit(dampings(beta))
    return (heavy_ball_limit if rule == "heavy ball" else nesterov_limit)(beta)


def radius(rule: str, beta: float, step: float) -> float:
    """The spectral radius of the joint matrix of parameters and momentum, H = 1."""
    one = np.eye(1)
    made = {
        "heavy ball": lambda: heavy_ball_rule(one, None, step, beta),
        "Nesterov": lambda: nesterov_rule(one, None, step, beta),
        "AggMo": lambda: aggmo_rule(one, None, step, dampings(beta)),
    }
    return float(spectral_radius(made[rule]().joint_matrix))


def momenta() -> NDArray[np.float64]:
    """The grid of beta."""
    return np.linspace(0, CONFIG["largest_momentum"], CONFIG["momenta"])


def steps() -> NDArray[np.float64]:
    """The grid of lr lambda."""
    return np.linspace(0, CONFIG["largest_step"], CONFIG["steps"])


def compute(part: str) -> Any:
    """Compute limits and radii of a rule, or the edges of heavy ball's ellipses, [Re x, Im x]."""
    if part == COMPLEX:
        turn = np.exp(1j * np.linspace(0, 2 * np.pi, CONFIG["angles"]))
        edges = {f"{beta:g}": _edge(beta, turn) for beta in CONFIG["ellipses"]}
        return rounded({name: [x.real, x.imag] for name, x in edges.items()}, 5)
    limits = [limit(part, beta) for beta in momenta().tolist()]
    # The radius must be 1 on the limit; measure the error.
    gaps = [abs(radius(part, b, x) - 1) for b, x in zip(momenta().tolist(), limits, strict=True)]
    radii = [[radius(part, b, x) for b in momenta().tolist()] for x in steps().tolist()]
    found = {"limit": limits, "largest_gap": max(gaps), "radius": np.array(radii)}
    return rounded(found, 4)


def _edge(beta: float, turn: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """The points 1 + beta + r turn on the edge; the quadratic form of the ellipse gives r."""
    centre = 1 + beta
    form = heavy_ball_ellipse(centre + turn, beta)
    return np.asarray(centre + turn / np.sqrt(form))


def draw(data: Data) -> Any:
    """Draw contours of the radius below the exact limit for three rules, and the ellipses."""
    use_style()
    figure, axes = plt.subplots(1, 4, figsize=(7.4, 2.9), width_ratios=(1, 1, 1, 1.15))
    for letter, place, rule in zip("abc", axes, RULES, strict=False):
        _map(place, data[rule])
        place.set(title=f"({letter}) {rule}", xlabel="momentum β", xticks=[0, 0.5, 0.9])
        place.set(ylim=(0, CONFIG["largest_step"]), yticks=range(5))
        if letter != "a":
            place.set_yticklabels([])
    axes[0].set_ylabel("step × curvature")
    _name_limits(axes)
    _ellipses(axes[3], data[COMPLEX])
    figure.tight_layout(w_pad=0.8)
    return figure


def _map(axes: Any, found: dict[str, Any]) -> None:
    beta, limits = momenta(), np.array(found["limit"])
    axes.fill_between(beta, 0, limits, color=PALE, lw=0)
    radii = np.where(steps()[:, None] <= limits, np.array(found["radius"]), np.nan)
    axes.contour(beta, steps(), radii, levels=[0.9], colors=[GREY], linewidths=0.8)
    axes.plot(beta, limits, color=BLUE, lw=2)
    axes.axhline(2, color=ORANGE, lw=1, ls="--")


def _name_limits(axes: Any) -> None:
    for place, x, y, text, colour in (
        (axes[0], 0.03, 3.1, "2(1+β)", BLUE),
        (axes[1], 0.3, 1.72, "2(1+β)/(1+2β)", BLUE),
        (axes[2], 0.02, 3.1, "2K / Σ 1/(1+βₖ)", BLUE),
        (axes[1], 0.0, 2.1, "2, no momentum", ORANGE),
        (axes[0], 0.24, 1.2, "ρ < 0.9", GREY),
        (axes[1], 0.24, 0.6, "ρ < 0.9", GREY),
        (axes[2], 0.24, 1.2, "ρ < 0.9", GREY),
    ):
        place.text(x, y, text, color=colour, fontsize=8)


def _ellipses(axes: Any, found: dict[str, list[list[float]]]) -> None:
    for (name, (real, imaginary)), colour, where in zip(
        found.items(), (ORANGE, GREY, BLUE), ((1.0, -1.2), (3.3, 0.42), (3.45, -0.4)), strict=True
    ):
        axes.plot(real, imaginary, color=colour, lw=1.6)
        axes.text(*where, f"β = {name}", color=colour, fontsize=8, ha="center")
    axes.plot(1, 0.9, marker="x", color="black", ms=6, mew=1.6)
    axes.text(1.45, 1.0, "x = 1 + 0.9i", fontsize=8)
    axes.set(title="(d) complex x", xlabel="Re x", ylabel="Im x", xlim=(-0.1, 4.1))
    axes.set(ylim=(-1.3, 1.4), xticks=[0, 2, 4], yticks=[-1, 0, 1])


def caption(data: Data) -> str:
    """Describe the picture, the paper's claim, and the differences."""
    at = int(np.argmin(np.abs(momenta() - 0.9)))
    at_most = {rule: data[rule]["limit"][at] for rule in RULES}
    gap = max(data[rule]["largest_gap"] for rule in RULES)
    heights = {name: max(imaginary) for name, (_, imaginary) in data[COMPLEX].items()}
    return f"""
**Seen.** Momentum widens the stable steps of heavy ball and AggMo, but narrows those of Nesterov.
(a) to (c): light blue are the stable steps (times the curvature λ) over the momentum β, and the
blue line is the exact limit. On the grey curve the joint matrix of parameters and momentum has
spectral radius ρ = 0.9; the dashed line is the limit 2 of plain descent. On the blue line the
computed radius is 1 to within {gap:.1g}. At β = {momenta()[at]:.2g} the limit is
{at_most["heavy ball"]:.2f} for heavy ball, {at_most["Nesterov"]:.2f} for Nesterov and
{at_most["AggMo"]:.2f} for AggMo with three dampings 0, β, 1 - (1 - β)². (d) Heavy ball is stable if
the eigenvalues x of (α I + P) H lie inside an ellipse that becomes longer and flatter with β: its
half-height is {", ".join(f"{height:.2f} at β = {name}" for name, height in heights.items())}.

**Paper.** Appendix A.4: momentum improves stability margins; an analysis of the joint system of
momentum and step is left for later. There is no figure.

**Differs.** This figure contains that analysis, which is exact. The margins of heavy ball and AggMo
do improve for real x. Nesterov's limit is below 2 for every β > 0, so its momentum narrows the
margin. If P is not symmetric and x is complex, heavy ball can lose stability, too: x = 1 + 0.9i,
the cross, is stable with β = 0 and unstable with β = 0.5 and β = 0.9.
"""


FIGURE = Figure(
    name="momentum",
    title="Momentum: the exact limit of the step",
    seen="The largest stable step grows with the momentum of heavy ball and AggMo and shrinks with "
    "Nesterov's; for complex eigenvalues the stable region flattens",
    config=CONFIG,
    parts=(*RULES, COMPLEX),
    compute=compute,
    draw=draw,
    caption=caption,
)
