"""Is an optimizer stable whose P changes at every step?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from nqm import validate
from nqm.quadratic import NoisyQuadratic
from nqm.rules.table import parse_rule
from nqm.switching.radius import bounds_of
from nqm.switching.report import SwitchedReport
from nqm.switching.updates import NOT_AFFINE, updates_of


def switched(
    hessian: ArrayLike | NoisyQuadratic,
    preconditioners: ArrayLike,
    nominal_step: float = 0.0,
    *,
    rule: str = "plain",
    disturbance_bound: ArrayLike | None = None,
    tolerance: float = 1e-3,
    budget: int = 20_000,
) -> SwitchedReport:
    """Is every product of updates bounded if P may be another one of a set at every step?

    The joint spectral radius of the updates decides; see `joint_spectral_radius`. Where the update
    is affine in P, the answer holds for the convex hull of the P: pass two P for a segment, the
    vertices that `preconditioner_box` returns for a box, or a bound dbar for the set (15) with a
    Delta that changes at every step.

    Parameters
    ----------
    hessian : (N, N) array or NoisyQuadratic
        H, symmetric positive semidefinite; where it is singular, the answer is about its range.
    preconditioners : (m, N, N) array
        The P, any real matrices; with `disturbance_bound` the P~. One may be given alone.
    nominal_step : float
        alpha.
    rule : str
        As for `check`.
    disturbance_bound : (N,) array or float, optional
        dbar: P = diag(d) P~ with 0 < d <= dbar, d another one at every step.
    tolerance, budget
        As for `joint_spectral_radius`.

    Returns
    -------
    SwitchedReport

    Raises
    ------
    ValueError
        For malformed arguments; never for an unstable answer.

    Examples
    --------
    A nominal term makes the same two P stable in any order:

    >>> from dataclasses import replace

    import numpy as np
    >>> from nqm import switched
    >>> P = 0.8 * np.array([[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]])
    >>> [switched(np.eye(2), P, alpha).verdict for alpha in (0.0, 0.5, 1.0)]
    ['unstable', 'unstable', 'stable']
    """
    named, parameters = parse_rule(rule)
    model = hessian if isinstance(hessian, NoisyQuadratic) else NoisyQuadratic(hessian)  # type: ignore[arg-type]
    alpha = validate.scalar("nominal_step", nominal_step)
    found = updates_of(model, preconditioners, alpha, named, parameters, disturbance_bound)
    bounds = bounds_of(found.given, tolerance=tolerance, budget=budget)
    if found.disturbances is not None and bounds.status == "refuted" and not bounds.lower > 1:
        # Only a corner of the closed box grows, and the set (15) is open there.
        bounds = replace(bounds, status="unknown", by="the bounds meet at one")
    single = float(np.max(np.abs(np.linalg.eigvals(found.given.matrices))))
    return SwitchedReport(
        bounds=bounds,
        preconditioners=found.preconditioners,
        disturbances=found.disturbances,
        hull=named.name not in NOT_AFFINE,
        single_spectral_radius=single,
        nominal_step=alpha,
        dimension=model.dimension,
        rank=found.rank,
        rule=named.name,
        rule_parameters=parameters,
    )
