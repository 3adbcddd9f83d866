"""A common quadratic Lyapunov function: one norm |T x| in which every matrix is as small as it can.

gamma = max_i |T A_i T^-1|_2 bounds the joint spectral radius for any T whatever, which X = T^T T
says as gamma^2 X - A_i^T X A_i >= 0. The search for T need not be exact, and no semidefinite
program is solved: a smooth substitute of the maximum is minimized over triangular T.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg
from scipy.optimize import minimize

from nqm.switching.family import MatrixSet, conjugated, norms
from nqm.validate import Array

POWERS = (8.0, 32.0, 128.0, 512.0, 512.0, 2048.0)
LARGEST_SEARCH = 48
"""Up to this many rows T is searched for; beyond it the first guesses must do."""
ACTIVE = 64
"""How many matrices, the largest ones, each search adds to those it looks at."""
STEPS = 60


class _Norm(NamedTuple):
    """T, the set of T A_i T^-1, and the largest norm of one of them with all rounding."""

    transform: Array
    inner: MatrixSet
    bound: float


def quadratic_norm(given: MatrixSet) -> _Norm:
    """T, the set in its coordinates, and max_i |T A_i T^-1| with all rounding.

    Parameters
    ----------
    given : MatrixSet
        Scaled to norms of the order one.

    Returns
    -------
    transform : (K, K) array
        T.
    inner : MatrixSet
        T A_i T^-1.
    bound : float
        The bound on the joint spectral radius.

    Examples
    --------
    >>> import numpy as np
    >>> skew = np.array([[[0.5, 4.0], [0.0, 0.5]]])
    >>> bound = quadratic_norm(MatrixSet(skew, np.zeros(1)))[2]
    >>> bool(0.5 < bound < 0.53)  # |A| = 4.06
    True
    """
    size = given.size
    guesses = [_averaged(given)]
    if given.start is not None:
        guesses.append(given.start)
    best = _Norm(np.eye(size), given, float(np.max(norms(given))))
    for T in guesses:
        best = _better(given, T, best)
    if size > LARGEST_SEARCH or size == 1:
        return best
    active = np.zeros(len(given.matrices), dtype=bool)
    for power in POWERS:
        active[np.argsort(-norms(best.inner), kind="stable")[:ACTIVE]] = True
        found = _minimized(best.inner.matrices[active], power)
        if found is None:
            break
        best = _better(given, _triangular(found @ best.transform), best)
    return best


def _better(given: MatrixSet, T: Array, best: _Norm) -> _Norm:
    found = conjugated(given, T)
    if found is None:
        return best
    bound = float(np.max(norms(found)))
    return _Norm(T, found, bound) if bound < best.bound else best


def _triangular(T: Array) -> Array:
    """The upper triangular R with R^T R = T^T T, of determinant of modulus one."""
    R = scipy.linalg.qr(T, mode="r", check_finite=False)[0]
    diagonal = np.abs(np.diag(R))
    if not np.all(diagonal > 0):
        return R
    return R / np.exp(np.mean(np.log(diagonal)))


def _averaged(given: MatrixSet) -> Array:
    """T of X = sum over all words of A_w^T A_w, damped so that the sum exists."""
    A, size = given.matrices, given.size
    X, transposed = np.eye(size), np.swapaxes(given.matrices, -1, -2)
    for _ in range(40):
        Y = np.sum(transposed @ X @ A, axis=0)
        X = Y / max(float(np.linalg.norm(Y, 2)), 1e-300) + 1e-2 * np.eye(size)
    values, vectors = np.linalg.eigh(X / 2 + X.T / 2)
    return np.sqrt(np.maximum(values, 1e-12))[:, None] * vectors.T


def _minimized(matrices: Array, power: float) -> Array | None:
    """T, upper triangular, with a small (sum_ij sigma_j(T A_i T^-1)^power)^(1/power)."""
    size = matrices.shape[-1]
    rows, columns = np.triu_indices(size, 1)

    def assemble(x: Array) -> Array:
        T = np.diag(np.exp(np.clip(x[:size], -30, 30)))
        T[rows, columns] = x[size:]
        return T

    def value(x: Array) -> tuple[float, Array]:
        T = assemble(x)
        S = np.linalg.inv(T)
        B = T @ matrices @ S
        if not np.all(np.isfinite(B)):
            return 1e10, np.zeros_like(x)
        u, s, vh = np.linalg.svd(B)
        top = max(float(np.max(s)), 1e-300)
        weights = (s / top) ** power
        total = float(np.sum(weights))
        slope = (u * ((s / top) ** (power - 1) / (top * total))[:, None, :]) @ vh
        moved = slope @ np.swapaxes(B, -1, -2) - np.swapaxes(B, -1, -2) @ slope
        gradient = np.sum(moved, axis=0) @ S.T
        parts = np.concatenate([np.diag(gradient) * np.diag(T), gradient[rows, columns]])
        return float(np.log(top) + np.log(total) / power), parts

    start = np.zeros(size + rows.size)
    found = minimize(value, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x
    T = assemble(found)
    return T if np.all(np.isfinite(T)) else None
