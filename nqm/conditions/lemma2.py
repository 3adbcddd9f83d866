"""Lemma 2 of the paper: Theorem 1 for the rule (12), with H^1/2 in place of H."""

from __future__ import annotations

from nqm import validate
from nqm.conditions.condition import (
    Condition,
    Statement,
    distance_inside,
    extremes,
    symmetric_preconditioner,
)
from nqm.conditions.formulas import lemma2_interval
from nqm.conditions.intervals import nominal_step_interval
from nqm.conditions.theorem1 import bounded_spectrum
from nqm.namespace import AnyArray
from nqm.rules.linear import root_and_inverse_root

LEMMA2 = Statement("Lemma 2", "(9) and (13)", "eigenvalues of P")


def own_counterexample(reason: str) -> str:
    """The reason of Theorem 1 with Lemma 2's counterexample, whose Hessian is the square."""
    return reason.replace("[2,1],[1,2]", "[5,4],[4,5]")


def lemma2(hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: float) -> Condition:
    """-alpha <= lambda_min(P), lambda_max(P) <= 2/sqrt(lambda_max(H)) - alpha: (12) is stable.

    Lemma 2, (9) and (13), for symmetric P: Theorem 1 with H^1/2 in place of H. As printed, for
    every diagonalizable P with real eigenvalues, it is false.

    Parameters
    ----------
    hessian, preconditioner, nominal_step
        As for `theorem1`.

    Returns
    -------
    Condition

    Raises
    ------
    ValueError
        For malformed arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import lemma2, preconditioned_update_matrix, spectral_radius
    >>> H = np.array([[5.0, 4.0], [4.0, 5.0]])
    >>> found = lemma2(H, np.diag([-0.1, 0.1]), 0.5)
    >>> A = preconditioned_update_matrix(H, np.diag([-0.1, 0.1]), 0.5)
    >>> found.holds, bool(spectral_radius(A) <= 1)
    (True, True)
    """
    H = validate.semidefinite("hessian", hessian)
    alpha = validate.scalar("nominal_step", nominal_step)
    P, reason = symmetric_preconditioner(preconditioner, H.shape[0])
    top = float(lemma2_interval(H, None)[1])
    if reason:
        return bounded_spectrum(LEMMA2, alpha, top, reason=own_counterexample(reason))
    root = root_and_inverse_root(H)[0]
    exact = distance_inside(nominal_step_interval(root, P), alpha)
    return bounded_spectrum(LEMMA2, alpha, top, extremes(P), exact_margin=exact)
