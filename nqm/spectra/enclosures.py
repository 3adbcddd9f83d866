"""The verdict on a matrix, with the uncertainty that justifies it.

The numbers here are estimates of rounding with honest constants, not proofs; those are in
`nqm.spectra.proofs`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from nqm import validate
from nqm.namespace import AnyArray
from nqm.spectra.eigenvalues import Spectrum
from nqm.spectra.lyapunov import inertia_side
from nqm.validate import EPS, Array

DENSE_LIMIT = 200
"""Up to this size every eigenvalue gets its condition number; above it the dominant one alone."""


def symmetric_spectrum(values: Array, error: float) -> Spectrum:
    """Weyl: each eigenvalue of a symmetric matrix moves by at most the norm of its perturbation.

    Parameters
    ----------
    values : (K,) array
        Real eigenvalues as computed.
    error : float
        A bound on the perturbation's norm.

    Returns
    -------
    Spectrum

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import symmetric_spectrum
    >>> symmetric_spectrum(np.array([1.0, 0.0]), 1e-15).verdict
    'marginal'
    """
    values = validate.real_array("values", values)
    ordered = values[np.argsort(-np.abs(values), kind="stable")].astype(np.complex128)
    radius = float(np.abs(ordered[0]))
    return Spectrum(ordered, radius, max(radius - error, 0.0), radius + error, "Weyl")


def judge(update_matrix: AnyArray, error: float | None = None) -> Spectrum:
    """Eigenvalues of any real matrix F, with an enclosure of rho(F + E) for all |E| <= error.

    Up to 200 rows the disc theorem: the eigenvalues of F + E lie in discs of radius
    K |E| / s_i around the computed ones, s_i the cosine between left and right eigenvector, and a
    connected group of discs holds as many as it has centres (Bauer and Fike; Wilkinson 1965). If
    the discs cross the circle, as at a Jordan block, the Stein inertia bound is tried
    (`nqm.spectra.lyapunov`). Above 200 rows the first-order bound |E| / s for the dominant
    eigenvalue.

    Parameters
    ----------
    update_matrix : (K, K) array
        F.
    error : float, optional
        Bound on |E|; the default 8 K eps |F| covers the eigenvalue solver alone.

    Returns
    -------
    Spectrum

    Raises
    ------
    ValueError
        For malformed arguments; entries may have at most the size 1e100.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import judge
    >>> judge(np.array([[0.5, -1000.0], [0.0, 0.5]])).verdict
    'stable'
    >>> judge(np.array([[1.0, 1.0], [0.0, 1.0]])).verdict
    'marginal'
    """
    F = validate.square("update_matrix", update_matrix)
    if error is not None and not validate.scalar("error", error) >= 0:
        raise ValueError(f"error must not be negative; it is {error:g}. Pass a bound on |E|.")
    return enclosure(F, error)


def enclosure(F: Array, error: float | None = None) -> Spectrum:
    """What `judge` returns, for a matrix of this package's own making."""
    size = F.shape[0]
    solver = 8 * size * EPS * float(np.linalg.norm(F))
    delta = solver if error is None else error + solver
    if size > DENSE_LIMIT:
        return _judge_dominant(F, delta)
    values, left, right = scipy.linalg.eig(F, left=True, right=True)
    cosines = np.abs(np.sum(left.conj() * right, axis=0))
    radii = size * delta / np.maximum(cosines, np.finfo(np.float64).tiny)
    return _from_discs(F, values, radii, delta)


def _from_discs(F: Array, values: NDArray[np.complex128], radii: Array, delta: float) -> Spectrum:
    """The enclosure from the discs, or, where they straddle the circle, from Stein inertia."""
    order = np.argsort(-np.abs(values), kind="stable")
    values, radii = values[order], radii[order]
    moduli = np.abs(values)
    from scipy.sparse.csgraph import connected_components  # imported here since it takes long

    touching = np.abs(values[:, None] - values[None, :]) <= radii[:, None] + radii[None, :]
    count, labels = connected_components(touching, directed=False)
    inner = [float(np.min((moduli - radii)[labels == k])) for k in range(count)]
    radius = float(moduli[0])
    found = Spectrum(
        values,
        radius,
        max(*inner, 0.0) if inner else 0.0,
        float(np.max(moduli + radii)),
        "eigenvalue condition numbers",
    )
    if found.verdict != "marginal":
        return found
    lower, upper = _inertia_enclosure(F, radius, delta)
    if upper == 1.0:  # no eigenvalue is on the circle either
        upper = float(np.nextafter(1.0, 0.0))
    if lower == 1.0:
        lower = float(np.nextafter(1.0, 2.0))
    lower, upper = max(lower, found.lower), min(upper, found.upper)
    sharper = Spectrum(values, radius, lower, upper, "Stein inertia")
    return found if sharper.verdict == "marginal" else sharper


def _inertia_enclosure(F: Array, radius: float, delta: float) -> tuple[float, float]:
    """Bounds of rho from the circles, between the computed radius and one, that nothing crosses."""
    steps = (*(10.0 ** np.arange(-12, 0)), 0.3, 0.6)
    # Near the computed radius first, then on the way to the unit circle, then that itself.
    outward = [radius * (1 + gap) for gap in steps]
    inward = [radius * (1 - gap) for gap in steps]
    between = [radius + (1 - radius) * share for share in (0.01, 0.1, 0.3, 0.6, 0.9, 1.0)]
    (outward if radius < 1 else inward).extend(between)
    for upper in sorted(circle for circle in outward if circle > radius):
        if inertia_side(F / upper, delta / upper) == "stable":
            break
    else:
        upper = float("inf")
    for lower in sorted((circle for circle in inward if 0 < circle < radius), reverse=True):
        if inertia_side(F / lower, delta / lower) == "unstable":
            break
    else:
        lower = 0.0
    return lower, upper


def _judge_dominant(F: Array, delta: float) -> Spectrum:
    """First-order enclosure from the condition number of the dominant eigenvalue."""
    values = scipy.linalg.eigvals(F, check_finite=False)
    values = values[np.argsort(-np.abs(values), kind="stable")]
    radius = float(np.abs(values[0]))
    spread = delta * dominant_condition(F, values[0])
    return Spectrum(
        values,
        radius,
        max(radius - spread, 0.0),
        radius + spread,
        "dominant eigenvalue's condition number, first order",
    )


def dominant_condition(F: Array, value: complex) -> float:
    """1/|y^H x| of one eigenvalue: left and right eigenvector by inverse iteration on one LU.

    Parameters
    ----------
    F : (K, K) array
        Any real matrix.
    value : complex
        One of its eigenvalues, as computed.

    Returns
    -------
    float

    Examples
    --------
    >>> import numpy as np
    >>> from nqm.spectra.enclosures import dominant_condition
    >>> F = np.array([[2.0, 3.0], [0.0, 1.0]])  # x = (1, 0), y = (1, 3)/sqrt(10)
    >>> bool(np.isclose(dominant_condition(F, 2.0), np.sqrt(10)))
    True
    """
    for single in (True, False):
        right, left = _eigenvectors(F, value, single)
        residual = max(_residual(F, value, right), _residual(F.T, value, left.conj()))
        cosine = float(np.abs(np.vdot(left, right)))
        # Single precision will do where its vectors are eigenvectors and far from orthogonal.
        if residual <= 1e-5 * float(np.linalg.norm(F)) * cosine and cosine > 1e-3:
            break
    return 1.0 / max(cosine, EPS)


def _residual(F: Array, value: complex, x: Any) -> float:
    """|F x - value x|, without a complex copy of F."""
    parts = F @ np.stack([x.real, x.imag], axis=1)
    return float(np.linalg.norm(parts[:, 0] + 1j * parts[:, 1] - value * x))


def _eigenvectors(F: Array, value: complex, single: bool) -> tuple[Any, Any]:
    """Right and left eigenvector by three steps of inverse iteration on one factorization."""
    real: Any = np.float32 if single else np.float64
    kind: Any = np.result_type(real, np.complex64) if complex(value).imag else real
    eps = float(np.finfo(real).eps)
    shift = np.asarray(value + 4 * eps * (abs(value) + float(np.linalg.norm(F)) / len(F)))
    shifted = F.astype(kind)
    shifted[np.diag_indices(len(F))] -= (shift if complex(value).imag else shift.real).astype(kind)
    factors = scipy.linalg.lu_factor(shifted, overwrite_a=True, check_finite=False)
    start = np.random.default_rng(0).standard_normal(len(F)).astype(kind)
    vectors = []
    for transposed in (0, 2):
        x = start / np.linalg.norm(start)
        for _ in range(3):
            x = scipy.linalg.lu_solve(factors, x, trans=transposed, check_finite=False)
            x = x / np.linalg.norm(x)
        vectors.append(x)
    return vectors[0], vectors[1]
