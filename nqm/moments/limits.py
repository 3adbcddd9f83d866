"""The expected loss and the distribution of the parameters as the horizon grows without bound.

Letters: x' = F x + B xi, phi = C x (the UpdateRule); H, S of the model; W = C^T H C, Q = B S B^T,
X = F X F^T + Q and Y = F^T Y F + W. The limit of the loss is 1/2 <Y, Q> + 1/2 tr(H S).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike

from nqm.moments.loss import Quadratic, checked_model, expected_loss
from nqm.moments.powers import add, congruence, is_negligible, product, scaled, taking_part
from nqm.namespace import common
from nqm.problem import Problem, pose
from nqm.quadratic import NoisyQuadratic
from nqm.rules.linear import UpdateRule, memoryless_rule
from nqm.spectra.eigenvalues import Spectrum
from nqm.spectra.enclosures import enclosure, symmetric_spectrum
from nqm.spectra.symmetric import solve_symmetric
from nqm.validate import EPS, Array

BELOW_ONE = "spectral radius below one"
ON_THE_CIRCLE = "spectral radius one to rounding"
HIDDEN = "spectral radius below one by so little that rounding hides the limit"


class LimitLoss(NamedTuple):
    """The limit of the expected loss (8) as T grows.

    Attributes
    ----------
    value : float
        The limit; inf where the loss grows without bound, nan where rounding hides which.
    error : float
        Bound on the absolute error of `value`, to first order in the rounding of the rule's entries
        and of the computation.
    reason : str
        What decided it.

    Examples
    --------
    One dimension: 1/2 s 2/(2 - alpha h), times h.

    >>> from nqm import LimitLoss, NoisyQuadratic, limit_loss, plain_rule
    >>> model = NoisyQuadratic([[1.0]], [[3.0]])
    >>> limit = limit_loss(model, plain_rule(model.hessian, None, 0.5))
    >>> isinstance(limit, LimitLoss), round(limit.value, 12)
    (True, 2.0)
    """

    value: float
    error: float
    reason: str


def limit_loss(
    model: Quadratic, rule: UpdateRule, *, spectrum: Spectrum | None = None
) -> LimitLoss:
    """lim_T L = 1/2 tr[H (C Cov_inf C^T + S)], Cov_inf = F Cov_inf F^T + B S B^T.

    Where rho(F) < 1 beyond rounding, both Lyapunov equations are solved by doubling, which adds
    semidefinite matrices only; the error is the residual of Y weighted with X, and the rounding of
    F weighted with both. For the plain rule with a symmetric P the limit is tr[S H (I + F)^-1].
    States that nothing excites, by exact zeros, are left out: instability does not imply an
    infinite loss. The limit of (8), finite where rho(F) < 1 as Lemma 5 has it, (A.3). Elsewhere the
    growth of the loss itself decides.

    Parameters
    ----------
    model : NoisyQuadratic
        Or any object with its four arrays.
    rule : UpdateRule
    spectrum : Spectrum, optional
        An enclosure of rho(F), where a sharper one is known than that of `judge`, such as the
        `spectrum` of a `StabilityReport`.

    Returns
    -------
    LimitLoss

    Raises
    ------
    ValueError
        For malformed arguments.

    Examples
    --------
    For symmetric P the limit is tr[S (2 H^-1 - M)^-1]:

    >>> import numpy as np
    >>> from nqm import NoisyQuadratic, limit_loss, plain_rule
    >>> H, S = np.diag([1.0, 2.0]), np.array([[2.0, 1.0], [1.0, 2.0]])
    >>> limit = limit_loss(NoisyQuadratic(H, S), plain_rule(H, None, 0.25))
    >>> exact = np.trace(S @ np.linalg.inv(2 * np.linalg.inv(H) - 0.25 * np.eye(2)))
    >>> bool(abs(limit.value - exact) <= 1e-12), limit.reason
    (True, 'spectral radius below one')
    """
    model = checked_model(model)
    _, (F, B, C, E) = common(*rule)
    H, S = model.hessian, model.noise_covariance
    with np.errstate(over="ignore", invalid="ignore"):
        W, Q = C.T @ H @ C, B @ S @ B.T
    if not all(np.all(np.isfinite(X)) for X in (F, W, Q)):
        return LimitLoss(float("nan"), float("inf"), "the rule overflows float64")
    memoryless = _is_memoryless(F, B, C, E)
    if memoryless and isinstance(model, NoisyQuadratic) and model.rank < model.dimension:
        restricted = _on_the_range(model, F)
        if restricted is not None:
            return limit_loss(*restricted, spectrum=spectrum)
    second = model.initial_covariance + np.outer(model.initial_mean, model.initial_mean)
    kept = taking_part(F, np.concatenate([Q, E @ second], axis=1), W)
    part = np.ix_(kept, kept)
    if spectrum is None:
        spectrum = _spectrum(F[part])
    floor = float(np.sum(H * S)) / 2
    if spectrum.verdict == "stable":
        symmetric = memoryless and _is_symmetric_product(H, F)
        found = (
            _memoryless_limit(F, H, S)
            if symmetric
            else _settled_limit(F[part], W[part], B[kept], S, floor)
        )
        if found is None:
            return LimitLoss(float("nan"), float("inf"), HIDDEN)
        # Sensitivities grow with the inverse square of the distance to the circle.
        enlarged = ((1 - spectrum.spectral_radius) / (1 - spectrum.upper)) ** 2
        return found._replace(error=found.error * enlarged)
    return _without_decay(model, rule, spectrum)


def symmetric_limit_loss(
    model: NoisyQuadratic,
    nominal_step: float,
    preconditioner: ArrayLike | None = None,
    *,
    spectrum: Spectrum | None = None,
) -> LimitLoss | None:
    """lim_T L = tr[S (2 H^-1 - M)^-1] of the plain rule with M = alpha I + P, P symmetric.

    With H = L L^T it is tr[S L K^-1 L^T], K = 2 I - L^T M L, and the eigenvalues of K are 1 plus
    those of the update. A perturbation of K below u moves the limit by no more than
    u/(1 - u/lambda_min(K)) tr[S L K^-2 L^T]: a bound, not an estimate, for any u < lambda_min(K).

    Parameters
    ----------
    model : NoisyQuadratic
    nominal_step : float
        alpha.
    preconditioner : (N, N) array, optional
        P. Default: zero.
    spectrum : Spectrum, optional
        The eigenvalues of the update on the range of H, where they are known.

    Returns
    -------
    LimitLoss or None
        None where P is not symmetric or rho is not below one beyond rounding.

    Raises
    ------
    ValueError
        For malformed arguments.

    Examples
    --------
    >>> from nqm import NoisyQuadratic
    >>> from nqm.moments.limits import symmetric_limit_loss
    >>> symmetric_limit_loss(NoisyQuadratic([[1.0]], [[3.0]]), 0.5).value
    2.0
    """
    problem = pose(model, preconditioner, nominal_step)
    if not problem.symmetric:
        return None
    if spectrum is None:
        spectrum = solve_symmetric(problem).spectrum
    return posed_symmetric_limit(problem, spectrum)


def posed_symmetric_limit(problem: Problem, spectrum: Spectrum) -> LimitLoss | None:
    """`symmetric_limit_loss` of a validated problem with symmetric P."""
    model = problem.model
    if spectrum.verdict != "stable":
        return None
    S, alpha, size = model.noise_covariance, problem.alpha, model.dimension
    u, least = spectrum.uncertainty, 1 + float(np.min(spectrum.eigenvalues.real))
    if problem.preconditioner is None and np.array_equal(S, S[0, 0] * np.eye(size)):
        k = 2 - alpha * problem.h
        value, slope = (float(S[0, 0] * np.sum(problem.h / k**p)) for p in (1, 2))
        return _symmetric_answer(value, slope, value, u, least, size)
    if problem.rank == size:
        L = np.linalg.cholesky(problem.hessian)
    else:  # the problem is posed on the range of H, in the basis of its eigenvectors
        vectors = np.linalg.eigh(model.hessian)[1][:, size - problem.rank :]
        L, S = np.diag(np.sqrt(problem.h)), vectors.T @ S @ vectors
    K = -alpha * (L.T @ L)
    if problem.preconditioner is not None:
        K -= L.T @ problem.preconditioner @ L
    K[np.diag_indices(len(K))] += 2
    try:
        solved = scipy.linalg.solve(K, L.T, assume_a="pos", check_finite=False)
    except np.linalg.LinAlgError:
        return LimitLoss(float("nan"), float("inf"), HIDDEN)
    value, slope = float(np.sum((S @ L) * solved.T)), float(np.sum((solved @ S) * solved))
    size_of_terms = float(np.linalg.norm(S)) * float(np.linalg.norm(L @ solved))
    return _symmetric_answer(value, slope, size_of_terms, u, least, size)


def _symmetric_answer(
    value: float, slope: float, terms: float, u: float, least: float, size: int
) -> LimitLoss:
    """The limit with its error: K moved by u, and the rounding of a sum of terms of that size."""
    if not u < least:
        return LimitLoss(float("nan"), float("inf"), HIDDEN)
    error = slope * u / (1 - u / least) + 8 * size * EPS * terms
    return LimitLoss(value, error, BELOW_ONE)


class LimitMoments(NamedTuple):
    """The distribution that the parameters settle to.

    Attributes
    ----------
    mean : (N,) array
        Zero, where the limit exists.
    covariance : (N, N) array
        C X C^T with X = F X F^T + B S B^T, positive semidefinite to rounding; nan where rho(F) is
        not below one beyond rounding.
    residual : float
        Frobenius norm of X - F X F^T - B S B^T.

    Examples
    --------
    >>> from nqm import LimitMoments, NoisyQuadratic, limit_moments, plain_rule
    >>> model = NoisyQuadratic([[1.0]], [[3.0]])
    >>> limit = limit_moments(model, plain_rule(model.hessian, None, 0.5))
    >>> isinstance(limit, LimitMoments), round(limit.covariance.item(), 12)
    (True, 1.0)
    """

    mean: Array
    covariance: Array
    residual: float


def limit_moments(
    model: Quadratic, rule: UpdateRule, *, spectrum: Spectrum | None = None
) -> LimitMoments:
    """Cov_inf = C X C^T with X = F X F^T + B S B^T, where rho(F) < 1.

    The limit of equation (7), by doubling the sum of F^j B S B^T F^jT.

    Parameters
    ----------
    model, rule, spectrum
        As for `limit_loss`.

    Returns
    -------
    LimitMoments
        All nan where rho(F) is not below one beyond rounding: instability is a result.

    Raises
    ------
    ValueError
        For malformed arguments.

    Examples
    --------
    It does not change in a step:

    >>> import numpy as np
    >>> from nqm import NoisyQuadratic, limit_moments, plain_rule
    >>> model = NoisyQuadratic(np.diag([1.0, 2.0]), np.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> rule = plain_rule(model.hessian, None, 0.25)
    >>> X, A, B = limit_moments(model, rule).covariance, rule.joint_matrix, rule.noise_matrix
    >>> bool(np.allclose(X, A @ X @ A.T + B @ model.noise_covariance @ B.T))
    True
    """
    model = checked_model(model)
    _, (F, B, C, _) = common(*rule)
    n = len(C)
    nothing = LimitMoments(np.full(n, np.nan), np.full((n, n), np.nan), float("nan"))
    with np.errstate(over="ignore", invalid="ignore"):
        Q = B @ model.noise_covariance @ B.T
    if not (np.all(np.isfinite(F)) and np.all(np.isfinite(Q))):
        return nothing
    if (spectrum or _spectrum(F)).verdict != "stable":
        return nothing
    X = power_sums(F.T, Q)
    if X is None:
        return nothing
    residual = float(np.linalg.norm(X - F @ X @ F.T - Q))
    return LimitMoments(np.zeros(n), C @ X @ C.T, residual)


def power_sums(F: Array, W: Array) -> Array | None:
    """sum_j F^jT W F^j by doubling, or None where it does not settle within float64.

    Examples
    --------
    >>> import numpy as np
    >>> power_sums(np.array([[0.5]]), np.eye(1)).round(12).item()
    1.333333333333
    """
    power, total = scaled(np, F), scaled(np, W)
    for _ in range(64):
        if is_negligible(power):
            value: Array = total.value(np)
            return value / 2 + value.T / 2 if np.all(np.isfinite(value)) else None
        total = add(np, total, congruence(total, power))
        power = product(np, power, power)
        if not np.all(np.isfinite(power.hat)):
            return None
    return None


def _spectrum(F: Array) -> Spectrum:
    """The enclosure of rho(F): by Weyl where F is symmetric."""
    if not np.array_equal(F, F.T):
        return enclosure(F)
    values = np.linalg.eigvalsh(F)
    return symmetric_spectrum(values, 8 * len(F) * EPS * (1 + float(np.max(np.abs(values)))))


def _is_memoryless(F: Array, B: Array, C: Array, E: Array) -> bool:
    identity = np.eye(len(F))
    return all(np.array_equal(X, identity) for X in (C, E)) and np.array_equal(B, identity - F)


def _on_the_range(model: NoisyQuadratic, F: Array) -> tuple[NoisyQuadratic, UpdateRule] | None:
    """The problem on the range of H, which is all that the loss sees where F maps it by itself."""
    vectors = np.linalg.eigh(model.hessian)[1]
    null, U = np.split(vectors, [model.dimension - model.rank], axis=1)
    if np.max(np.abs(F @ null - null)) > 8 * len(F) * EPS * (1 + float(np.max(np.abs(F)))):
        return None
    h = model.hessian_eigenvalues[model.dimension - model.rank :]
    S, S0 = (U.T @ X @ U for X in (model.noise_covariance, model.initial_covariance))
    restricted = NoisyQuadratic(
        np.diag(h), S / 2 + S.T / 2, U.T @ model.initial_mean, S0 / 2 + S0.T / 2
    )
    return restricted, memoryless_rule(U.T @ F @ U)


def _is_symmetric_product(H: Array, F: Array) -> bool:
    """Whether H F = H - H M H is symmetric to rounding, as it is for symmetric M."""
    X = H @ F
    size = np.abs(H) @ (np.eye(len(F)) + np.abs(F))
    return bool(np.all(np.abs(X - X.T) <= 4 * len(F) * EPS * (size + size.T)))


def _entry_errors(F: Array) -> Array:
    """How far the entries of F = I - M H may lie from those meant."""
    errors: Array = len(F) * EPS * (np.eye(len(F)) + np.abs(F))
    return errors


def _memoryless_limit(F: Array, H: Array, S: Array) -> LimitLoss:
    """tr[S H (I + F)^-1]; moving F by D moves it by -tr[D (I + F)^-1 S H (I + F)^-1]."""
    inverse = np.linalg.inv(np.eye(len(F)) + F)
    noise = S @ H
    value = float(np.sum(noise * inverse.T))
    slope = np.abs(inverse @ noise @ inverse).T
    rounding = 4 * len(F) * EPS * float(np.sum(np.abs(S) @ np.abs(H) * np.abs(inverse.T)))
    moved = 4 * float(np.sum(_entry_errors(F) * slope))
    return LimitLoss(value, moved + rounding, BELOW_ONE)


def _settled_limit(F: Array, W: Array, B: Array, S: Array, floor: float) -> LimitLoss | None:
    """1/2 <Y, B S B^T> + floor, its error from the residual of Y and the rounding of F and B."""
    Q = B @ S @ B.T
    Y, X = power_sums(F, W), power_sums(F.T, Q)
    if Y is None or X is None:
        return None
    moved = F.T @ Y @ F
    residual = abs(float(np.sum((Y - moved - W) * X))) / 2
    magnitude = np.abs(Y) + np.abs(W) + 2 * np.abs(F.T) @ np.abs(Y) @ np.abs(F)
    unsolved = residual + len(F) * EPS * float(np.sum(magnitude * np.abs(X))) / 2
    entries = float(np.sum(_entry_errors(F) * np.abs(Y @ F @ X)))
    entering = len(F) * EPS * float(np.sum(np.abs(B) * np.abs(Y @ B @ S)))
    value = float(np.sum(Y * Q)) / 2 + floor
    terms = float(np.sum(np.abs(Y) * (np.abs(B) @ np.abs(S) @ np.abs(B.T)))) / 2
    error = unsolved + entries + entering + 8 * len(F) * EPS * (terms + floor)
    return LimitLoss(value, error, BELOW_ONE)


def _without_decay(model: Quadratic, rule: UpdateRule, spectrum: Spectrum) -> LimitLoss:
    """rho(F) is one, above it, or too close below to tell: compare long horizons."""
    long = 2**20
    losses = expected_loss(model, rule, [long, 2 * long, 4 * long])
    if np.all(np.isfinite(losses.value)):  # L(T) = limit + c / T, once the rest has decayed
        first, second = 2 * losses.value[1:] - losses.value[:-1]
        error = abs(second - first) + 1e-8 * abs(second)
        if error <= 1e-6 * abs(second):
            return LimitLoss(float(second), float(error), "no growing mode is excited")
    if spectrum.verdict == "unstable":
        if np.diff(losses.log)[-1] > 0.5:
            return LimitLoss(float("inf"), 0.0, "the loss grows with the horizon")
        return LimitLoss(float("nan"), float("inf"), "the horizons compared do not tell")
    # A mode whose modulus is below one by no more than the rounding settles within 2^60 steps, one
    # that rounding has carried beyond one grows geometrically; linear growth is that of a modulus
    # of exactly one.
    losses = expected_loss(model, rule, [2**62, 2**63, 2**64])
    if np.all(np.abs(np.diff(losses.log) - np.log(2)) <= 1e-6):
        return LimitLoss(float("inf"), 0.0, "the loss grows with the horizon")
    return LimitLoss(float("nan"), float("inf"), ON_THE_CIRCLE)
