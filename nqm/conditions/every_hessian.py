"""The M that are stable for every Hessian 0 < H <= h I at once: exact up to N = 4, bounds beyond.

With Z = I - h M: rho(I - M H) <= 1 for every real symmetric 0 < H <= h I iff -I <= sym Z <= I and
det(Q^T Z Q) <= 1 for every plane, Q with two orthonormal columns. The largest such determinant is
det Z for N = 2, an eigenvalue of the second compound for N = 3, the minimum over one parameter of
an eigenvalue for N = 4 (Brickman), and at most the minimum over several beyond (Thorpe's trick).
Proved in `theory.sharper.all_hessians`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize, minimize_scalar

from nqm import validate
from nqm.conditions.condition import Condition, Known, Statement
from nqm.conditions.intervals import second_compound
from nqm.conditions.theorem1_prime import extremes
from nqm.problem import Problem, pose
from nqm.spectra.enclosures import enclosure
from nqm.validate import EPS, Array

EVERY_HESSIAN = Statement(
    name="every Hessian",
    source="rho(I - M H) <= 1 for every real 0 < H <= h I; exact for N <= 4",
    quantity="the gauge of M - I/h, at most |M - I/h|_2",
)
EXACT_SIZE = 4
"""Up to this many parameters the largest determinant over planes is known exactly."""
SEARCHED = 16
"""Up to this many the parameters of Thorpe's trick are optimized; beyond it they are zero."""


@dataclass(frozen=True, eq=False)
class EveryHessian:
    """Whether rho(I - M H) <= 1 for every real symmetric 0 < H <= h I.

    Attributes
    ----------
    status : str
        'certified', 'refuted' or 'unknown'; up to N = 4 unknown only within rounding of the edge.
    lower, upper : float
        Bounds on the gauge of Z = I - h M: M is in the set iff it is at most 1. The gauge of s Z is
        s times that of Z, for s >= 0, and never above |Z|_2.
    witness : (N, N) array or None
        Where refuted, an H with eigenvalues in (0, h] for which rho(I - M H) > 1.

    Examples
    --------
    >>> from nqm import EveryHessian, every_hessian_stability
    >>> found = every_hessian_stability([[1.0, -1.5], [0.0, 1.0]], 1.0)
    >>> isinstance(found, EveryHessian), found.status, found.upper  # though |I - M|_2 = 1.5
    (True, 'certified', 0.75)
    """

    status: str
    lower: float
    upper: float
    witness: Array | None


def every_hessian_stability(step_matrix: ArrayLike, largest_curvature: float) -> EveryHessian:
    """Is rho(I - M H) <= 1 for every real symmetric 0 < H <= h I?

    The exact set, of which Theorem 1' and the numerical radius certify parts: |Z|_2 <= 1 and
    w(Z) <= 1 are sufficient for Z = I - h M. The worst H is h times a projection of rank one or
    two.

    Parameters
    ----------
    step_matrix : (N, N) array
        M = alpha I + P, any real matrix.
    largest_curvature : float
        h > 0.

    Returns
    -------
    EveryHessian

    Raises
    ------
    ValueError
        For malformed arguments.

    Examples
    --------
    A rotation is allowed as far as h det M <= tr M:

    >>> from nqm import every_hessian_stability
    >>> [every_hessian_stability([[0.1, c], [-c, 1.8]], 1.0).status for c in (1.3, 1.4)]
    ['certified', 'refuted']
    """
    M = validate.square("step_matrix", step_matrix)
    h = validate.scalar("largest_curvature", largest_curvature)
    if not h > 0:
        raise ValueError(f"largest_curvature must be positive; it is {h:g}. Pass lambda_max(H).")
    if h * float(np.max(np.abs(M))) > validate.LARGEST:
        raise ValueError(
            f"largest_curvature times step_matrix must be at most {validate.LARGEST:g} in size."
        )
    n = len(M)
    Z = np.eye(n) - h * M
    scale = max(float(np.max(np.abs(Z))), 1.0)
    values, vectors = np.linalg.eigh(Z / 2 + Z.T / 2)
    ends = float(np.max(np.abs(values)))
    upper = max(ends, scale * _root(_plane_bound(Z / scale)))
    planes = [vectors[:, [k]] for k in (0, -1)]
    if n > 1:
        planes.append(_steepest_plane(Z / scale))
    turned = _root(float(np.linalg.det(planes[-1].T @ Z @ planes[-1]))) if n > 1 else 0.0
    certified = upper + 32 * n * n * EPS * scale <= 1
    witness = None if certified else _witness(M, h, planes)
    status = "certified" if certified else "unknown" if witness is None else "refuted"
    return EveryHessian(
        status=status, lower=min(max(ends, turned), upper), upper=upper, witness=witness
    )


def every_hessian(
    hessian: ArrayLike, preconditioner: ArrayLike | None, nominal_step: float
) -> Condition:
    """The gauge of M - I/h is at most 1/h: rho(I - M H') <= 1 for every real 0 < H' <= h I.

    Exact up to N = 4 as a statement about all these H', sufficient beyond, and weaker than Theorem
    1' and than w(h M - I) <= 1. See `every_hessian_stability`.

    Parameters
    ----------
    hessian, preconditioner, nominal_step
        As for `theorem1_prime`; of H only h = lambda_max(H) counts.

    Returns
    -------
    Condition

    Raises
    ------
    ValueError
        For malformed arguments.

    Examples
    --------
    >>> from nqm import every_hessian, theorem1_prime
    >>> H, P = [[1.0, 0.0], [0.0, 0.5]], [[0.5, -2.0], [0.0, 0.5]]
    >>> every_hessian(H, P, 0.5).holds, theorem1_prime(H, P, 0.5).holds
    (True, False)
    """
    problem = pose(hessian, preconditioner, nominal_step)
    return posed_every_hessian(problem, Known(p=extremes(problem)))


def posed_every_hessian(problem: Problem, known: Known) -> Condition:
    """`every_hessian` of a validated problem; for symmetric P the gauge is the norm."""
    alpha, centre = problem.alpha, 1 / float(problem.h[-1])
    if known.p is not None:
        gauge = max(abs(alpha + p - centre) for p in known.p)
    else:
        Z = (centre - alpha) * np.eye(len(problem.hessian)) - np.asarray(problem.preconditioner)
        scale = max(float(np.max(np.abs(Z))), np.finfo(np.float64).tiny)
        ends = float(np.max(np.abs(np.linalg.eigvalsh(Z / 2 + Z.T / 2))))
        gauge = max(ends, scale * _root(_plane_bound(Z / scale)))
    return EVERY_HESSIAN.applied(upper=centre, largest=gauge, exact_margin=known.step_margin)


def _root(determinant: float) -> float:
    return float(np.sqrt(max(determinant, 0.0)))


def _plane_bound(Z: Array) -> float:
    """At least the largest det(Q^T Z Q) over planes; equal to it for N <= 4."""
    n = len(Z)
    if n == 1:
        return 0.0
    compound = second_compound(Z)
    compound = compound / 2 + compound.T / 2
    if n <= 3:
        return float(np.linalg.eigvalsh(compound)[-1])
    forms = _pluecker_forms(n) if n <= SEARCHED else np.zeros((0, *compound.shape))

    def top(tau: Array) -> float:
        return float(np.linalg.eigvalsh(compound + np.tensordot(tau, forms, 1))[-1])

    best = top(np.zeros(len(forms)))
    if n == EXACT_SIZE:
        reach = 4 * float(np.linalg.norm(compound)) + 1  # lambda_max >= |tau| - |C|
        found = minimize_scalar(
            lambda t: top(np.array([t])), bounds=(-reach, reach), options={"xatol": 1e-14 * reach}
        )
        return min(best, float(found.fun))
    return min(best, _relaxed(compound, forms, top)) if len(forms) else best


def _pluecker_forms(size: int) -> Array:
    """The quadratic forms that vanish on planes, one for each four coordinates."""
    pairs = {pair: k for k, pair in enumerate(combinations(range(size), 2))}
    forms = []
    for a, b, c, d in combinations(range(size), 4):
        form = np.zeros((len(pairs), len(pairs)))
        for first, second, sign in (((a, b), (c, d), 1), ((a, c), (b, d), -1), ((a, d), (b, c), 1)):
            i, j = pairs[first], pairs[second]
            form[i, j] = form[j, i] = sign
        forms.append(form)
    return np.array(forms)


def _relaxed(compound: Array, forms: Array, top: object) -> float:
    """A small lambda_max(C + sum tau_k Omega_k), by a smooth maximum that is sharpened."""
    tau = np.zeros(len(forms))
    size = float(np.linalg.norm(compound, 2))
    best = float(np.linalg.eigvalsh(compound)[-1])
    for smoothing in size * 10.0 ** -np.arange(1, 6):

        def smooth(x: Array, mu: float = float(smoothing)) -> tuple[float, Array]:
            values, vectors = np.linalg.eigh(compound + np.tensordot(x, forms, 1))
            shares = np.exp((values - values[-1]) / mu)
            total = float(np.sum(shares))
            weighted = (vectors * (shares / total)) @ vectors.T
            return float(values[-1]) + mu * float(np.log(total)), np.tensordot(forms, weighted, 2)

        tau = minimize(smooth, tau, jac=True, method="L-BFGS-B", options={"maxiter": 60}).x
        best = min(best, top(tau))  # type: ignore[operator]
    return best


def _steepest_plane(Z: Array) -> Array:
    """Orthonormal columns with a large det(Q^T Z Q): each in turn, while the other is held."""
    n = len(Z)
    if n == 2:
        return np.eye(2)
    rng, best, value = np.random.default_rng(0), np.eye(n)[:, :2], -np.inf
    for _ in range(6 if n == 3 else 24):
        Q = np.linalg.qr(rng.standard_normal((n, 2)))[0]
        last = -np.inf
        for _ in range(60):
            for held in (0, 1):
                fixed = Q[:, held]
                # det = (f^T Z f)(x^T Z x) - (f^T Z x)(x^T Z f), a quadratic form in x.
                form = float(fixed @ Z @ fixed) * Z - np.outer(Z.T @ fixed, fixed @ Z.T)
                basis = np.linalg.svd(fixed[None])[2][1:].T
                inner = basis.T @ form @ basis
                values, vectors = np.linalg.eigh(inner / 2 + inner.T / 2)
                Q = Q.copy()
                Q[:, 1 - held] = basis @ vectors[:, -1]
            if values[-1] <= last + 1e-14 * abs(last):
                break
            last = float(values[-1])
        if values[-1] > value:
            best, value = Q, float(values[-1])
    return best


def _witness(M: Array, h: float, planes: list[Array]) -> Array | None:
    """An H near h times a projection with rho(I - M H) > 1 for certain; None where none is."""
    n = len(M)
    for Q in planes:
        for small in (1e-6, 1e-9, 1e-3, 1e-12):
            projection = Q @ Q.T
            H = h * (1 - 4 * n * EPS) * (projection + small * (np.eye(n) - projection))
            H = H / 2 + H.T / 2
            error = 8 * n * EPS * (1 + float(np.linalg.norm(M)) * h)
            if enclosure(np.eye(n) - M @ H, error).lower > 1:
                return H
    return None
