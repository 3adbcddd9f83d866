"""What is asked about robust stability, and the answers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.nqm_robust import edge, problem
from figures.engine.store import rounded
from nqm import (
    example,
    lemma3_bounds,
    perturbed_preconditioner,
    robust_stability,
    spectral_radius,
    update_matrix,
)

CONFIG = {
    "seed": 0,
    "example": "lemma3-without-commuting",
    "sizes": [0.02, 1.3, 65],
    "box_points": 81,
    "dimensions": [2, 3, 4, 6],
    "problems": 6,
    "fractions": [0.5, 1.2, 29],
}
CURVE, BOX = "sizes", "box"
STATUSES = ("certified", "unknown", "refuted")


def sizes() -> NDArray[np.float64]:
    """The sizes s of panel (a); dbar = (s, s)."""
    return np.linspace(*CONFIG["sizes"])


def fractions() -> NDArray[np.float64]:
    """The sizes of panel (c), over the largest at which the search refutes nothing."""
    return np.linspace(*CONFIG["fractions"])


def compute(part: str) -> Any:
    """The statuses over the size; the radius over the box; the statuses of a random problem."""
    if part == CURVE:
        return rounded([_asked(s) for s in sizes().tolist()], 6)
    if part == BOX:
        return _box()
    n, index = (int(number) for number in part.removeprefix("N = ").split(" no. "))
    rng = np.random.default_rng([CONFIG["seed"], n, index])
    H, P, alpha, bound = problem(rng, n)
    scale = edge(H, P, alpha, bound)
    reports = [robust_stability(H, P, alpha, f * scale * bound) for f in fractions().tolist()]
    return [[report.status, report.by] for report in reports]


def _asked(size: float) -> dict[str, Any]:
    """What is known of the example at a size, and whether (16) and (17) hold there."""
    shown = example(CONFIG["example"])
    bound = size * shown.disturbance_bound
    report = robust_stability(shown.hessian, shown.preconditioner, shown.nominal_step, bound)
    low, high = lemma3_bounds(shown.hessian, shown.nominal_step, bound)
    p = np.linalg.eigvalsh(shown.preconditioner)
    # The example's P~ has rank one: its eigenvalue 0 is computed to rounding.
    return {
        "status": report.status,
        "worst_radius": report.worst_spectral_radius,
        "witness": None if report.witness is None else report.witness,
        "printed": bool(low <= p[0] + 1e-12 and p[-1] <= high),
    }


def _box() -> Any:
    """The spectral radius over the unit box [d_2, d_1], and the witness of its instability."""
    shown, axis = example(CONFIG["example"]), np.linspace(0, 1, CONFIG["box_points"])

    def radius(d: NDArray[np.float64]) -> float:
        P = perturbed_preconditioner(shown.preconditioner, d)
        return float(spectral_radius(update_matrix(shown.hessian, P, shown.nominal_step)))

    witness = robust_stability(
        shown.hessian, shown.preconditioner, shown.nominal_step, shown.disturbance_bound
    ).witness
    radii = [[radius(np.array([x, y])) for x in axis.tolist()] for y in axis.tolist()]
    return rounded({"radius": radii, "witness": witness}, 5)


def problems() -> dict[int, list[str]]:
    """The parts of panel (c) by dimension."""
    return {
        n: [f"N = {n} no. {k}" for k in range(CONFIG["problems"])] for n in CONFIG["dimensions"]
    }
