"""The spectrum for symmetric P, from I - L^T (alpha I + P) L with H = L L^T."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import scipy.linalg

from nqm import validate
from nqm.problem import Problem
from nqm.spectra.eigenvalues import Spectrum
from nqm.spectra.enclosures import symmetric_spectrum
from nqm.validate import EPS, Array


class SymmetricForm(NamedTuple):
    """The factorizations that the spectrum and the exact interval of a symmetric P share.

    Attributes
    ----------
    factor : (N, N) array
        L with H = L L^T.
    inner, gram : (N, N) arrays
        L^T P L and L^T L, of which the lower triangles are filled, in Fortran order.
    p : (float, float)
        The extreme eigenvalues of P.
    """

    factor: Array
    inner: Array
    gram: Array
    p: tuple[float, float]


def symmetric_form(H: Array, P: Array) -> SymmetricForm:
    """The factorizations for a symmetric P and a positive definite H."""
    low, high = (float(x) for x in validate.extreme_eigenvalues(P))
    # Of every symmetric matrix below only the lower triangle is formed, in Fortran order; H.T and
    # P.T are H and P in that order without a copy.
    L = scipy.linalg.cholesky(H.T, lower=True, check_finite=False)
    inner = scipy.linalg.lapack.dsygst(P.T, L, itype=2, lower=1)[0]  # L^T P L
    gram = scipy.linalg.lapack.dlauum(L, lower=1)[0]  # L^T L
    return SymmetricForm(factor=L, inner=inner, gram=gram, p=(low, high))


class SymmetricAnswer(NamedTuple):
    """The spectrum of A for symmetric P, the extremes of P, and the form; None where P is zero."""

    spectrum: Spectrum
    p: tuple[float, float]
    form: SymmetricForm | None


def solve_symmetric(problem: Problem) -> SymmetricAnswer:
    """The eigenvalues of A with their rounding, from the symmetric form."""
    H, h, P, alpha = problem.hessian, problem.h, problem.preconditioner, problem.alpha
    size = H.shape[0]
    if P is None:
        error = 8 * size * EPS * (1 + abs(alpha) * float(h[-1]))
        spectrum = symmetric_spectrum(1 - alpha * h, error)
        return SymmetricAnswer(spectrum=spectrum, p=(0.0, 0.0), form=None)
    form = symmetric_form(H, P)
    low, high = form.p
    values = scipy.linalg.eigvalsh(
        shifted(1.0, form, alpha), lower=True, overwrite_a=True, check_finite=False
    )
    error = symmetric_form_error(form.factor, P, alpha)
    if alpha + low < 0:  # an indefinite M lets the error of L through, relative to the eigenvalue
        error += 8 * size * EPS * float(h[-1] / h[0]) * float(np.max(np.abs(1 - values)))
    spectrum = symmetric_spectrum(values, error)
    if alpha + low < -8 * size * EPS * max(abs(low), abs(high), abs(alpha)):
        # Inertia: a negative eigenvalue of M is one of M H, so A has an eigenvalue above one.
        above = float(np.nextafter(1.0, 2.0))
        radius = max(spectrum.spectral_radius, above)
        spectrum = replace(spectrum, spectral_radius=radius, lower=max(spectrum.lower, above))
    return SymmetricAnswer(spectrum=spectrum, p=form.p, form=form)


def shifted(diagonal: float, form: SymmetricForm, step: float) -> Array:
    """diagonal I - L^T (step I + P) L, of which the lower triangle is filled."""
    result = -step * form.gram
    result -= form.inner
    result[np.diag_indices(len(result))] += diagonal
    return result


def symmetric_form_error(L: Array, P: Array, alpha: float) -> float:
    """Rounding in the eigenvalues of I - L^T M L: 8 N eps (1 + the row sums of |L|^T |M| |L|)."""
    M = np.abs(P)
    np.fill_diagonal(M, np.abs(np.diag(P) + alpha))
    lower = np.abs(L)
    rows = lower.T @ (M @ (lower @ np.ones(L.shape[0])))
    return 8 * L.shape[0] * EPS * (1 + float(np.max(rows)))
