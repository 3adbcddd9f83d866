"""The expected loss as the horizon grows without bound.

Letters: x' = F x + B xi, phi = C x (the UpdateRule); H, S of the model; W = C^T H C.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg

from nqm.doubling import taking_part
from nqm.moments import expected_loss
from nqm.quadratic import NoisyQuadratic
from nqm.symmetric_loss import EPS
from nqm.updates import UpdateRule
from nqm.validate import Array


class LimitLoss(NamedTuple):
    """The limit of the expected loss (8) as T grows.

    Attributes
    ----------
    value : float
        The limit; inf where the loss grows without bound, nan where rounding hides which.
    error : float
        Estimate of the absolute error of `value`.
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


def limit_loss(model: NoisyQuadratic, rule: UpdateRule) -> LimitLoss:
    """lim_T L = 1/2 tr[H (C Cov_inf C^T + S)], Cov_inf = F Cov_inf F^T + B S B^T.

    Where rho(F) < 1 the Lyapunov equation is solved in its dual form, Y - F^T Y F = C^T H C, and a
    positive semidefinite solution with a small residual is required; the error is that residual
    carried to the loss. States that nothing excites, by exact zeros, are left out: instability does
    not imply an infinite loss. The limit of (8), finite where rho(F) < 1 as Lemma 5 has it, (A.3).
    Where rho(F) >= 1 the growth of the loss itself decides.

    Parameters
    ----------
    model : NoisyQuadratic
    rule : UpdateRule

    Returns
    -------
    LimitLoss

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
    F, B, C, _ = (np.asarray(x, dtype=np.float64) for x in rule)
    with np.errstate(over="ignore", invalid="ignore"):
        W, Q = C.T @ model.hessian @ C, B @ model.noise_covariance @ B.T
    start = np.asarray(rule.lift) @ model.initial_second_moment
    kept = taking_part(F, np.concatenate([Q, start], axis=1), W)
    F, W, Q = (X[np.ix_(kept, kept)] for X in (F, W, Q))
    floor = float(np.sum(model.hessian * model.noise_covariance)) / 2
    radius = float(np.max(np.abs(np.linalg.eigvals(F))))
    if radius < 1 and np.all(np.isfinite(Q)):
        Y = scipy.linalg.solve_discrete_lyapunov(F.T, W)
        Y = Y / 2 + Y.T / 2
        residual = float(np.linalg.norm(Y - F.T @ Y @ F - W))
        values = np.linalg.eigvalsh(Y)
        sound = residual <= 1e-8 * float(np.linalg.norm(W)) and values[0] >= -1e-8 * values[-1]
        if sound:
            value = float(np.sum(Y * Q)) / 2 + floor
            gain = float(np.linalg.norm(Y)) / float(np.linalg.norm(W))
            error = gain * residual * float(np.trace(Q)) / 2 + 8 * EPS * value
            return LimitLoss(value, error, "spectral radius below one")
    return _without_decay(model, rule, radius)


class LimitMoments(NamedTuple):
    """The distribution that the parameters settle to.

    Attributes
    ----------
    mean : (N,) array
        Zero, where the limit exists.
    covariance : (N, N) array
        C X C^T with X = F X F^T + B S B^T; nan where rho(F) is not below one.
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


def limit_moments(model: NoisyQuadratic, rule: UpdateRule) -> LimitMoments:
    """Cov_inf = C X C^T with X = F X F^T + B S B^T, where rho(F) < 1.

    The limit of equation (7), by the Lyapunov equation of the joint state.

    Parameters
    ----------
    model : NoisyQuadratic
    rule : UpdateRule

    Returns
    -------
    LimitMoments
        All nan where rho(F) >= 1: instability is a result.

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
    F, B, C, _ = (np.asarray(x, dtype=np.float64) for x in rule)
    Q, n = B @ model.noise_covariance @ B.T, model.dimension
    if not np.max(np.abs(np.linalg.eigvals(F))) < 1:
        return LimitMoments(np.full(n, np.nan), np.full((n, n), np.nan), float("nan"))
    X = scipy.linalg.solve_discrete_lyapunov(F, Q)
    X = X / 2 + X.T / 2
    residual = float(np.linalg.norm(X - F @ X @ F.T - Q))
    return LimitMoments(np.zeros(n), C @ X @ C.T, residual)


def _without_decay(model: NoisyQuadratic, rule: UpdateRule, radius: float) -> LimitLoss:
    """rho(F) is one, above it, or too close below to tell: compare long horizons."""
    long = 2**20
    losses = expected_loss(model, rule, [long, 2 * long, 4 * long])
    if np.all(np.isfinite(losses.value)):  # L(T) = limit + c / T, once the rest has decayed
        first, second = 2 * losses.value[1:] - losses.value[:-1]
        error = abs(second - first) + 1e-8 * abs(second)
        if error <= 1e-6 * abs(second):
            return LimitLoss(float(second), float(error), "no growing mode is excited")
    if radius > 1 + 1e-6 or np.diff(losses.log)[-1] > 0.5:
        return LimitLoss(float("inf"), 0.0, "the loss grows with the horizon")
    return LimitLoss(float("nan"), float("inf"), "spectral radius one to rounding")
