"""Eigenvalues, spectral radius and root of a matrix, and the verdict that an enclosure allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nqm.namespace import AnyArray, common


def root_and_inverse_root(hessian: AnyArray) -> tuple[AnyArray, AnyArray]:
    """H^1/2 and H^-1/2, the preconditioner of (11), of a symmetric positive definite matrix.

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive definite.

    Returns
    -------
    pair of (N, N) arrays

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import root_and_inverse_root
    >>> H = np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> root, inverse = root_and_inverse_root(H)
    >>> bool(np.allclose(root @ root, H) and np.allclose(root @ inverse, np.eye(2)))
    True
    """
    xp, (H,) = common(hessian)
    h, vectors = xp.linalg.eigh(H)
    root = xp.sqrt(h)
    return (vectors * root) @ vectors.T, (vectors / root) @ vectors.T


def loss_norm_matrix(
    hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: AnyArray
) -> AnyArray:
    """J = I - L^T (alpha I + P) L with H = L L^T: A in the coordinates where loss = 1/2 |psi|^2.

    J is similar to the update matrix A, and symmetric where P is; |J^t| is how far t steps can
    raise the square root of the loss.

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
    (N, N) array

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import loss_norm_matrix, update_matrix
    >>> H, P = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[0.1, 0.3], [-0.2, 0.0]])
    >>> L = np.linalg.cholesky(H)
    >>> bool(np.allclose(L.T @ update_matrix(H, P, 0.2), loss_norm_matrix(H, P, 0.2) @ L.T))
    True
    """
    xp, (H, P, alpha) = common(hessian, preconditioner, nominal_step)
    factor = xp.linalg.cholesky(H)
    identity = xp.eye(H.shape[0], dtype=H.dtype)
    M = alpha * identity if P is None else alpha * identity + P
    return identity - factor.T @ M @ factor


def symmetric_eigenvalues(
    hessian: AnyArray, preconditioner: AnyArray | None, nominal_step: AnyArray
) -> AnyArray:
    """The eigenvalues of A for symmetric P, ascending, from the symmetric form J.

    Their absolute error is of the order eps (1 + |M| |H|), whatever the condition of H; those
    of A itself would have eps sqrt(kappa(H)).

    Parameters
    ----------
    hessian, preconditioner, nominal_step
        As for `loss_norm_matrix`, with P symmetric.

    Returns
    -------
    (N,) array

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import symmetric_eigenvalues
    >>> symmetric_eigenvalues(np.diag([1.0, 4.0]), None, 0.5).tolist()  # 1 - alpha h
    [-1.0, 0.5]
    """
    xp, (H, P, alpha) = common(hessian, preconditioner, nominal_step)
    J = loss_norm_matrix(H, P, alpha)
    return xp.linalg.eigvalsh((J + J.T) / 2)


def eigenvalues(update_matrix: AnyArray) -> AnyArray:
    """The eigenvalues of a square matrix F, by decreasing modulus.

    Parameters
    ----------
    update_matrix : (K, K) array
        F, any real matrix: an update matrix or the joint matrix of an `UpdateRule`.

    Returns
    -------
    (K,) complex array

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import eigenvalues
    >>> F = np.array([[0.0, -0.25], [1.0, 0.0]])
    >>> bool(np.allclose(abs(eigenvalues(F)), [0.5, 0.5]))
    True
    """
    xp, (F,) = common(update_matrix)
    values = xp.linalg.eigvals(F)
    return values[xp.argsort(-xp.abs(values))]


def spectral_radius(update_matrix: AnyArray) -> AnyArray:
    """rho(F) = max |lambda_i(F)|, as in (A.15).

    Parameters
    ----------
    update_matrix : (K, K) array
        F, any real matrix.

    Returns
    -------
    scalar array

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import spectral_radius
    >>> float(spectral_radius(np.array([[0.5, -1000.0], [0.0, 0.5]])))
    0.5
    """
    xp, (F,) = common(update_matrix)
    return xp.max(xp.abs(xp.linalg.eigvals(F)))


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues and an enclosure lower <= rho <= upper of the spectral radius.

    Attributes
    ----------
    eigenvalues : (K,) complex array
        As computed, by decreasing modulus.
    spectral_radius : float
        rho as computed.
    lower, upper : float
        Where the spectral radius of the exact matrix lies, given the rounding.
    method : str
        The perturbation theorem behind the enclosure.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import judge
    >>> found = judge(np.diag([0.5, -0.75]))
    >>> found.verdict, found.lower <= 0.75 <= found.upper
    ('stable', True)
    """

    eigenvalues: NDArray[np.complex128]
    spectral_radius: float
    lower: float
    upper: float
    method: str

    @property
    def verdict(self) -> str:
        """'stable' if upper < 1, 'unstable' if lower > 1, otherwise 'marginal'."""
        if self.upper < 1.0:
            return "stable"
        return "unstable" if self.lower > 1.0 else "marginal"

    @property
    def uncertainty(self) -> float:
        """The larger half-width of the enclosure."""
        return max(self.upper - self.spectral_radius, self.spectral_radius - self.lower)
