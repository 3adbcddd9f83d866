"""Sufficient conditions for any real P: descent, eigenvectors of P, numerical radius."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from nqm import validate
from nqm.conditions.condition import Condition, Known, Statement
from nqm.namespace import AnyArray, common
from nqm.problem import Problem, pose
from nqm.spectra.eigenvalues import loss_norm_matrix
from nqm.validate import EPS, Array

DESCENT = Statement(
    name="descent",
    source="|A|_H <= 1, that is M^T H M <= M + M^T",
    quantity="|A| in the norm of the loss",
)
EIGENVECTOR = Statement(
    name="eigenvector condition",
    source="|alpha + lambda_i - 1/h| <= 1/(h kappa_2(V)), P = V Lambda V^-1",
    quantity="|alpha + lambda_i(P) - 1/h|",
)
NUMERICAL_RADIUS = Statement(
    name="numerical radius",
    source="w(J) <= 1, Berger",
    quantity="w(J), J the form in the loss norm",
)


def _known_radius(known: Known) -> float | None:
    """rho(A) where it is known and P symmetric: then it is |J|_2 and w(J) too."""
    if known.p is None or math.isnan(known.radius_margin):
        return None
    return 1 - known.radius_margin


def descent_norm(
    hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: AnyArray
) -> AnyArray:
    """|A|_H = |J|_2: at most 1 iff without noise the loss never rises.

    Parameters
    ----------
    hessian, preconditioner, nominal_step
        As for `theorem1_prime_norm`.

    Returns
    -------
    scalar array

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import descent_norm
    >>> float(descent_norm(np.diag([1.0, 4.0]), None, 0.5))
    1.0
    """
    xp, (J,) = common(loss_norm_matrix(hessian, preconditioner, nominal_step))
    return xp.max(xp.linalg.svdvals(J))


def descent(hessian: ArrayLike, preconditioner: ArrayLike | None, nominal_step: float) -> Condition:
    """|A|_H = |J|_2 <= 1: without noise the loss never rises, from any start.

    Equivalent to M^T H M <= M + M^T in the Loewner order, M = alpha I + P. For symmetric P it is
    exact.

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
    >>> from nqm import descent
    >>> H, P = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[0.0, 0.2], [-0.2, 0.0]])
    >>> M = 0.3 * np.eye(2) + P
    >>> gap = np.linalg.eigvalsh(M + M.T - M.T @ H @ M)[0]
    >>> descent(H, P, 0.3).holds, bool(gap > 0)
    (True, True)
    """
    return posed_descent(pose(hessian, preconditioner, nominal_step), Known())


def posed_descent(problem: Problem, known: Known) -> Condition:
    """`descent` of a validated problem."""
    norm = _known_radius(known)
    if norm is None:
        norm = float(descent_norm(problem.hessian, problem.preconditioner, problem.alpha))
    return DESCENT.applied(upper=1.0, largest=norm, exact_margin=known.radius_margin)


def eigenvector_condition(
    hessian: ArrayLike, preconditioner: ArrayLike | None, nominal_step: float
) -> Condition:
    """|alpha + lambda_i(P) - 1/h| <= 1/(h kappa_2(V)) for P = V Lambda V^-1 implies rho(A) <= 1.

    Repairs Theorem 1 for a diagonalizable P: its eigenvalues may be used, at the price of the
    condition number of its eigenvectors. Does not apply where P is defective to rounding.

    Parameters
    ----------
    hessian, preconditioner, nominal_step
        As for `descent`.

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
    >>> from nqm import eigenvector_condition
    >>> H = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> eigenvector_condition(H, np.diag([0.1, 0.5]), 0.0).holds  # normal P: Theorem 1
    True
    >>> eigenvector_condition(H, np.array([[0.0, 1.0], [0.0, 0.0]]), 0.3).applies
    False
    """
    return posed_eigenvector_condition(pose(hessian, preconditioner, nominal_step), Known())


def posed_eigenvector_condition(problem: Problem, known: Known) -> Condition:
    """`eigenvector_condition` of a validated problem; a symmetric P has orthogonal eigenvectors."""
    alpha, h, kappa = problem.alpha, float(problem.h[-1]), 1.0
    P = problem.preconditioner
    values: Array
    if known.p is not None:
        values = np.array(known.p)
    elif P is None:
        values = np.zeros(1)
    elif problem.symmetric:
        values = validate.extreme_eigenvalues(P)
    else:
        values, vectors = np.linalg.eig(P)
        kappa = float(np.linalg.cond(vectors))
    if not kappa < 1 / np.sqrt(EPS):
        return EIGENVECTOR.not_applicable(
            f"P is defective to rounding: its eigenvectors have condition {kappa:.3g}"
        )
    return EIGENVECTOR.applied(
        upper=1 / (h * kappa),
        largest=float(np.max(np.abs(alpha + values - 1 / h))),
        exact_margin=known.step_margin,
    )


def numerical_radius(matrix: ArrayLike, directions: int | None = None) -> tuple[float, float]:
    """w(J) = max |x^H J x| over unit x: a lower and an upper bound.

    The largest eigenvalue of the Hermitian part of e^{i theta} J at m directions gives the lower
    bound. The numerical range lies in the polygon that they circumscribe, so the upper bound is
    larger by the factor 1/cos(pi/m).

    Parameters
    ----------
    matrix : (N, N) array
        J, real.
    directions : int, optional
        m; default 512 up to N = 32, fewer above.

    Returns
    -------
    pair of floats
        lower <= w(J) <= upper.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import numerical_radius
    >>> low, high = numerical_radius(np.array([[0.0, 1.0], [0.0, 0.0]]))
    >>> low <= 0.5 + 1e-15 and high >= 0.5 and high - low < 1e-4
    True
    """
    return _numerical_radius(validate.square("matrix", matrix), directions)


def _numerical_radius(J: Array, directions: int | None = None) -> tuple[float, float]:
    """`numerical_radius` of a matrix of float64."""
    size = J.shape[0]
    m = directions or max(64, min(512, 2 * int(8192 / size)))
    top = 0.0
    # J is real, so theta and -theta give the same value: half the circle is enough.
    for part in np.array_split(np.arange(m // 2 + 1), max(1, m * size**2 // 2**21)):
        turned = np.exp(2j * np.pi / m * part)[:, None, None] * J
        hermitian = (turned + turned.conj().transpose(0, 2, 1)) / 2
        top = max(top, float(np.max(np.linalg.eigvalsh(hermitian))))
    rounding = 8 * size * EPS * float(np.linalg.norm(J))
    return max(top - rounding, 0.0), (top + rounding) / float(np.cos(np.pi / m))


def numerical_radius_condition(
    hessian: ArrayLike, preconditioner: ArrayLike | None, nominal_step: float
) -> Condition:
    """w(J) <= 1 implies rho(A) <= 1 and |J^t| <= 2 for all t (Berger).

    J = I - L^T M L is A in the norm of the loss: up to the factor 2 the square root of the loss
    never rises. The upper bound of `numerical_radius` is what is compared.

    Parameters
    ----------
    hessian, preconditioner, nominal_step
        As for `descent`.

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
    >>> from nqm import descent, numerical_radius_condition
    >>> H, P = np.eye(2), np.array([[1.0, 1.5], [0.0, 1.0]])  # J has norm 1.5 and w = 0.75
    >>> descent(H, P, 0.0).holds, numerical_radius_condition(H, P, 0.0).holds
    (False, True)
    """
    return posed_numerical_radius_condition(pose(hessian, preconditioner, nominal_step), Known())


def posed_numerical_radius_condition(problem: Problem, known: Known) -> Condition:
    """`numerical_radius_condition` of a validated problem."""
    radius = _known_radius(known)
    if radius is None:
        J = loss_norm_matrix(problem.hessian, problem.preconditioner, problem.alpha)
        _, radius = _numerical_radius(J)
    return NUMERICAL_RADIUS.applied(upper=1.0, largest=radius, exact_margin=known.radius_margin)
