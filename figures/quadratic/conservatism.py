"""How much of the exact stability limit each condition sees, over the condition number of H."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from figures.engine.figure import Data, Figure
from figures.engine.store import rounded
from figures.engine.style import BLUE, GREEN, GREY, ORANGE, PLUM, plt, use_style
from figures.quadratic.certified import certified_steps
from nqm import (
    descent,
    eigenvector_condition,
    nominal_step_interval,
    nominal_step_intervals,
    numerical_radius_condition,
    root_and_inverse_root,
    theorem1,
    theorem1_prime,
)
from nqm.conditions.condition import Condition

CONFIG: dict[str, Any] = {
    "seed": 0,
    "dimension": 4,
    "condition_numbers": [1.0, 1e3, 13],
    "root_scale": 0.2,
    "error_norm": 1.0,
    "draws": 24,
}
"""lambda_max(H) = 1 throughout."""
SYMMETRIC, NONSYMMETRIC = "symmetric", "with an error"
Bound = Callable[[Any, Any, float], Condition]
BOUNDS: dict[str, tuple[Bound, str, float]] = {
    "Theorem 1": (theorem1, ORANGE, 5.0),
    "Theorem 1'": (theorem1_prime, GREEN, 3.0),
    "eigenvectors": (eigenvector_condition, PLUM, 1.2),
    "descent": (descent, BLUE, 3.0),
    "numerical radius": (numerical_radius_condition, "black", 1.2),
}
# Width: lines that coincide lie within each other.
FAMILIES = {SYMMETRIC: tuple(BOUNDS), NONSYMMETRIC: tuple(BOUNDS)[1:]}
"""Theorem 1, corrected, says nothing of a P that is not symmetric."""


def condition_numbers() -> NDArray[np.float64]:
    """kappa(H)."""
    return np.geomspace(*CONFIG["condition_numbers"])


def problem(
    family: str, kappa: float, draw: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """H with eigenvalues from 1/kappa to 1 in a random basis; P = c H^-1/2, or c H^-1/2 (I + E)."""
    n = CONFIG["dimension"]
    rng = np.random.default_rng([CONFIG["seed"], draw])
    Q, other = np.linalg.qr(rng.standard_normal((n, n)))[0], rng.standard_normal((n, n))
    H = (Q * np.geomspace(1 / kappa, 1, n)) @ Q.T
    H = (H + H.T) / 2
    P = CONFIG["root_scale"] * root_and_inverse_root(H)[1]
    if family == SYMMETRIC:
        return H, (P + P.T) / 2
    return H, P @ (np.eye(n) + CONFIG["error_norm"] * other / np.linalg.norm(other, 2))


def exact_limit(H: NDArray[np.float64], P: NDArray[np.float64]) -> float:
    """The largest stable nominal step."""
    if np.array_equal(P, P.T):
        return float(nominal_step_interval(H, P).upper)
    return max(float(i.upper) for i in nominal_step_intervals(H, P))


def share(name: str, H: NDArray[np.float64], P: NDArray[np.float64]) -> float:
    """The largest step that the bound certifies over the largest stable one; 0 if none."""
    bound = BOUNDS[name][0]
    exact = exact_limit(H, P)
    found = certified_steps(lambda a: bound(H, P, a).margin + 1e-12, 0.0, 2 * exact)
    return found.upper / exact if found else 0.0


def parts() -> dict[str, tuple[str, float]]:
    """Name -> family and condition number."""
    return {
        f"{family}, {kappa:.4g}": (family, float(kappa))
        for family in FAMILIES
        for kappa in condition_numbers()
    }


def compute(part: str) -> Any:
    """The share of each bound, for each draw where P is random."""
    family, kappa = parts()[part]
    draws = CONFIG["draws"] if family == NONSYMMETRIC else 1
    problems = [problem(family, kappa, draw) for draw in range(draws)]
    return rounded({name: [share(name, *p) for p in problems] for name in FAMILIES[family]}, 5)


def shares(data: Data, family: str, name: str) -> NDArray[np.float64]:
    """[condition numbers, draws]."""
    return np.array([data[part][name] for part, (own, _) in parts().items() if own == family])


def draw(data: Data) -> Any:
    """A line for each bound; where P is random its median, and the middle half of the draws."""
    use_style()
    figure, axes = plt.subplots(1, 2, figsize=(7.0, 3.1), sharey=True)
    kappas = condition_numbers()
    for place, family in zip(axes, FAMILIES, strict=True):
        place.axhline(1, color=GREY, lw=0.8)
        for name in FAMILIES[family]:
            values, (_, colour, width) = shares(data, family, name), BOUNDS[name]
            low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), axis=1)
            place.plot(kappas, middle, color=colour, lw=width)
            if values.shape[1] > 1:
                place.fill_between(kappas, low, high, color=colour, alpha=0.15, lw=0)
        place.set(xscale="log", xlabel="condition number of H", ylim=(0, 1.12))
        place.set_xlim(kappas[0], kappas[-1])
    axes[0].set(title=r"(a) P = 0.2 $\mathbf{H^{-1/2}}$", ylabel="certified step / stable step")
    axes[1].set(title=r"(b) P = 0.2 $\mathbf{H^{-1/2}}$ (I + E), |E| = 1")
    _words(axes)
    figure.tight_layout(w_pad=1.5)
    return figure


def _words(axes: Any) -> None:
    """Each bound is named at its line."""
    for place, x, y, text, colour in (
        (axes[0], 1.3, 1.05, "descent, numerical radius: exact", BLUE),
        (axes[0], 45, 0.6, "Theorem 1", ORANGE),
        (axes[0], 45, 0.52, "= Theorem 1'", GREEN),
        (axes[0], 45, 0.44, "= eigenvectors", PLUM),
        (axes[1], 20, 1.05, "numerical radius", "black"),
        (axes[1], 110, 0.8, "descent", BLUE),
        (axes[1], 17, 0.6, "Theorem 1'", GREEN),
        (axes[1], 1.15, 0.1, "eigen-\nvectors", PLUM),
    ):
        place.text(x, y, text, color=colour, fontsize=8)


def caption(data: Data) -> str:
    """What is seen, what the paper states, what differs."""
    kappas = condition_numbers()
    here = len(kappas) // 3
    theorem = shares(data, SYMMETRIC, "Theorem 1")[:, 0]
    empty = kappas[theorem == 0]
    worst = {
        name: float(np.min(shares(data, SYMMETRIC, name)))
        for name in ("descent", "numerical radius")
    }
    middle = {
        name: np.median(shares(data, NONSYMMETRIC, name), axis=1) for name in FAMILIES[NONSYMMETRIC]
    }
    listed = ", ".join(
        f"{name} {values[0]:.0%}, {values[here]:.0%} and {values[-1]:.0%}"
        for name, values in middle.items()
    )
    same = max(
        float(np.max(np.abs(shares(data, SYMMETRIC, name)[:, 0] - theorem)))
        for name in ("Theorem 1'", "eigenvectors")
    )
    return f"""
**Seen.** The largest nominal step that a condition certifies, over the largest that is stable; N =
{CONFIG["dimension"]}, λmax(H) = 1, the other eigenvalues spaced down to 1/κ in a random basis. (a)
P = {CONFIG["root_scale"]} H^(-1/2), what an adaptive preconditioner aims at: Theorem 1 certifies
{theorem[0]:.0%} at κ = 1, {theorem[here]:.0%} at κ = {kappas[here]:.0f} and no step above 0 from κ
= {empty[0]:.3g} on. Theorem 1' and the eigenvector condition are the same there (the largest
difference is {same:.2g}). That the loss never rises (descent) and the numerical radius see
{worst["descent"]:.0%} and {worst["numerical radius"]:.2%} of it or more at every κ. (b) The same
times I + E, E random with norm {CONFIG["error_norm"]:g}, as if it had been learned: medians of
{CONFIG["draws"]} draws and the middle half. At κ = 1, {kappas[here]:.0f} and {kappas[-1]:.0f} the
conditions see: {listed}. Theorem 1 says nothing of it.

**Paper.** Theorem 1 is sufficient; that it is conservative is not quantified. No figure.

**Differs.** The bound λmax(P) ≤ 2/λmax(H) - α lets the largest eigenvalue of P meet the largest
curvature, although a preconditioner is large where H is small. So Theorem 1 fails for just the
preconditioners that work, the worse the larger κ is, while a condition in the norm of the loss is
exact for symmetric P and, as a numerical radius, nearly so for the others.
"""


FIGURE = Figure(
    name="conservatism",
    title="How much of the stable steps each condition certifies",
    seen="With a good preconditioner Theorem 1 certifies less and less as the condition number "
    "grows, and nothing from 100 on; conditions in the norm of the loss stay exact",
    config=CONFIG,
    parts=tuple(parts()),
    compute=compute,
    draw=draw,
    caption=caption,
)
