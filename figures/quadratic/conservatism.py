"""The share of the stable steps that each condition certifies, over the condition number of H."""

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
# The third entry is the line width: lines that coincide are drawn inside each other.
FAMILIES = {SYMMETRIC: tuple(BOUNDS), NONSYMMETRIC: tuple(BOUNDS)[1:]}
"""The corrected Theorem 1 does not apply if P is not symmetric."""


def condition_numbers() -> NDArray[np.float64]:
    """The condition numbers of H."""
    return np.geomspace(*CONFIG["condition_numbers"])


def problem(
    family: str, kappa: float, draw: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw H with eigenvalues from 1/kappa to 1, and P = c H^-1/2 or P = c H^-1/2 (I + E)."""
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
    """The largest step that the bound certifies, divided by the largest stable one."""
    bound = BOUNDS[name][0]
    exact = exact_limit(H, P)
    found = certified_steps(lambda a: bound(H, P, a).margin + 1e-12, 0.0, 2 * exact)
    return found.upper / exact if found else 0.0


def parts() -> dict[str, tuple[str, float]]:
    """Map each part to its family and condition number."""
    return {
        f"{family}, {kappa:.4g}": (family, float(kappa))
        for family in FAMILIES
        for kappa in condition_numbers()
    }


def compute(part: str) -> Any:
    """Compute the share of each bound, for each draw if P is random."""
    family, kappa = parts()[part]
    draws = CONFIG["draws"] if family == NONSYMMETRIC else 1
    problems = [problem(family, kappa, draw) for draw in range(draws)]
    return rounded({name: [share(name, *p) for p in problems] for name in FAMILIES[family]}, 5)


def shares(data: Data, family: str, name: str) -> NDArray[np.float64]:
    """The shares of a bound, ``[condition numbers, draws]``."""
    return np.array([data[part][name] for part, (own, _) in parts().items() if own == family])


def draw(data: Data) -> Any:
    """Draw a line for each bound: if P is random, the median and the middle half of the draws."""
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
    """Label the lines."""
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
    """Describe the picture, the paper's theorem, and the differences."""
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
**Seen.** The better the preconditioner, the less Theorem 1 certifies; conditions in the norm of the
loss stay exact. The curves are the largest nominal step that a condition certifies, divided by the
largest stable step, for N = {CONFIG["dimension"]}, λmax(H) = 1 and the other eigenvalues spaced
down to 1/κ in a random basis. (a) P = {CONFIG["root_scale"]} H^(-1/2), the aim of an adaptive
preconditioner: Theorem 1 certifies {theorem[0]:.0%} at κ = 1, {theorem[here]:.0%} at κ =
{kappas[here]:.0f} and no step above 0 from κ = {empty[0]:.3g} on. Theorem 1' and the eigenvector
condition give the same values here (the largest difference is {same:.2g}). At every κ, the
condition that the loss never rises (descent) certifies {worst["descent"]:.0%} of the stable steps,
and the numerical radius {worst["numerical radius"]:.2%}. (b) The same P times I + E, where E is
random with norm {CONFIG["error_norm"]:g}, as if P had been learned: medians and middle halves of
{CONFIG["draws"]} draws. At κ = 1, {kappas[here]:.0f} and {kappas[-1]:.0f} the conditions certify:
{listed}. Theorem 1 does not apply.

**Paper.** Theorem 1 is sufficient; how conservative it is, is not quantified. There is no figure.

**Differs.** The bound λmax(P) ≤ 2/λmax(H) - α lets the largest eigenvalue of P meet the largest
curvature, although a preconditioner is large where H is small. Theorem 1 therefore fails for
exactly the preconditioners that work well, the more so the larger κ is. A condition in the norm of
the loss is exact for symmetric P, and the numerical radius is nearly exact for other P.
"""


FIGURE = Figure(
    name="conservatism",
    title="How many of the stable steps each condition certifies",
    seen="With a good preconditioner Theorem 1 certifies less and less as the condition number "
    "grows, and nothing from 100 on; conditions in the norm of the loss stay exact",
    config=CONFIG,
    parts=tuple(parts()),
    compute=compute,
    draw=draw,
    caption=caption,
)
