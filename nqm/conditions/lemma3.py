"""Lemma 3 of the paper, on the disturbances (15), under the assumption that makes it true."""

from __future__ import annotations

import numpy as np

from nqm import validate
from nqm.conditions.condition import Condition, Statement, distance_inside
from nqm.conditions.formulas import lemma3_bounds
from nqm.conditions.intervals import Interval, nominal_step_interval
from nqm.namespace import AnyArray

LEMMA3 = Statement("Lemma 3", "(16) and (17)", "eigenvalues of P~, and 0")


def lemma3(
    hessian: AnyArray,
    preconditioner: AnyArray,
    nominal_step: float,
    disturbance_bound: AnyArray,
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
    disturbance_bound : (N,) array
        dbar > 0 of (15): 0 < d_i <= dbar_i.

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
    H = validate.semidefinite("hessian", hessian)
    alpha = validate.scalar("nominal_step", nominal_step)
    P = validate.square("preconditioner", preconditioner, H.shape[0])
    dbar = validate.vector("disturbance_bound", disturbance_bound, H.shape[0])
    if not np.all(dbar > 0):
        raise ValueError(f"disturbance_bound must be positive; its smallest is {dbar.min():.6g}.")
    top = 2 / float(np.linalg.eigvalsh(H)[-1])
    lower, upper = (float(x) for x in lemma3_bounds(H, alpha, dbar))
    if np.any(np.diag(np.diag(P)) != P):
        reason = "P~ is not diagonal, so it does not commute with every diagonal Delta"
        return LEMMA3.not_on(reason, lower=lower, upper=upper)
    if not 0 < alpha < top:
        reason = f"nominal_step {alpha:.6g} is not inside (0, {top:.6g})"
        return LEMMA3.not_on(reason, lower=lower, upper=upper)
    p = np.diag(P)
    # The worst corners of the box, exact for diagonal P~; divided by max dbar like the bounds.
    low = nominal_step_interval(H, np.diag(np.minimum(0.0, dbar * p))).lower
    high = nominal_step_interval(H, np.diag(np.maximum(0.0, dbar * p))).upper
    exact = distance_inside(Interval(low, high), alpha) / float(dbar.max())
    smallest, largest = min(float(p.min()), 0.0), max(float(p.max()), 0.0)
    return LEMMA3.on(
        lower=lower, upper=upper, smallest=smallest, largest=largest, exact_margin=exact
    )
