"""Numerics for symmetric P: spectrum and exact interval from shared factorizations."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from nqm import validate
from nqm.quadratic import NoisyQuadratic
from nqm.spectrum import DENSE_LIMIT, EPS, Spectrum, symmetric_spectrum
from nqm.validate import Array


class Problem(NamedTuple):
    """A validated question, restricted to the range of H."""

    hessian: Array
    h: Array
    preconditioner: Array | None
    alpha: float
    symmetric: bool
    gap: float
    rank: int
    dimension: int


def pose(
    hessian: ArrayLike | NoisyQuadratic, preconditioner: ArrayLike | None, nominal_step: float
) -> Problem:
    """Validate, and pass to the range of H: there A acts as I - (alpha I + U^T P U) D."""
    model = hessian if isinstance(hessian, NoisyQuadratic) else NoisyQuadratic(hessian)  # type: ignore[arg-type]
    alpha = validate.scalar("nominal_step", nominal_step)
    n, rank, H, h = model.dimension, model.rank, model.hessian, model.hessian_eigenvalues
    P = None
    if preconditioner is not None:
        P = validate.square("preconditioner", preconditioner, n)
    gap = 0.0 if P is None else float(np.max(np.abs(P - P.T)))
    symmetric = P is None or gap <= validate.SYMMETRY_TOLERANCE * float(np.max(np.abs(P)))
    if P is not None and symmetric and gap:
        P = P / 2 + P.T / 2
    if rank < n:
        vectors = np.linalg.eigh(H)[1][:, n - rank :]
        h = h[n - rank :]
        H = np.diag(h)
        P = None if P is None else vectors.T @ P @ vectors
        P = P / 2 + P.T / 2 if P is not None and symmetric else P
    return Problem(H, h, P, alpha, symmetric, gap, rank, n)


class SymmetricAnswer(NamedTuple):
    """Spectrum of A, extremes of P and the exact interval of alpha."""

    spectrum: Spectrum
    p: tuple[float, float]
    interval: tuple[float, float]


def solve_symmetric(problem: Problem, limit: float = 2.0) -> SymmetricAnswer:
    """The symmetric form of `nqm.spectrum` and the interval of `nqm.exact`, sharing their work."""
    H, h, P, alpha = problem.hessian, problem.h, problem.preconditioner, problem.alpha
    size, top = h.size, float(h[-1])
    if P is None:
        error = 8 * size * EPS * (1 + abs(alpha) * top)
        spectrum = symmetric_spectrum(1 - alpha * h, error)
        return SymmetricAnswer(spectrum, (0.0, 0.0), (0.0, limit / top))
    p = np.linalg.eigvalsh(P)
    low, high = float(p[0]), float(p[-1])
    L = scipy.linalg.cholesky(H, lower=True, check_finite=False)
    trmm = scipy.linalg.blas.dtrmm
    inner = trmm(1.0, L, trmm(1.0, L, P, side=1, lower=1), side=0, lower=1, trans_a=1)
    gram = scipy.linalg.lapack.dlauum(L, lower=1)[0]
    gram = np.tril(gram) + np.tril(gram, -1).T
    values = np.linalg.eigvalsh(np.eye(size) - inner - alpha * gram)
    error = symmetric_form_error(L, P, alpha)
    if alpha + low < 0:  # an indefinite M lets the error of L through, relative to the eigenvalue
        error += 8 * size * EPS * float(h[-1] / h[0]) * float(np.max(np.abs(1 - values)))
    spectrum = symmetric_spectrum(values, error)
    if alpha + low < -8 * size * EPS * max(abs(low), abs(high), abs(alpha)):
        # Inertia: a negative eigenvalue of M is one of M H, so A has an eigenvalue above one.
        spectrum = replace(spectrum, lower=max(spectrum.lower, float(np.nextafter(1.0, 2.0))))
    start = alpha if 1 - values[0] < 0.95 * limit else limit / (2 * top) - high
    upper = start + 1 / largest_ratio(limit * np.eye(size) - inner - start * gram, L)
    return SymmetricAnswer(spectrum, (low, high), (0.0 - low, upper))


def symmetric_form_error(L: Array, P: Array, alpha: float) -> float:
    """Rounding in the eigenvalues of I - L^T M L: 8 N eps (1 + the row sums of |L|^T |M| |L|)."""
    M = np.abs(P)
    np.fill_diagonal(M, np.abs(np.diag(P) + alpha))
    lower = np.abs(L)
    rows = lower.T @ (M @ (lower @ np.ones(L.shape[0])))
    return 8 * L.shape[0] * EPS * (1 + float(np.max(rows)))


def largest_ratio(inner: Array, L: Array) -> float:
    """The largest eigenvalue of K^-1/2 L^T L K^-1/2 for positive definite K."""
    root = scipy.linalg.cholesky(inner, lower=True, check_finite=False)
    half = scipy.linalg.blas.dtrsm(1.0, root, L.T, side=0, lower=1)
    return float(np.linalg.eigvalsh(half @ half.T)[-1])


def best_step(problem: Problem, interval: tuple[float, float]) -> tuple[float, float] | None:
    """The alpha of the smallest spectral radius: rho is convex in alpha for symmetric P."""
    h, P = problem.h, problem.preconditioner
    if P is None:
        best = 2 / float(h[0] + h[-1])
        return best, float((h[-1] - h[0]) / (h[0] + h[-1]))
    if h.size > DENSE_LIMIT or interval[0] > interval[1]:
        return None
    L = np.linalg.cholesky(problem.hessian)
    inner, gram = np.eye(h.size) - L.T @ P @ L, L.T @ L

    def radius(alpha: float) -> float:
        return float(np.max(np.abs(np.linalg.eigvalsh(inner - alpha * gram))))

    found = minimize_scalar(radius, bounds=interval, method="bounded")
    return float(found.x), float(found.fun)
