"""Sufficient conditions for any real P: descent, eigenvectors of P, numerical radius."""

from __future__ import annotations

import numpy as np

from nqm import validate
from nqm.conditions.condition import Condition, Statement
from nqm.conditions.formulas import descent_norm
from nqm.namespace import AnyArray
from nqm.spectra.eigenvalues import EPS, loss_norm_matrix
from nqm.validate import Array

DESCENT = Statement(
    "descent", "|A|_H <= 1, that is M^T H M <= M + M^T", "|A| in the norm of the loss"
)
EIGENVECTOR = Statement(
    "eigenvector condition",
    "|alpha + lambda_i - 1/h| <= 1/(h kappa_2(V)), P = V Lambda V^-1",
    "|alpha + lambda_i(P) - 1/h|",
)
NUMERICAL_RADIUS = Statement(
    "numerical radius", "w(J) <= 1, Berger", "w(J), J the form in the loss norm"
)


def _problem(
    hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: float
) -> tuple[Array, Array, float]:
    H = validate.semidefinite("hessian", hessian)
    P = np.zeros_like(H) if preconditioner is None else preconditioner
    alpha = validate.scalar("nominal_step", nominal_step)
    return H, validate.square("preconditioner", P, H.shape[0]), alpha


def descent(hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: float) -> Condition:
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
    H, P, alpha = _problem(hessian, preconditioner, nominal_step)
    norm = float(descent_norm(H, P, alpha))
    return DESCENT.on(upper=1.0, largest=norm)


def eigenvector_condition(
    hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: float
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
    H, P, alpha = _problem(hessian, preconditioner, nominal_step)
    h = float(np.linalg.eigvalsh(H)[-1])
    if validate.asymmetry(P) <= validate.SYMMETRY_TOLERANCE:
        values, kappa = np.linalg.eigvalsh(P / 2 + P.T / 2).astype(np.complex128), 1.0
    else:
        values, vectors = np.linalg.eig(P)
        kappa = float(np.linalg.cond(vectors))
    if not kappa < 1 / np.sqrt(EPS):
        reason = f"P is defective to rounding: its eigenvectors have condition {kappa:.3g}"
        return EIGENVECTOR.not_on(reason)
    largest = float(np.max(np.abs(alpha + values - 1 / h)))
    return EIGENVECTOR.on(upper=1 / (h * kappa), largest=largest)


def numerical_radius(matrix: AnyArray, directions: int | None = None) -> tuple[float, float]:
    """w(J) = max |x^H J x| over unit x: a lower and an upper bound.

    The largest eigenvalue of the Hermitian part of e^{i theta} J at m directions gives the lower
    bound; the numerical range lies in the polygon that they circumscribe, which gives the upper
    bound, larger by the factor 1/cos(pi/m).

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
    hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: float
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
    H, P, alpha = _problem(hessian, preconditioner, nominal_step)
    _, upper = _numerical_radius(loss_norm_matrix(H, P, alpha))
    return NUMERICAL_RADIUS.on(upper=1.0, largest=upper)
