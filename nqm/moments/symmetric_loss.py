"""Expected loss of the plain rule with a symmetric preconditioner, from one eigendecomposition.

Letters: M = alpha I + P, G = H^1/2 M H^1/2, I - G = U diag(l) U^T, Pi_0 = S0 + m m^T,
z_i^2 = [U^T H^1/2 Pi_0 H^1/2 U]_ii, s_i = [U^T H^1/2 S H^1/2 U]_ii.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from nqm import validate
from nqm.moments.loss import ExpectedLoss, checked_horizons
from nqm.quadratic import NoisyQuadratic
from nqm.rules.linear import step_matrix
from nqm.validate import EPS, Array


class LossSpectrum(NamedTuple):
    """What the expected loss needs of a symmetric rule, one entry for each eigenvalue.

    Attributes
    ----------
    eigenvalues : (N,) array
        l_i, those of I - G and so of A.
    signal : (N,) array
        z_i^2, twice the loss that phi_0 puts into mode i.
    noise : (N,) array
        s_i, twice the loss that the noise puts into mode i.
    uncertainty : float
        Rounding bound on each l_i.

    Examples
    --------
    The loss of phi_0 alone is half the sum of the signal:

    >>> import numpy as np
    >>> from nqm import LossSpectrum, NoisyQuadratic, loss_spectrum
    >>> H, m = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([1.0, 3.0])
    >>> modes = loss_spectrum(NoisyQuadratic(H, None, m), 0.1)
    >>> isinstance(modes, LossSpectrum), bool(np.isclose(np.sum(modes.signal), m @ H @ m))
    (True, True)
    """

    eigenvalues: Array
    signal: Array
    noise: Array
    uncertainty: float


def loss_spectrum(
    model: NoisyQuadratic, nominal_step: float, preconditioner: ArrayLike | None = None
) -> LossSpectrum:
    """The modes of I - G = U diag(l) U^T with the loss that phi_0 and the noise put into each.

    The eigenvector coordinates of (A.4) and (A.5), for symmetric P and in the norm of the loss,
    where they are orthogonal.

    Parameters
    ----------
    model : NoisyQuadratic
    nominal_step : float
        alpha.
    preconditioner : (N, N) array, optional
        P, symmetric. Default: zero.

    Returns
    -------
    LossSpectrum

    Raises
    ------
    ValueError
        If P is not symmetric: use `expected_loss`, which takes any rule.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import NoisyQuadratic, loss_spectrum
    >>> model = NoisyQuadratic(np.diag([1.0, 4.0]), np.eye(2), [2.0, 0.0])
    >>> modes = loss_spectrum(model, 0.25)
    >>> modes.eigenvalues.tolist(), modes.signal.tolist(), modes.noise.tolist()
    ([0.0, 0.75], [0.0, 4.0], [4.0, 1.0])
    """
    n = model.dimension
    alpha = validate.scalar("nominal_step", nominal_step)
    P = np.zeros((n, n)) if preconditioner is None else preconditioner
    M = step_matrix(validate.symmetric("preconditioner", P, n), alpha)
    h, vectors = np.linalg.eigh(model.hessian)
    root = np.sqrt(np.maximum(h, 0.0))[:, None] * vectors.T  # any root will do: H = root^T root
    eigenvalues, basis = np.linalg.eigh(np.eye(n) - root @ M @ root.T)
    half = basis.T @ root
    signal = np.sum((half @ model.initial_second_moment) * half, axis=1)
    noise = np.sum((half @ model.noise_covariance) * half, axis=1)
    size = 1 + float(np.linalg.norm(M)) * model.hessian_eigenvalues[-1]
    return LossSpectrum(
        eigenvalues, np.maximum(signal, 0.0), np.maximum(noise, 0.0), 4 * n * EPS * float(size)
    )


def spectral_loss(
    model: NoisyQuadratic,
    nominal_step: float,
    preconditioner: ArrayLike | None = None,
    *,
    horizon: int | Sequence[int],
    noisy_minimum: bool = True,
) -> ExpectedLoss:
    """1/2 sum_i { z_i^2 c_T(l_i) + s_i [1 + (1-l_i)^2 v_T(l_i)] }, the loss (8) for symmetric P.

    c_T(l) = (1/T) sum_{t=1..T} l^2t, the partial sum of (A.8), and v_T(l) = (1/T) sum_{j<T} (T-j)
    l^2j; the 1 is the tr(H S) that (A.9) splits off. Both are summed by doubling, in logarithms: no
    cancellation at l = -1, no overflow at any horizon.

    Parameters
    ----------
    model : NoisyQuadratic
    nominal_step : float
        alpha.
    preconditioner : (N, N) array, optional
        P, symmetric. Default: zero.
    horizon : int or sequence of int
        T >= 1.
    noisy_minimum : bool
        As for `expected_loss`: False drops the 1 in the bracket.

    Returns
    -------
    ExpectedLoss

    Raises
    ------
    ValueError
        If P is not symmetric or a horizon is below 1.

    Examples
    --------
    At l = -1 the noise alone makes the loss grow like T (s/2)(2T + 3)/T:

    >>> from nqm import NoisyQuadratic, spectral_loss
    >>> model = NoisyQuadratic([[1.0]], [[1.0]])
    >>> loss = spectral_loss(model, 2.0, horizon=[1, 1000]).value
    >>> [round(2 * x, 9) for x in loss.tolist()]
    [5.0, 2003.0]
    """
    horizons = checked_horizons(horizon, 1)
    l, signal, noise, uncertainty = loss_spectrum(model, nominal_step, preconditioner)
    log_l2 = 2 * _log(np.abs(l))
    steps = np.array(horizons, dtype=object)
    total, running = log_geometric_sums(log_l2, steps)
    log_T = np.array([np.log(float(T)) for T in horizons])[:, None]
    terms = [
        _log(signal) + log_l2 + total - log_T,
        np.broadcast_to(_log(noise if noisy_minimum else 0 * noise), total.shape),
        _log(noise) + 2 * _log(np.abs(1 - l)) + running - log_T,
    ]
    stacked = np.concatenate(terms, axis=1)
    positive = np.any(np.isfinite(stacked), axis=1)
    log = np.full(len(horizons), -np.inf)
    log[positive] = logsumexp(stacked[positive], axis=1) - np.log(2)
    value = np.where(log < np.log(np.finfo(float).max), np.exp(np.minimum(log, 709.0)), np.inf)
    size = np.where(np.isfinite(log), log, 0.0)
    shares = np.exp(stacked - size[:, None] - np.log(2)).reshape(len(horizons), 3, -1)
    changes = _relative_changes(l, log_l2, uncertainty, horizons)
    error = np.sum(shares * changes, axis=(1, 2)) + EPS * (8 + np.abs(size))
    result = ExpectedLoss(value, log, error)
    return result if np.ndim(horizon) else ExpectedLoss(*(column[0] for column in result))


def _relative_changes(l: Array, log_l2: Array, by: float, horizons: Sequence[int]) -> Array:
    """How far l + `by` moves the terms of signal, floor and noise, relatively; (T, 3, N).

    |d log l^2t| <= 2 t |dl / l| over the t at which l^2t still counts; 1 - l moves by dl.
    """
    settled = np.full(l.shape, np.inf)
    decaying = log_l2 < 0
    settled[decaying] = np.maximum(40.0 / -log_l2[decaying], 1.0)
    ages = np.minimum(np.array(horizons, dtype=float)[:, None], settled)
    signal = 2 * ages * by / np.maximum(np.abs(l), by)
    noise = 2 * by / np.maximum(np.abs(1 - l), by) + 2 * ages * by / np.maximum(np.abs(l), 1.0)
    return np.stack([signal, np.zeros_like(signal), noise], axis=1)


def _log(values: Array) -> Array:
    """The logarithm of nonnegative numbers, -inf at zero without a warning."""
    positive = values > 0
    return np.where(positive, np.log(np.where(positive, values, 1.0)), -np.inf)


def log_geometric_sums(log_ratio: Array, steps: NDArray[np.object_]) -> tuple[Array, Array]:
    """log sum_{j<T} q^j and log sum_{j<T} (T-j) q^j, for each T and each log q.

    Doubling over the binary digits of T, from the lowest: every term is positive.

    >>> import numpy as np
    >>> total, running = log_geometric_sums(np.log([2.0]), np.array([5], dtype=object))
    >>> np.exp(total).round(9).item(), np.exp(running).round(9).item()  # 31, 5+8+12+16+16
    (31.0, 57.0)
    """
    shape = (steps.size, log_ratio.size)
    total, running, done = np.full(shape, -np.inf), np.full(shape, -np.inf), np.zeros(steps.size)
    block_total, block_running = np.zeros(log_ratio.size), np.zeros(log_ratio.size)
    for k in range(max(steps).bit_length()):
        block, rest = 2.0**k, steps.astype(object) // 2**k
        power = np.where(np.isfinite(log_ratio), block * log_ratio, -np.inf)
        for i in np.flatnonzero(rest % 2 == 1):
            grown = np.logaddexp(block_running, _log(done[i : i + 1]) + block_total)
            running[i] = np.logaddexp(grown, power + running[i])
            total[i] = np.logaddexp(block_total, power + total[i])
            done[i] += block
        block_running = np.logaddexp(
            np.logaddexp(block_running, np.log(block) + block_total), power + block_running
        )
        block_total = np.logaddexp(block_total, power + block_total)
    return total, running
