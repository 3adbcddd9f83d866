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
from nqm.spectra.eigenvalues import EPS, Spectrum
from nqm.spectra.enclosures import DENSE_LIMIT, symmetric_spectrum
from nqm.validate import Array


class Problem(NamedTuple):
    """A validated question, restricted to the range of H.

    h holds the eigenvalues of H, ascending; with a P and full rank only the extreme ones.
    """

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
    n, rank, H = model.dimension, model.rank, model.hessian
    partial = preconditioner is not None and rank == n
    h = model.extreme_hessian_eigenvalues if partial else model.hessian_eigenvalues
    P = None
    if preconditioner is not None:
        P = validate.square("preconditioner", preconditioner, n)
        largest = float(np.max(np.abs(P))) + abs(alpha)
    else:
        largest = abs(alpha)
    if largest * float(np.max(np.abs(H))) > validate.LARGEST:
        raise ValueError(
            "nominal_step and preconditioner times hessian must be at most "
            f"{validate.LARGEST:g} in size; they are {largest:.3g} and {np.max(np.abs(H)):.3g}."
        )
    gap = 0.0 if P is None else float(np.max(P - P.T))
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
    """Spectrum of A, extremes of P, the exact interval of alpha and the rounding of its ends."""

    spectrum: Spectrum
    p: tuple[float, float]
    interval: tuple[float, float]
    interval_error: float


def solve_symmetric(problem: Problem, limit: float = 2.0) -> SymmetricAnswer:
    """The symmetric form of A and the exact interval of alpha, from shared factorizations."""
    H, h, P, alpha = problem.hessian, problem.h, problem.preconditioner, problem.alpha
    size, top = H.shape[0], float(h[-1])
    if P is None:
        error = 8 * size * EPS * (1 + abs(alpha) * top)
        spectrum = symmetric_spectrum(1 - alpha * h, error)
        interval = 0.0, limit / top
        return SymmetricAnswer(spectrum, (0.0, 0.0), interval, 8 * size * EPS * limit / top)
    low, high = (float(x) for x in validate.extreme_eigenvalues(P))
    # Of every symmetric matrix below only the lower triangle is formed, in Fortran order; H.T and
    # P.T are H and P in that order without a copy.
    L = scipy.linalg.cholesky(H.T, lower=True, check_finite=False)
    inner = scipy.linalg.lapack.dsygst(P.T, L, itype=2, lower=1)[0]  # L^T P L
    gram = scipy.linalg.lapack.dlauum(L, lower=1)[0]  # L^T L
    values = scipy.linalg.eigvalsh(
        _shifted(1.0, inner, alpha, gram), lower=True, overwrite_a=True, check_finite=False
    )
    error = symmetric_form_error(L, P, alpha)
    if alpha + low < 0:  # an indefinite M lets the error of L through, relative to the eigenvalue
        error += 8 * size * EPS * float(h[-1] / h[0]) * float(np.max(np.abs(1 - values)))
    spectrum = symmetric_spectrum(values, error)
    if alpha + low < -8 * size * EPS * max(abs(low), abs(high), abs(alpha)):
        # Inertia: a negative eigenvalue of M is one of M H, so A has an eigenvalue above one.
        above = float(np.nextafter(1.0, 2.0))
        radius = max(spectrum.spectral_radius, above)
        spectrum = replace(spectrum, spectral_radius=radius, lower=max(spectrum.lower, above))
    start = alpha if 1 - values[0] < 0.95 * limit else limit / (2 * top) - high
    upper = _upper_end(_shifted(limit, inner, start, gram), gram, start)
    rounding = 8 * size * EPS * (max(abs(low), abs(high)) + limit / top + abs(upper))
    return SymmetricAnswer(spectrum, (low, high), (0.0 - low, upper), rounding)


def _upper_end(K: Array, gram: Array, start: float) -> float:
    """start + 1/(the largest eigenvalue of K^-1/2 L^T L K^-1/2); NaN where rounding hides K > 0."""
    try:
        root = scipy.linalg.cholesky(K, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return float("nan")
    whitened = scipy.linalg.lapack.dsygst(gram, root, lower=1)[0]
    return start + 1 / float(validate.extreme_eigenvalues(whitened)[1])


def _shifted(diagonal: float, inner: Array, step: float, gram: Array) -> Array:
    """diagonal I - inner - step gram."""
    result = -step * gram
    result -= inner
    result[np.diag_indices(len(result))] += diagonal
    return result


def symmetric_form_error(L: Array, P: Array, alpha: float) -> float:
    """Rounding in the eigenvalues of I - L^T M L: 8 N eps (1 + the row sums of |L|^T |M| |L|)."""
    M = np.abs(P)
    np.fill_diagonal(M, np.abs(np.diag(P) + alpha))
    lower = np.abs(L)
    rows = lower.T @ (M @ (lower @ np.ones(L.shape[0])))
    return 8 * L.shape[0] * EPS * (1 + float(np.max(rows)))


def best_step(problem: Problem, interval: tuple[float, float]) -> tuple[float, float] | None:
    """The alpha of the smallest spectral radius: rho is convex in alpha for symmetric P."""
    h, P = problem.h, problem.preconditioner
    if P is None:
        best = 2 / float(h[0] + h[-1])
        return best, float((h[-1] - h[0]) / (h[0] + h[-1]))
    if len(P) > DENSE_LIMIT or interval[0] > interval[1]:
        return None
    L = np.linalg.cholesky(problem.hessian)
    inner, gram = np.eye(len(P)) - L.T @ P @ L, L.T @ L

    def radius(alpha: float) -> float:
        return float(np.max(np.abs(np.linalg.eigvalsh(inner - alpha * gram))))

    found = minimize_scalar(radius, bounds=interval, method="bounded")
    return float(found.x), float(found.fun)
