"""The exact set of stable nominal steps."""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.linalg

from nqm import validate
from nqm.namespace import AnyArray, common
from nqm.problem import Problem
from nqm.spectra.enclosures import DENSE_LIMIT
from nqm.spectra.symmetric import SymmetricAnswer, SymmetricForm, shifted, symmetric_form
from nqm.validate import EPS, Array


class Interval(NamedTuple):
    """The closed interval lower <= alpha <= upper; empty where lower > upper.

    Attributes
    ----------
    lower, upper : scalar array
        The ends, where rho = 1.

    Examples
    --------
    >>> from nqm import Interval
    >>> Interval(0.0, 2.0).upper
    2.0
    """

    lower: AnyArray
    upper: AnyArray


def nominal_step_interval(
    hessian: AnyArray, preconditioner: AnyArray | None = None, *, limit: AnyArray = 2.0
) -> Interval:
    """[-lambda_min(P), lambda_min(c H^-1 - P)]: all alpha with rho(A) <= 1, P symmetric, c = 2.

    rho <= 1 iff 0 <= alpha I + P <= 2 H^-1 in the Loewner order. The upper end is found as
    alpha_0 + 1/lambda_max(K^-1/2 L^T L K^-1/2) with K = c I - L^T (alpha_0 I + P) L >= (c/2) I, so
    H = L L^T is never inverted. The interval is empty where the ends come in the wrong order; the
    upper end is NaN where P is so large that rounding hides K > 0.

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive definite.
    preconditioner : (N, N) array or None
        P, symmetric; None means zero.
    limit : scalar
        c, what the eigenvalues of H^1/2 (alpha I + P) H^1/2 must stay below: 2 for the plain
        rule, 2 (1 + beta) for heavy ball, ... (`nqm.conditions.momentum`).

    Returns
    -------
    Interval

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import nominal_step_interval, symmetric_eigenvalues
    >>> H, P = np.diag([1.0, 0.01]), np.diag([0.0, 50.0])  # Theorem 1 certifies no step here
    >>> low, high = nominal_step_interval(H, P)
    >>> bool(np.allclose([low, high], [0.0, 2.0]))
    True
    >>> bool(np.isclose(abs(symmetric_eigenvalues(H, P, high)).max(), 1.0))
    True
    """
    xp, (H, P, c) = common(hessian, preconditioner, limit)
    top = xp.linalg.eigvalsh(H)[-1]
    if P is None:
        return Interval(xp.zeros_like(top), c / top)
    if isinstance(H, np.ndarray):
        form = symmetric_form(H, P / 2 + P.T / 2)
        ends = _interval_of_form(form, float(top), float(c))
        return Interval(lower=np.float64(ends.lower), upper=np.float64(ends.upper))
    # Other libraries lack the LAPACK routines of `_interval_of_form`; the formula is the same.
    p = xp.linalg.eigvalsh(P)
    factor = xp.linalg.cholesky(H)
    start = c / (2 * top) - p[-1]
    identity = xp.eye(H.shape[0], dtype=H.dtype)
    inner = c * identity - factor.T @ (start * identity + P) @ factor
    root = xp.linalg.cholesky((inner + inner.T) / 2)
    half = xp.linalg.solve(root, factor.T)
    return Interval(-p[0], start + 1 / xp.linalg.eigvalsh(half @ half.T)[-1])


def _interval_of_form(
    form: SymmetricForm, top: float, limit: float, start: float | None = None
) -> Interval:
    """`nominal_step_interval` from its factorizations; NaN above where rounding hides K > 0.

    `start` is an alpha_0 with K > 0; the default one gives K >= (c/2) I.
    """
    low, high = form.p
    if start is None:
        start = limit / (2 * top) - high
    K = shifted(limit, form, start)
    try:
        root = scipy.linalg.cholesky(K, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return Interval(lower=0.0 - low, upper=float("nan"))
    whitened = scipy.linalg.lapack.dsygst(form.gram, root, lower=1)[0]  # K^-1/2 L^T L K^-1/2
    upper = start + 1 / float(validate.extreme_eigenvalues(whitened)[1])
    return Interval(lower=0.0 - low, upper=upper)


class StableSteps(NamedTuple):
    """The exact interval of nominal steps, and the rounding of its ends."""

    interval: Interval
    error: float


def posed_step_interval(
    problem: Problem, solved: SymmetricAnswer, limit: float = 2.0
) -> StableSteps:
    """`nominal_step_interval` of a validated problem with symmetric P whose spectrum is known."""
    size, top = len(problem.hessian), float(problem.h[-1])
    if solved.form is None:
        interval = Interval(lower=0.0, upper=limit / top)
        return StableSteps(interval=interval, error=8 * size * EPS * limit / top)
    # alpha itself is the sharpest start, where the rule is stable and not close to the upper end.
    inside = 1 - float(np.min(solved.spectrum.eigenvalues.real)) < 0.95 * limit
    interval = _interval_of_form(solved.form, top, limit, problem.alpha if inside else None)
    low, high = solved.p
    rounding = 8 * size * EPS * (max(abs(low), abs(high)) + limit / top + abs(interval.upper))
    return StableSteps(interval=interval, error=rounding)


class KnownSteps(NamedTuple):
    """The stable nominal steps as disjoint intervals; or why they are not known, or a remark."""

    intervals: tuple[tuple[float, float], ...]
    reason: str = ""


def known_steps(interval: Interval) -> KnownSteps:
    """The interval as a list: none where it is empty, and a reason where its end is unknown."""
    low, high = float(interval.lower), float(interval.upper)
    if math.isnan(high):
        return KnownSteps((), "P is so large that rounding hides the upper end")
    return KnownSteps(((low, high),) if low <= high else ())


def best_step(problem: Problem, interval: Interval) -> tuple[float, float] | None:
    """The alpha of the smallest spectral radius: rho is convex in alpha for symmetric P."""
    h, P = problem.h, problem.preconditioner
    if P is None:
        best = 2 / float(h[0] + h[-1])
        return best, float((h[-1] - h[0]) / (h[0] + h[-1]))
    if len(P) > DENSE_LIMIT or interval.lower > interval.upper:
        return None
    L = np.linalg.cholesky(problem.hessian)
    inner, gram = np.eye(len(P)) - L.T @ P @ L, L.T @ L

    def radius(alpha: float) -> float:
        return float(np.max(np.abs(np.linalg.eigvalsh(inner - alpha * gram))))

    from scipy.optimize import minimize_scalar  # imported here since it takes long

    found = minimize_scalar(radius, bounds=tuple(interval), method="bounded")
    return float(found.x), float(found.fun)


INTERVAL_LIMIT = 16
"""Largest N for which `nominal_step_intervals` is offered: its eigenproblem has N (N - 1) rows."""


def second_compound(matrix: AnyArray) -> AnyArray:
    """C_2(A), the 2 x 2 minors of A; its eigenvalues are lambda_i lambda_j for i < j.

    Parameters
    ----------
    matrix : (N, N) array
        A.

    Returns
    -------
    (N (N-1)/2, N (N-1)/2) array

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import second_compound
    >>> second_compound(np.diag([2.0, 3.0, 5.0])).diagonal().tolist()
    [6.0, 10.0, 15.0]
    """
    return _minors(validate.square("matrix", matrix))


def _minors(A: Array) -> Array:
    """`second_compound` of a matrix of float64."""
    p, q = np.triu_indices(A.shape[0], 1)
    minors: Array = A[np.ix_(p, p)] * A[np.ix_(q, q)] - A[np.ix_(p, q)] * A[np.ix_(q, p)]
    return minors


def crossing_steps(hessian: AnyArray, preconditioner: AnyArray) -> list[float]:
    """Every alpha at which an eigenvalue of A can meet the unit circle, for any real P.

    +1 where alpha I + P is singular, -1 where 2 H^-1 - P - alpha I is, a complex pair where the
    second compound of A has the eigenvalue 1: a quadratic eigenproblem in alpha.

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive definite.
    preconditioner : (N, N) array
        P, any real matrix.

    Returns
    -------
    list of float, ascending; a superset of the crossings

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import crossing_steps
    >>> np.round(crossing_steps(np.eye(1), np.array([[0.5]])), 12).tolist()
    [-0.5, 1.5]
    """
    H = validate.symmetric("hessian", hessian)
    P = validate.square("preconditioner", preconditioner, len(H))
    n = H.shape[0]
    identity = np.eye(n)
    found = [-np.linalg.eigvals(P), scipy.linalg.eigvals(2 * identity - P @ H, H)]
    if n > 1:
        A = identity - P @ H
        k0, k2 = _minors(A) - np.eye(n * (n - 1) // 2), _minors(H)
        k1 = _minors(A + H) - _minors(A) - k2
        zero, one = np.zeros_like(k2), np.eye(k2.shape[0])
        left = np.block([[zero, one], [-k0, k1]])
        found.append(scipy.linalg.eigvals(left, np.block([[one, zero], [zero, k2]])))
    values = np.concatenate(found)
    values = values[np.isfinite(values)]
    near_real = np.abs(values.imag) <= 1e-5 * (1 + np.abs(values))
    return sorted({float(v) for v in values[near_real].real})


def _change(excess: Callable[[float], float], left: float, right: float) -> float:
    """Where the sign of `excess` changes; rounding in `excess` may end the search early."""
    from scipy.optimize import brentq  # imported here since it takes long

    width = 4e-16 * max(abs(left), abs(right))
    return float(brentq(excess, left, right, xtol=width, rtol=1e-15, maxiter=200, disp=False))


def nominal_step_intervals(hessian: AnyArray, preconditioner: AnyArray) -> list[Interval]:
    """All alpha with rho(A) <= 1 for any real P, as disjoint intervals.

    Between two neighbours of `crossing_steps` the number of eigenvalues inside the circle is
    constant, so one look decides; each change is then sharpened by bisection.

    Parameters
    ----------
    hessian : (N, N) array
        H, symmetric positive definite, N <= 16.
    preconditioner : (N, N) array
        P, any real matrix.

    Returns
    -------
    list of Interval, ascending

    Raises
    ------
    ValueError
        If N > 16.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import nominal_step_intervals, spectral_radius, update_matrix
    >>> H, P = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[0.0, 0.4], [-0.4, 0.0]])
    >>> (found,) = nominal_step_intervals(H, P)
    >>> ends = [spectral_radius(update_matrix(H, P, alpha)) for alpha in found]
    >>> bool(np.allclose(ends, 1.0))
    True
    """
    H = validate.symmetric("hessian", hessian)
    P = validate.square("preconditioner", preconditioner, len(H))
    if H.shape[0] > INTERVAL_LIMIT:
        raise ValueError(f"hessian must have at most {INTERVAL_LIMIT} rows; it has {H.shape[0]}.")
    still = np.eye(H.shape[0]) - P @ H

    def excess(alpha: float) -> float:
        return float(np.max(np.abs(np.linalg.eigvals(still - alpha * H)))) - 1.0

    steps = crossing_steps(H, P)
    if not steps:  # nothing crosses, and for large alpha the radius is large
        return []
    span = steps[-1] - steps[0] + 1.0
    looks = [steps[0] - span, *((a + b) / 2 for a, b in itertools.pairwise(steps))]
    looks.append(steps[-1] + span)
    inside = [excess(alpha) < 0 for alpha in looks]
    ends = [
        _change(excess, looks[k], looks[k + 1])
        for k in range(len(steps))
        if inside[k] != inside[k + 1]
    ]
    return [Interval(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True)]
