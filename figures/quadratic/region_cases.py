"""Stable nominal steps over a parameter of P, and those that a statement certifies."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from figures.engine.store import rounded
from figures.quadratic.certified import certified_steps
from nqm import (
    example,
    nominal_step_intervals,
    theorem1_interval,
    theorem1_prime,
)

CONFIG = {
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


def hessian(panel: str) -> NDArray[np.float64]:
    """H of a panel."""
    return example(CONFIG[panel]["hessian"]).hessian


def parameters(panel: str) -> NDArray[np.float64]:
    """The values of c."""
    return np.linspace(CONFIG[panel]["from"], CONFIG[panel]["to"], CONFIG["points"])


def preconditioner(panel: str, c: float) -> NDArray[np.float64]:
    """P: c along the flattest direction of H; the counterexample to Theorem 1; a rotation."""
    if panel == "symmetric":
        flattest = np.linalg.eigh(hessian(panel))[1][:, 0]
        return c * np.outer(flattest, flattest)
    return np.array([[0.0, c], [0.0, 0.5]] if panel == "triangular" else [[0.0, c], [-c, 0.0]])


def compute(panel: str) -> Any:
    """For each c the steps that are stable and those that each statement certifies.

    As printed, Theorem 1 asks for the eigenvalues of P alone, which must be real: it says of P
    what it says of the diagonal matrix of them.
    """
    H, found = hessian(panel), []
    for c in parameters(panel).tolist():
        P = preconditioner(panel, c)
        values = np.linalg.eigvals(P)
        real = np.abs(values.imag).max() < 1e-12
        printed = list(theorem1_interval(H, np.diag(values.real))) if real else None
        prime = certified_steps(lambda a, P=P: theorem1_prime(H, P, a).margin + 1e-12, -25.0, 25.0)
        found.append(
            {
                "stable": [list(i) for i in nominal_step_intervals(H, P)],
                "printed": printed if printed and printed[0] <= printed[1] else None,
                "prime": list(prime) if prime else None,
            }
        )
    return rounded(found, 5)


def false_share(panel: str, rows: list[dict[str, Any]]) -> float:
    """The share of what Theorem 1 as printed certifies, for c of the panel, that is unstable."""
    claimed = unstable = 0.0
    for row in rows:
        low, high = row["printed"] or (0.0, 0.0)
        low = max(low, 0.0)
        claimed += max(high - low, 0.0)
        stable = sum(max(0.0, min(b, high) - max(a, low)) for a, b in row["stable"])
        unstable += max(high - low - stable, 0.0)
    return unstable / claimed if claimed else 0.0
