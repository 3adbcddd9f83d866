"""Lemma 3: Theorem 1 for every disturbance P = Delta P~ in the set (15) at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from nqm import validate
from nqm.conditions.condition import Condition, Statement
from nqm.conditions.intervals import nominal_step_interval
from nqm.conditions.theorem1 import interval_ends
from nqm.namespace import AnyArray, common
from nqm.problem import Problem, pose

LEMMA3 = Statement(name="Lemma 3", source="(16) and (17)", quantity="eigenvalues of P~, and 0")


def lemma3_bounds(
    hessian: AnyArray, nominal_step: AnyArray, disturbance_bound: AnyArray
) -> AnyArray:
    """[-alpha/max dbar, (2/lambda_max(H) - alpha)/max dbar]: (16) and (17) on the entries of P~.

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive definite.
    nominal_step : scalar
        alpha.
    disturbance_bound : (N,) array
        dbar > 0 of (15).

    Returns
    -------
    (2,) array

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import lemma3_bounds
    >>> lemma3_bounds(np.diag([1.0, 2.0]), 0.25, np.array([1.0, 0.5])).tolist()
    [-0.25, 0.75]
    """
    xp, (H, alpha, d) = common(hessian, nominal_step, disturbance_bound)
    low, high = interval_ends(xp.linalg.eigvalsh(H)[-1], alpha, alpha)
    worst = xp.max(d)
    return xp.stack([low / worst, high / worst])


def lemma3(
    hessian: ArrayLike,
    preconditioner: ArrayLike,
    nominal_step: float,
    disturbance_bound: ArrayLike,
) -> Condition:
    """-alpha/max dbar <= lambda(P~) <= (2/lambda_max(H) - alpha)/max dbar: stable for all Delta.

    Lemma 3, (16) and (17), under its assumption that P~ commutes with every diagonal Delta, which
    makes P~ diagonal. Without it the statement is false even for P~ >= 0; the result then has
    applies False. `nqm.robust.stability` has sharper answers.

    Parameters
    ----------
    hessian, nominal_step
        As for `theorem1`.
    preconditioner : (N, N) array
        P~.
    disturbance_bound : (N,) array or float
        dbar > 0 of (15): 0 < d_i <= dbar_i; a number stands for all N.

    Returns
    -------
    Condition
        Its exact margin is the largest change of alpha under which the box stays stable.

    Raises
    ------
    ValueError
        For malformed arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import lemma3
    >>> lemma3(np.eye(2), np.diag([-0.2, 0.3]), 0.5, [1.0, 2.0]).holds
    True
    >>> lemma3(np.eye(2), np.ones((2, 2)), 0.5, [1.0, 2.0]).applies
    False
    """
    return posed_lemma3(pose(hessian, preconditioner, nominal_step), disturbance_bound)


def posed_lemma3(problem: Problem, disturbance_bound: ArrayLike) -> Condition:
    """`lemma3` of a validated problem; it does not apply where H is singular."""
    H, alpha = problem.hessian, problem.alpha
    dbar = validate.disturbance_bound(disturbance_bound, problem.dimension)
    if problem.rank < problem.dimension:
        return LEMMA3.not_applicable("the hessian is singular")
    P = np.zeros_like(H) if problem.preconditioner is None else problem.preconditioner
    top = 2 / float(problem.h[-1])
    lower, upper = (float(x) for x in lemma3_bounds(H, alpha, dbar))
    if np.any(np.diag(np.diag(P)) != P):
        reason = "P~ is not diagonal, so it does not commute with every diagonal Delta"
        return LEMMA3.not_applicable(reason, lower=lower, upper=upper)
    if not 0 < alpha < top:
        reason = f"nominal_step {alpha:.6g} is not inside (0, {top:.6g})"
        return LEMMA3.not_applicable(reason, lower=lower, upper=upper)
    p = np.diag(P)
    # The worst corners of the box, exact for diagonal P~; divided by max dbar like the bounds.
    low = nominal_step_interval(H, np.diag(np.minimum(0.0, dbar * p))).lower
    high = nominal_step_interval(H, np.diag(np.maximum(0.0, dbar * p))).upper
    return LEMMA3.applied(
        lower=lower,
        upper=upper,
        smallest=min(float(p.min()), 0.0),
        largest=max(float(p.max()), 0.0),
        exact_margin=float(min(alpha - low, high - alpha)) / float(dbar.max()),
    )
