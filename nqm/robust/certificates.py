"""Sound certificates of robust stability: small gain, a common norm, D-scaling.

A matrix inequality is accepted only with an allowance for every rounding in its evaluation.
"""

from __future__ import annotations

import warnings

import numpy as np
import scipy.linalg
from scipy.optimize import minimize

from nqm.robust.family import DisturbedFamily
from nqm.validate import EPS, Array

CORNER_LIMIT = 12
"""Up to this many parameters all 2^N corners of a box are visited."""
SCALING_LIMIT = 40
"""Up to this many parameters D-scaling is tried: seconds; beyond it, minutes."""


def small_gain(family: DisturbedFamily) -> bool:
    """||diag(dbar) P~||_2 <= min(alpha, 2/h - alpha), h = lambda_max(H).

    Then ||M - I/h|| <= 1/h for every Delta, also a full matrix with ||Delta|| <= max dbar in place
    of the diagonal one: Theorem 1'.
    """
    gain = float(np.linalg.norm(family.bound[:, None] * family.preconditioner, 2))
    top = float(np.linalg.eigvalsh(family.hessian)[-1])
    slack = 16 * family.bound.size * EPS
    room = min(family.nominal_step, (2 - slack) / (top * (1 + slack)) - family.nominal_step)
    return gain * (1 + slack) <= room - (slack * family.nominal_step if gain else 0.0)


def norm_falls(matrices: Array, X: Array, magnitude: float) -> Array:
    """Whether X > 0 and X - A^T X A > 0 for certain; A may be stacked in front, X with it.

    The allowance covers the rounding of A (entries summed from terms below `magnitude`), of the
    product and of the eigenvalues.
    """
    size = X.shape[-1]
    A, scale = matrices, np.linalg.norm(X, axis=(-2, -1))
    fall = X - np.swapaxes(A, -1, -2) @ X @ A
    least = np.linalg.eigvalsh(fall / 2 + np.swapaxes(fall, -1, -2) / 2)[..., 0]
    allowance = 32 * (size + 4) * EPS * scale * (1 + magnitude) ** 2
    positive = np.linalg.eigvalsh(X)[..., 0] > 32 * (size + 4) * EPS * scale
    return np.asarray((least > allowance) & positive)


def corner_norm(family: DisturbedFamily, X: Array) -> bool:
    """max over the corners of ||A(d)|| in the norm of X <= 1: convex in d, so on the whole box."""
    if family.bound.size > CORNER_LIMIT:
        return False
    corners = family.corners(np.zeros_like(family.bound), family.bound)
    return bool(np.all(norm_falls(family.matrices(corners), X, family.magnitude)))


def scaled_norm(family: DisturbedFamily) -> Array | None:
    """X > 0, Theta > 0 diagonal with W - G^T W G > 0, W = diag(X, Theta), by D-scaling.

    G = [[A_c, B_c], [C, 0]], A_c = A_0 - 1/2 B Dbar C, B_c = -1/2 B Dbar. Since d = dbar (1 +
    delta)/2 with |delta_i| <= 1, X then falls along every A(d). Theta minimizes the largest gain
    of C (z I - A_c)^-1 B_c over |z| = 1 under diagonal scaling, a convex problem in log Theta; X
    solves the Riccati equation of that gain. Returns X where the inequality is verified, which
    is all that counts: the gain is optimized on a grid of z.
    """
    if family.bound.size > SCALING_LIMIT:
        return None
    L = np.linalg.cholesky(family.norm)  # work where the loss is the square of the norm
    back = scipy.linalg.solve_triangular(L, np.eye(family.size), lower=True)
    half = family.left * (family.bound / 2)
    base = family.base - half @ family.right
    A, B, C = L.T @ base @ back.T, -L.T @ half, family.right @ back.T
    if not np.max(np.abs(np.linalg.eigvals(A))) < 1:
        return None
    theta = _best_scaling(A, B, C)
    if theta is None:
        return None
    for shrink in (1e-3, 1e-5, 1e-7, 1e-9):
        X = _riccati(A, B, C, theta, shrink)
        if X is not None and _verified(family, base, half, L @ X @ L.T, theta):
            return np.asarray(L @ X @ L.T)
    return None


def _verified(family: DisturbedFamily, base: Array, half: Array, X: Array, theta: Array) -> bool:
    r, n = X.shape[0], theta.size
    ratio = float(np.linalg.norm(half)) / max(float(np.linalg.norm(family.right)), 1e-300)
    balance = ratio**0.5
    G = np.block([[base, -half / balance], [family.right * balance, np.zeros((n, n))]])
    W = scipy.linalg.block_diag(X / 2 + X.T / 2, np.diag(theta) / balance**2)
    magnitude = family.magnitude + float(np.linalg.norm(G))
    return bool(norm_falls(G, W, magnitude)) and r > 0


def _responses(A: Array, B: Array, C: Array) -> Array:
    """C (z I - A)^-1 B on the upper half circle, also where the large eigenvalues of A point."""
    values = np.linalg.eigvals(A)
    large = values[np.argsort(-np.abs(values))[:8]]
    grid = np.linspace(0, np.pi, 65 if len(A) <= 12 else 33)
    angles = np.concatenate([grid, np.abs(np.angle(large))])
    z = np.exp(1j * angles)[:, None, None]
    return np.asarray(C @ np.linalg.solve(z * np.eye(len(A)) - A, B.astype(complex)))


def _best_scaling(A: Array, B: Array, C: Array) -> Array | None:
    """Theta with the largest scaled gain below one, None where that is out of reach."""
    responses = _responses(A, B, C)

    def gain(log_theta: Array, power: float) -> tuple[float, Array]:
        d = np.exp((log_theta - np.mean(log_theta)) / 2)
        u, s, vh = np.linalg.svd(d[:, None] * responses / d)
        top, left, right = s[:, 0], np.abs(u[:, :, 0]) ** 2, np.abs(vh[:, 0, :]) ** 2
        weights = (top / np.max(top)) ** power
        value = float(np.max(top)) * float(np.mean(weights)) ** (1 / power)
        slope = (weights / np.sum(weights)) @ (left - right) / 2
        return float(np.log(value)), slope - np.mean(slope)

    x = np.zeros(B.shape[1])
    if not np.any(responses):
        return np.exp(x)
    for power in (8.0, 64.0, 512.0):
        x = minimize(gain, x, args=(power,), jac=True, method="L-BFGS-B", options={"maxiter": 40}).x
        x = np.clip(x - np.mean(x), -40, 40)
    d = np.exp((x - np.mean(x)) / 2)
    top = float(np.max(np.linalg.svd(d[:, None] * responses / d, compute_uv=False)))
    return np.exp(x - np.mean(x)) if top < 1 else None


def _riccati(A: Array, B: Array, C: Array, theta: Array, shrink: float) -> Array | None:
    """X = Q + A^T X A + A^T X B (Theta - B^T X B)^-1 B^T X A, Q = C^T Theta C, with some slack."""
    Q = C.T @ (theta[:, None] * C)
    Q = Q + shrink * (float(np.trace(Q)) / len(Q) + 1e-12) * np.eye(len(Q))
    try:
        with warnings.catch_warnings():  # an inaccurate X fails its verification
            warnings.simplefilter("ignore")
            X = scipy.linalg.solve_discrete_are(A, B, Q, -np.diag(theta * (1 - shrink)))
    except (np.linalg.LinAlgError, ValueError):
        return None
    return X / 2 + X.T / 2 if np.all(np.isfinite(X)) else None
