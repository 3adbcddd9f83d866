"""Certificates of stability: quadratic forms X whose decrease X - F^T X F > 0 is checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from nqm import validate
from nqm.namespace import AnyArray
from nqm.validate import EPS, Array


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def stein_solution(F: Array, right_side: Array) -> Array | None:
    """X of X - F^T X F = Q by the complex Schur form, or None where lambda_i lambda_j = 1.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm.spectra.lyapunov import stein_solution
    >>> F = np.array([[0.5, 1.0], [0.0, 2.5]])
    >>> X = stein_solution(F, np.eye(2))
    >>> bool(np.allclose(X - F.T @ X @ F, np.eye(2)))
    True
    """
    try:
        T, Z = scipy.linalg.schur(F, output="complex")
    except np.linalg.LinAlgError:  # it has not converged, as at entries 1e90 times each other
        return None
    size = F.shape[0]
    Q = Z.conj().T @ right_side @ Z
    Y = np.zeros((size, size), dtype=np.complex128)
    for j in range(size):
        # Column j of Y - T^H Y T = Q: (I - t_jj T^H) y_j = q_j + T^H (Y T)_j with known columns.
        known = T.conj().T @ (Y[:, :j] @ T[:j, j]) + Q[:, j]
        system = np.eye(size) - T[j, j] * T.conj().T
        if not np.min(np.abs(np.diag(system))) >= 4 * EPS:
            return None
        Y[:, j] = scipy.linalg.solve_triangular(system, known, lower=True, check_finite=False)
    if not np.all(np.isfinite(Y)):
        return None
    X = (Z @ Y @ Z.conj().T).real
    return X / 2 + X.T / 2 if np.all(np.isfinite(X)) else None


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def inertia_side(F: Array, error: float) -> str | None:
    """On which side of the circle F + E is for every |E| <= error, by Stein's inertia theorem.

    If X - F^T X F > 0, no eigenvalue of F has modulus one and as many lie outside as X has
    negative eigenvalues; the inequality survives E while 2 |E| |X F| + |E|^2 |X| stays below the
    smallest eigenvalue of the left side.

    Returns
    -------
    'stable', 'unstable' or None where this X does not tell.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm.spectra.lyapunov import inertia_side
    >>> inertia_side(np.array([[0.5, 9.0], [0.0, 0.5]]), 1e-12)
    'stable'
    >>> inertia_side(np.array([[2.0, 9.0], [0.0, 2.0]]), 1e-12)
    'unstable'
    >>> inertia_side(np.eye(2), 1e-12) is None
    True
    """
    size = F.shape[0]
    X = stein_solution(F, np.eye(size))
    if X is None:
        return None
    decrease = X - F.T @ X @ F
    if not np.all(np.isfinite(decrease)):
        return None
    values = np.linalg.eigvalsh(X)
    norm_x, norm_xf = float(np.max(np.abs(values))), float(np.linalg.norm(X @ F, 2))
    rounding = 8 * size * EPS * (norm_x + norm_xf * float(np.linalg.norm(F, 2)))
    left = float(np.linalg.eigvalsh(decrease / 2 + decrease.T / 2)[0]) - rounding
    if not left > 2 * error * norm_xf + error**2 * norm_x:
        return None
    if values[0] < -rounding:
        return "unstable"
    return "stable" if values[0] > rounding else None


@dataclass(frozen=True, eq=False)
class LyapunovCertificate:
    """X > 0 with X - F^T X F > 0, both checked by Cholesky with a rounding allowance.

    Then V(x) = x^T X x falls at every step, so rho(F) < 1 and sup_t |F^t| <= sqrt(kappa(X)).

    Attributes
    ----------
    matrix : (K, K) array
        X.
    valid : bool
        Whether both Cholesky factorizations exist with the allowance subtracted.
    allowance : float
        8 K eps |X| (1 + |F|^2), the rounding in forming X - F^T X F.
    growth_bound : float
        sqrt(kappa(X)), infinite where not valid.
    reason : str
        Why it is not valid, otherwise empty.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import LyapunovCertificate, check_lyapunov
    >>> found = check_lyapunov(np.diag([0.5, -0.5]), np.diag([1.0, 4.0]))
    >>> isinstance(found, LyapunovCertificate), found.growth_bound
    (True, 2.0)
    """

    matrix: Array
    valid: bool
    allowance: float
    growth_bound: float
    reason: str


def _has_cholesky(matrix: Array) -> bool:
    try:
        factor = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return bool(np.all(np.isfinite(factor)))


def check_lyapunov(joint_matrix: AnyArray, candidate: AnyArray) -> LyapunovCertificate:
    """Whether the given X proves rho(F) < 1: X > 0 and X - F^T X F > 0.

    Parameters
    ----------
    joint_matrix : (K, K) array
        F.
    candidate : (K, K) array
        X, symmetric, from anywhere.

    Returns
    -------
    LyapunovCertificate

    Raises
    ------
    ValueError
        For malformed arguments; entries may have at most the size 1e100.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import check_lyapunov
    >>> check_lyapunov(0.5 * np.eye(2), np.eye(2)).valid
    True
    >>> check_lyapunov(2.0 * np.eye(2), -np.eye(2)).valid
    False
    """
    F = validate.square("joint_matrix", joint_matrix)
    return _checked(F, validate.square("candidate", candidate, len(F)))


def _checked(F: Array, X: Array) -> LyapunovCertificate:
    """`check_lyapunov` for arrays of float64, of any size."""
    X = X / 2 + X.T / 2
    size = F.shape[0]
    with np.errstate(over="ignore", invalid="ignore"):
        norm_x, norm_f = float(np.linalg.norm(X)), float(np.linalg.norm(F))
    identity = np.eye(size)
    with np.errstate(over="ignore", invalid="ignore"):
        allowance = float(8 * size * EPS * np.float64(norm_x) * (1 + np.float64(norm_f) ** 2))
        decrease = X - F.T @ X @ F
    reason = ""
    if not np.all(np.isfinite(decrease)):
        reason = "X - F^T X F overflows"
    elif not _has_cholesky(X - allowance * identity):
        reason = "X is not positive definite beyond rounding"
    elif not _has_cholesky(decrease / 2 + decrease.T / 2 - allowance * identity):
        reason = "X - F^T X F is not positive definite beyond rounding"
    growth = float("inf") if reason else float(np.sqrt(np.linalg.cond(X)))
    return LyapunovCertificate(X, not reason, allowance, growth, reason)


def lyapunov_certificate(joint_matrix: AnyArray) -> LyapunovCertificate:
    """The X of X - F^T X F = I, checked afterwards: the solver's word is not taken.

    Parameters
    ----------
    joint_matrix : (K, K) array
        F, any real matrix. Where rho(F) >= 1 the answer is a certificate with valid False.

    Returns
    -------
    LyapunovCertificate

    Raises
    ------
    ValueError
        For malformed arguments; entries may have at most the size 1e100.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import lyapunov_certificate
    >>> F = np.array([[0.5, 3.0], [0.0, 0.5]])
    >>> found = lyapunov_certificate(F)
    >>> found.valid, bool(np.allclose(found.matrix - F.T @ found.matrix @ F, np.eye(2)))
    (True, True)
    >>> lyapunov_certificate(1.5 * np.eye(2)).valid
    False
    """
    F = validate.square("joint_matrix", joint_matrix)
    X = stein_solution(F, np.eye(F.shape[0]))
    if X is None:
        nothing = np.full_like(F, np.nan)
        reason = "the Stein equation is singular: two eigenvalues have product 1"
        return LyapunovCertificate(nothing, False, 0.0, float("inf"), reason)
    return _checked(F, X)
