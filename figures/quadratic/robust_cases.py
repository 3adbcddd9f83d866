"""The problems of robust stability, and their answers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from figures.engine.store import rounded
from nqm import (
    example,
    lemma3_bounds,
    perturbed_preconditioner,
    robust_stability,
    spectral_radius,
    update_matrix,
)

Array = NDArray[np.float64]

CONFIG: dict[str, Any] = {
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


def sizes() -> Array:
    """The sizes s of panel (a), where dbar = (s, s)."""
    return np.linspace(*CONFIG["sizes"])


def fractions() -> Array:
    """The sizes of panel (c), in units of the largest that the search does not refute."""
    return np.linspace(*CONFIG["fractions"])


def problem(rng: np.random.Generator, n: int) -> tuple[Array, Array, float, Array]:
    """Draw H with condition number up to 100, P~, a stable alpha, and dbar over a decade."""
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    H = (Q * 10 ** -rng.uniform(0, 2, n)) @ Q.T
    H = (H + H.T) / 2
    alpha = rng.uniform(0.05, 1.9) / np.linalg.eigvalsh(H)[-1]
    return H, rng.standard_normal((n, n)), alpha, 10 ** rng.uniform(-0.5, 0.5, n)


def edge(H: Array, P: Array, alpha: float, bound: Array) -> float:
    """The largest scale of P~ that the search does not refute."""
    low, high = 0.0, 1e3
    for _ in range(30):
        middle = (low + high) / 2
        status = robust_stability(H, middle * P, alpha, bound, budget=0).status
        low, high = (low, middle) if status == "refuted" else (middle, high)
    return low


def compute(part: str) -> Any:
    """Compute the answers over the size, the radius over the box, or those of a random problem."""
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


def counterexample() -> tuple[Array, Array, float, Array]:
    """Return H, P~, alpha and dbar of the counterexample to Lemma 3 as printed."""
    shown = example(CONFIG["example"])
    H, P, bound = (
        np.asarray(one, np.float64)
        for one in (shown.hessian, shown.preconditioner, shown.disturbance_bound)
    )
    assert shown.nominal_step is not None
    return H, P, shown.nominal_step, bound


def _asked(size: float) -> dict[str, Any]:
    """The answer for the example at a size, and whether (16) and (17) hold there."""
    H, P, alpha, unit = counterexample()
    report = robust_stability(H, P, alpha, size * unit)
    low, high = lemma3_bounds(H, alpha, size * unit)
    p = np.linalg.eigvalsh(P)
    # P~ has rank one; its eigenvalue 0 is computed up to rounding.
    return {
        "status": report.status,
        "worst_radius": report.worst_spectral_radius,
        "witness": None if report.witness is None else report.witness,
        "printed": bool(low <= p[0] + 1e-12 and p[-1] <= high),
    }


def _box() -> Any:
    """The spectral radius over the unit box, ``[d_2, d_1]``, and the witness of instability."""
    (H, P, alpha, unit), axis = counterexample(), np.linspace(0, 1, CONFIG["box_points"])

    def radius(d: Array) -> float:
        return float(spectral_radius(update_matrix(H, perturbed_preconditioner(P, d), alpha)))

    witness = robust_stability(H, P, alpha, unit).witness
    radii = [[radius(np.array([x, y])) for x in axis.tolist()] for y in axis.tolist()]
    return rounded({"radius": radii, "witness": witness}, 5)


def problems() -> dict[int, list[str]]:
    """The parts of panel (c), by dimension."""
    return {
        n: [f"N = {n} no. {k}" for k in range(CONFIG["problems"])] for n in CONFIG["dimensions"]
    }
