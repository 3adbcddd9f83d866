"""Robust stability under the uncertainty set (15): certified, refuted, or unknown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nqm.problem import Problem, pose
from nqm.quadratic import NoisyQuadratic
from nqm.robust.certificates import CORNER_LIMIT, corner_norm, scaled_norm, small_gain
from nqm.robust.exact_cases import decide_exactly
from nqm.robust.family import DisturbedFamily, posed_family
from nqm.robust.search import find_worst, shrink_into_set
from nqm.robust.subdivision import subdivide
from nqm.validate import Array

SUBDIVIDED = 8
"""Up to this many parameters the box is halved; beyond it the parts are too many."""


@dataclass(frozen=True, eq=False)
class RobustReport:
    """Whether rho(I - alpha H - Delta P~ H) <= 1 for every Delta of the set (15).

    Attributes
    ----------
    status : str
        'certified', 'refuted' or 'unknown'.
    by : str
        The argument that certifies, or how the disturbance was found, or why neither succeeded.
    witness : (N,) array or None
        Where refuted, d of a Delta = diag(d) in the set with rho > 1, which was verified by
        rational arithmetic, or by bounds on the rounding for N > 8 and singular H.
    worst_disturbance : (N,) array
        The d of largest spectral radius that was visited; the witness, where there is one.
    worst_spectral_radius : float
        rho there: a lower bound on the worst case.
    boxes : int
        The number of parts that the box was cut into.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import RobustReport, robust_stability
    >>> report = robust_stability(np.eye(2), np.zeros((2, 2)), 1.0, [1.0, 1.0])
    >>> isinstance(report, RobustReport), report.status
    (True, 'certified')
    """

    status: str
    by: str
    witness: Array | None
    worst_disturbance: Array
    worst_spectral_radius: float
    boxes: int = 0

    @property
    def delta(self) -> Array | None:
        """Delta = diag(d) of the witness; (N, N)."""
        return None if self.witness is None else np.diag(self.witness)


def robust_stability(
    hessian: ArrayLike | NoisyQuadratic,
    preconditioner: ArrayLike,
    nominal_step: float,
    disturbance_bound: ArrayLike,
    *,
    starts: int = 8,
    budget: int = 20_000,
    seed: int = 0,
) -> RobustReport:
    """Is rho(I - alpha H - Delta P~ H) <= 1 for every Delta = diag(d), 0 < d_i <= dbar_i?

    The set of the Delta is (15). Exact for diagonal P~ and for N <= 2. Otherwise certified by the
    small gain, by a norm that falls at every corner of the box, by D-scaling, or by halving the box
    until each part has such a norm; refuted by a search over corners, faces and interior. Corners
    and samples never certify: from N = 3 on the worst case can lie inside a box whose corners are
    all stable.

    Parameters
    ----------
    hessian : (N, N) array or NoisyQuadratic
        H, symmetric positive semidefinite; where it is singular, A is judged on its range.
    preconditioner : (N, N) array
        P~, any real matrix.
    nominal_step : float
        alpha.
    disturbance_bound : (N,) array or float
        dbar > 0; a number stands for all N.
    starts : int
        How many local ascents the search makes.
    budget : int
        How many parts the box may be cut into for N = 3; half as many for each N more, up to 8.
    seed : int
        Of the random starts.

    Returns
    -------
    RobustReport

    Raises
    ------
    ValueError
        For malformed arguments, or a dbar_i <= 0.

    Examples
    --------
    The counterexample to Lemma 3 without its commutation: (16) and (17) hold, yet

    >>> import numpy as np
    >>> from nqm import robust_stability, spectral_radius
    >>> H, P = np.array([[1.1, -2.0], [-2.0, 4.1]]), 0.075 * np.array([[1.0, 2.0], [2.0, 4.0]])
    >>> report = robust_stability(H, P, 0.01, [1.0, 1.0])
    >>> report.status
    'refuted'
    >>> A = np.eye(2) - 0.01 * H - report.delta @ P @ H
    >>> bool(spectral_radius(A) > 1)
    True
    """
    problem = pose(hessian, preconditioner, nominal_step)
    return posed_robust_stability(
        problem, disturbance_bound, starts=starts, budget=budget, seed=seed
    )


def posed_robust_stability(
    problem: Problem,
    disturbance_bound: ArrayLike,
    *,
    starts: int = 8,
    budget: int = 20_000,
    seed: int = 0,
) -> RobustReport:
    """`robust_stability` of a validated problem."""
    family = posed_family(problem, disturbance_bound)
    worst = find_worst(family, np.random.default_rng(seed), starts)
    exact = decide_exactly(family)
    if exact is not None and exact[0]:
        return _report(family, "certified", exact[1], worst)
    if exact is None and small_gain(family):
        return _report(family, "certified", "small gain", worst)
    witness = shrink_into_set(family, worst)
    if witness is None and exact is not None:
        witness = _corner_witness(family)
    if witness is not None:
        by = exact[1] if exact else "search"
        return _report(family, "refuted", by, witness)
    if exact is not None:
        return _report(family, "unknown", "unstable by less than can be verified", worst)
    return _certify(family, worst, budget)


def _certify(family: DisturbedFamily, worst: Array, budget: int) -> RobustReport:
    """The certificates in the order of their cost; where all fail, unknown."""
    if corner_norm(family, family.norm):
        return _report(family, "certified", "the norm of the loss falls at every corner", worst)
    X = scaled_norm(family)
    if X is not None:
        return _report(family, "certified", "D-scaling", worst)
    if family.bound.size > SUBDIVIDED:
        return _report(family, "unknown", f"no certificate, and N > {SUBDIVIDED}", worst)
    found = subdivide(family, budget * 8 // 2**family.bound.size)
    if found.complete:
        by = f"a falling norm on each of the parts, {found.boxes} boxes"
        return _report(family, "certified", by, worst, found.boxes)
    if found.suspect is not None:
        witness = shrink_into_set(family, found.suspect)
        if witness is not None:
            return _report(family, "refuted", "subdivision", witness, found.boxes)
    return _report(family, "unknown", f"undecided after {found.boxes} boxes", worst, found.boxes)


def _corner_witness(family: DisturbedFamily) -> Array | None:
    """The exact conditions fail at a corner, perhaps by less than an eigenvalue can show."""
    if family.bound.size > CORNER_LIMIT:
        return None
    corners = family.corners(np.zeros_like(family.bound), family.bound)
    for corner in corners[np.argsort(-family.radius(corners))]:
        witness = shrink_into_set(family, corner)
        if witness is not None:
            return witness
    return None


def _report(
    family: DisturbedFamily, status: str, by: str, d: Array, boxes: int = 0
) -> RobustReport:
    witness = d if status == "refuted" else None
    return RobustReport(
        status=status,
        by=by,
        witness=witness,
        worst_disturbance=d,
        worst_spectral_radius=float(family.radius(d)),
        boxes=boxes,
    )
