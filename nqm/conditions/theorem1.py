"""Theorem 1: for symmetric P, bounds on the eigenvalues of P under which rho(A) <= 1."""

from __future__ import annotations

from numpy.typing import ArrayLike

from nqm.conditions.condition import Condition, Known, Statement
from nqm.conditions.intervals import Interval, posed_step_interval
from nqm.namespace import AnyArray, common
from nqm.problem import Problem, pose
from nqm.spectra.symmetric import solve_symmetric

THEOREM1 = Statement(name="Theorem 1", source="(9) and (10)", quantity="eigenvalues of P")
SYMMETRIC_ONLY = (
    "P is not symmetric (max |P - P.T| is {:.3g}); for such P the statement is false: "
    "H=[[2,1],[1,2]], alpha=0, P=[[0,2],[0,1/2]] satisfies it and A has the eigenvalue -2"
)


def interval_ends(h: AnyArray, low: AnyArray, high: AnyArray) -> Interval:
    """[-low, 2/h - high], where (9) and (10) leave room; h = lambda_max(H).

    With the extreme eigenvalues of P as `low` and `high` it holds the steps alpha, with alpha as
    both it holds the eigenvalues of P.
    """
    return Interval(-low, 2 / h - high)


def theorem1_interval(hessian: AnyArray, preconditioner: AnyArray | None) -> AnyArray:
    """[-lambda_min(P), 2/lambda_max(H) - lambda_max(P)]: Theorem 1's steps, (9) and (10).

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive definite.
    preconditioner : (N, N) array or None
        P, symmetric; None means zero.

    Returns
    -------
    (2,) array
        Lower and upper end; never longer than the exact interval, and up to a factor kappa(H)
        shorter.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import theorem1_interval
    >>> theorem1_interval(np.diag([1.0, 0.01]), np.diag([0.0, 50.0])).tolist()  # empty
    [-0.0, -48.0]
    """
    xp, (H, P) = common(hessian, preconditioner)
    h = xp.linalg.eigvalsh(H)[-1]
    if P is None:
        return xp.stack([xp.zeros_like(h), 2 / h])
    p = xp.linalg.eigvalsh(P)
    return xp.stack(list(interval_ends(h, p[0], p[-1])))


def theorem1(
    hessian: ArrayLike, preconditioner: ArrayLike | None, nominal_step: float
) -> Condition:
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
    problem = pose(hessian, preconditioner, nominal_step)
    return posed_theorem1(problem, exactly_known(problem))


def exactly_known(problem: Problem) -> Known:
    """The extremes of P and the exact margin in alpha; nothing where P is not symmetric."""
    if not problem.symmetric:
        return Known()
    solved = solve_symmetric(problem)
    exact = posed_step_interval(problem, solved).interval
    margin = min(problem.alpha - exact.lower, exact.upper - problem.alpha)
    return Known(p=solved.p, step_margin=margin)


def posed_theorem1(problem: Problem, known: Known) -> Condition:
    """`theorem1` of a validated problem of which the eigenvalues are known."""
    return eigenvalue_condition(THEOREM1, SYMMETRIC_ONLY, problem, known)


def eigenvalue_condition(
    statement: Statement, symmetric_only: str, problem: Problem, known: Known
) -> Condition:
    """-alpha <= lambda(P) <= 2/h - alpha, which Theorem 1 says of H and Lemma 2 of its root."""
    room = interval_ends(float(problem.h[-1]), problem.alpha, problem.alpha)
    if known.p is None:
        reason = symmetric_only.format(problem.gap)
        return statement.not_applicable(reason, lower=room.lower, upper=room.upper)
    return statement.applied(
        lower=room.lower,
        upper=room.upper,
        smallest=known.p[0],
        largest=known.p[1],
        exact_margin=known.step_margin,
    )
