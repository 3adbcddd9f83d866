"""Theorem 1': what Theorem 1 becomes for a P that need not be symmetric."""

from __future__ import annotations

from numpy.typing import ArrayLike

from nqm.conditions.condition import Condition, Known, Statement
from nqm.namespace import AnyArray, common
from nqm.problem import Problem, pose
from nqm.validate import extreme_eigenvalues

THEOREM1_PRIME = Statement(
    name="Theorem 1'", source="any real P", quantity="|P - (1/h - alpha) I|_2"
)


def theorem1_prime_norm(
    hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: AnyArray
) -> AnyArray:
    """|P - (1/h - alpha) I|_2, which Theorem 1' compares with 1/h.

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive definite.
    preconditioner : (N, N) array or None
        P, any real matrix.
    nominal_step : scalar
        alpha.

    Returns
    -------
    scalar array

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import theorem1_prime_norm
    >>> float(theorem1_prime_norm(np.diag([1.0, 2.0]), None, 0.75))  # |0.75 - 1/2|
    0.25
    """
    xp, (H, P, alpha) = common(hessian, preconditioner, nominal_step)
    shift = alpha - 1 / xp.linalg.eigvalsh(H)[-1]
    shifted = shift * xp.eye(H.shape[0], dtype=H.dtype)
    return xp.max(xp.linalg.svdvals(shifted if P is None else P + shifted))


def theorem1_prime(
    hessian: ArrayLike, preconditioner: ArrayLike | None, nominal_step: float
) -> Condition:
    """|P - (1/h - alpha) I|_2 <= 1/h with h = lambda_max(H) implies rho(A) <= 1, for any real P.

    Theorem 1': what Theorem 1 becomes without symmetry; for symmetric P it is (9) and (10). It
    holds for every 0 < H <= h I at once.

    Parameters
    ----------
    hessian, preconditioner, nominal_step
        As for `theorem1`, P any real matrix.

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
    >>> from nqm import theorem1_prime
    >>> H, P = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[0.0, 0.2], [-0.2, 0.0]])
    >>> theorem1_prime(H, P, 1 / 3).holds
    True
    >>> theorem1_prime(H, np.array([[0.0, 2.0], [0.0, 0.5]]), 0.0).holds
    False
    """
    problem = pose(hessian, preconditioner, nominal_step)
    return posed_theorem1_prime(problem, Known(p=extremes(problem)))


def extremes(problem: Problem) -> tuple[float, float] | None:
    """The extreme eigenvalues of a symmetric P; None where P is not symmetric."""
    if not problem.symmetric:
        return None
    if problem.preconditioner is None:
        return 0.0, 0.0
    low, high = extreme_eigenvalues(problem.preconditioner)
    return float(low), float(high)


def posed_theorem1_prime(problem: Problem, known: Known) -> Condition:
    """`theorem1_prime` of a validated problem; |.|_2 from the extremes of P where it has them."""
    alpha, centre = problem.alpha, 1 / float(problem.h[-1])
    if known.p is None:
        norm = float(theorem1_prime_norm(problem.hessian, problem.preconditioner, alpha))
    else:
        norm = max(abs(alpha + p - centre) for p in known.p)
    return THEOREM1_PRIME.applied(upper=centre, largest=norm, exact_margin=known.step_margin)
