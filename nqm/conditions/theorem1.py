"""Theorem 1 of the paper, for symmetric P, and Theorem 1', for any real P."""

from __future__ import annotations

import numpy as np

from nqm import validate
from nqm.conditions.condition import (
    Condition,
    Statement,
    distance_inside,
    extremes,
    symmetric_preconditioner,
)
from nqm.conditions.formulas import theorem1_interval, theorem1_prime_norm
from nqm.conditions.intervals import nominal_step_interval
from nqm.namespace import AnyArray

THEOREM1 = Statement("Theorem 1", "(9) and (10)", "eigenvalues of P")
THEOREM1_PRIME = Statement("Theorem 1'", "any real P", "|P - (1/h - alpha) I|_2")


def bounded_spectrum(
    statement: Statement,
    alpha: float,
    top: float,
    p: tuple[float, float] | None = None,
    *,
    reason: str = "",
    exact_margin: float = float("nan"),
) -> Condition:
    """-alpha <= lambda(P) <= top - alpha: Theorem 1 with top = 2/lambda_max(H), Lemma 2 with
    2/sqrt(lambda_max(H)).

    Parameters
    ----------
    statement
        Which of the two.
    alpha, top : float
        The nominal step; the largest one that is stable with P = 0.
    p : pair of float, optional
        The extreme eigenvalues of a symmetric P. Without them the statement does not apply.
    reason : str
        Why it does not.
    exact_margin : float
        As in `Condition`.
    """
    lower, upper = -alpha, top - alpha
    if p is None:
        return statement.not_on(reason, lower=lower, upper=upper)
    return statement.on(
        lower=lower, upper=upper, smallest=p[0], largest=p[1], exact_margin=exact_margin
    )


def distance_from_ideal(p: tuple[float, float], alpha: float, h: float) -> float:
    """|P - (1/h - alpha) I|_2 of a symmetric P with these extreme eigenvalues."""
    return max(abs(alpha + p[0] - 1 / h), abs(alpha + p[1] - 1 / h))


def theorem1(hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: float) -> Condition:
    """-alpha <= lambda_min(P) and lambda_max(P) <= 2/lambda_max(H) - alpha imply rho(A) <= 1.

    Theorem 1, (9) and (10), for symmetric P. The paper states it for every diagonalizable P with
    real eigenvalues, for which it is false; there the result has applies False.

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive definite.
    preconditioner : (N, N) array or None
        P, any real matrix.
    nominal_step : float
        alpha.

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
    >>> from nqm import theorem1
    >>> H = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> theorem1(H, np.diag([-0.1, 0.1]), 0.25).holds
    True
    >>> theorem1(H, np.array([[0.0, 2.0], [0.0, 0.5]]), 0.0).applies
    False
    """
    H = validate.semidefinite("hessian", hessian)
    alpha = validate.scalar("nominal_step", nominal_step)
    P, reason = symmetric_preconditioner(preconditioner, H.shape[0])
    top = float(theorem1_interval(H, None)[1])
    if reason:
        return bounded_spectrum(THEOREM1, alpha, top, reason=reason)
    exact = distance_inside(nominal_step_interval(H, P), alpha)
    return bounded_spectrum(THEOREM1, alpha, top, extremes(P), exact_margin=exact)


def theorem1_prime(
    hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: float
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
    H = validate.semidefinite("hessian", hessian)
    alpha = validate.scalar("nominal_step", nominal_step)
    n = H.shape[0]
    P = np.zeros((n, n)) if preconditioner is None else preconditioner
    P = validate.square("preconditioner", P, n)
    h = float(np.linalg.eigvalsh(H)[-1])
    return THEOREM1_PRIME.on(upper=1 / h, largest=float(theorem1_prime_norm(H, P, alpha)))
