"""Lemma 2: Theorem 1 for the preconditioned rule (12), which has H^1/2 in place of H."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from nqm.conditions.condition import Condition, Known, Statement
from nqm.conditions.theorem1 import (
    SYMMETRIC_ONLY,
    eigenvalue_condition,
    exactly_known,
    interval_ends,
)
from nqm.namespace import AnyArray, common
from nqm.problem import Problem, pose
from nqm.spectra.eigenvalues import root_and_inverse_root

LEMMA2 = Statement(name="Lemma 2", source="(9) and (13)", quantity="eigenvalues of P")
# The Hessian of the counterexample to Theorem 1 is the root of this one.
SYMMETRIC_ONLY_OF_ROOT = SYMMETRIC_ONLY.replace("[2,1],[1,2]", "[5,4],[4,5]")


def lemma2_interval(hessian: AnyArray, preconditioner: AnyArray | None) -> AnyArray:
    """[-lambda_min(P), 2/sqrt(lambda_max(H)) - lambda_max(P)]: Lemma 2's steps, (9) and (13).

    Parameters
    ----------
    hessian, preconditioner
        As for `theorem1_interval`.

    Returns
    -------
    (2,) array

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import lemma2_interval
    >>> lemma2_interval(np.diag([4.0, 16.0]), np.diag([0.0, 0.25])).tolist()
    [-0.0, 0.25]
    """
    xp, (H, P) = common(hessian, preconditioner)
    root = xp.sqrt(xp.linalg.eigvalsh(H)[-1])
    p = xp.linalg.eigvalsh(0 * H if P is None else P)
    return xp.stack(list(interval_ends(root, p[0], p[-1])))


def lemma2(hessian: ArrayLike, preconditioner: ArrayLike | None, nominal_step: float) -> Condition:
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
    problem = with_root(pose(hessian, preconditioner, nominal_step))
    return posed_lemma2(problem, exactly_known(problem))


def with_root(problem: Problem) -> Problem:
    """The problem with H^1/2 in place of H: rule (12) is similar to the plain rule (6) of it."""
    return problem._replace(hessian=root_and_inverse_root(problem.hessian)[0], h=np.sqrt(problem.h))


def posed_lemma2(root_problem: Problem, known: Known) -> Condition:
    """`lemma2` of a validated problem, already that of `with_root`."""
    return eigenvalue_condition(LEMMA2, SYMMETRIC_ONLY_OF_ROOT, root_problem, known)
