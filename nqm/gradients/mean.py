"""The expected meta-gradient of the plain rule: derivatives of the loss (8) in P and alpha.

Letters: M = alpha I + P, A = I - M H, Q = (I-A) S (I-A)^T, Pi_0 = S0 + m m^T; U_T and V_T the
sums of `nqm.moments.powers` with W = H, so that 2 T L = tr(U_T A Pi_0 A^T) + tr(V_T Q) + T tr(H S).
The derivative runs backward through the doubling: O(log T) products, under NumPy and JAX alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nqm.moments.loss import Quadratic, checked_horizons, checked_model
from nqm.moments.powers import (
    Block,
    Ladder,
    Scaled,
    Sums,
    add,
    congruence,
    extend,
    independent_parts,
    ladder,
    product,
    scaled,
    times,
)
from nqm.namespace import AnyArray, Namespace, common
from nqm.rules.linear import update_matrix


class MetaGradient(NamedTuple):
    """The derivatives of the loss; with a sequence of horizons, one leading axis more.

    Attributes
    ----------
    preconditioner : (N, N) array
        dL/dP.
    nominal_step : scalar
        dL/dalpha = tr dL/dP.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import MetaGradient, NoisyQuadratic, expected_meta_gradient
    >>> model = NoisyQuadratic(np.diag([1.0, 2.0]), np.eye(2))
    >>> gradient = expected_meta_gradient(model, 0.5, horizon=8)
    >>> isinstance(gradient, MetaGradient)
    True
    >>> bool(np.isclose(np.trace(gradient.preconditioner), gradient.nominal_step))
    True
    """

    preconditioner: AnyArray
    nominal_step: AnyArray


def expected_meta_gradient(
    model: Quadratic,
    nominal_step: AnyArray,
    preconditioner: AnyArray | None = None,
    *,
    horizon: int | Sequence[int],
) -> MetaGradient:
    """dL/dP = (1/T) sum_{t=0..T-1} Y_{t+1} [(I-A) S - A Pi_t] H and dL/dalpha, its trace.

    L is the loss (8) with its factor 1/2; Pi_{t+1} = A Pi_t A^T + Q, Y_T = H,
    Y_t = H + A^T Y_{t+1} A. The sum is taken by reverse differentiation of the doubling.

    Parameters
    ----------
    model : NoisyQuadratic
        Or any object with its four arrays; under JAX, a NamedTuple of them.
    nominal_step : scalar
        alpha.
    preconditioner : (N, N) array, optional
        P, any real matrix. Default: zero.
    horizon : int or sequence of int
        T >= 1.

    Returns
    -------
    MetaGradient
        Infinite where the dtype cannot hold the derivative.

    Raises
    ------
    ValueError
        If a horizon is below 1 or no integer.

    Examples
    --------
    One step in one dimension: L = 1/2 h [(1 - a h)^2 m^2 + (a h)^2 s + s].

    >>> from nqm import NoisyQuadratic, expected_meta_gradient
    >>> h, s, m, a = 2.0, 3.0, 5.0, 0.25
    >>> model = NoisyQuadratic([[h]], [[s]], [m])
    >>> gradient = expected_meta_gradient(model, a, horizon=1)
    >>> float(gradient.nominal_step) == h**2 * (a * h * s - (1 - a * h) * m**2)
    True
    """
    horizons, model = checked_horizons(horizon, 1), checked_model(model)
    H, S, m = model.hessian, model.noise_covariance, model.initial_mean
    A = update_matrix(H, preconditioner, nominal_step)
    xp, (A, H, S, m, S0) = common(A, H, S, m, model.initial_covariance)
    pi_0 = S0 + m[:, None] * m[None, :]
    parts = independent_parts(A, H, S, pi_0)
    if len(parts) == 1:
        found = _gradients(xp, A, H, S, pi_0, horizons)
    else:
        found = [MetaGradient(np.zeros_like(A), np.zeros(())) for _ in horizons]
        for part in parts:
            block = np.ix_(part, part)
            inside = _gradients(xp, A[block], H[block], S[block], pi_0[block], horizons)
            for whole, piece in zip(found, inside, strict=True):
                whole.preconditioner[block] = piece.preconditioner
                whole.nominal_step[...] += piece.nominal_step
    if np.ndim(horizon) == 0:
        return found[0]
    return MetaGradient(*(xp.stack(list(column)) for column in zip(*found, strict=True)))


def _gradients(
    xp: Namespace, A: AnyArray, H: AnyArray, S: AnyArray, pi_0: AnyArray, horizons: list[int]
) -> list[MetaGradient]:
    """The derivatives at each horizon; one ladder for all."""
    rungs = ladder(A, H, max(horizons))
    found = []
    for T in horizons:
        slope = _slope(xp, rungs, A, S, pi_0, T)
        gradient = Scaled(slope.hat @ H * (-0.5 / T), slope.exponent)
        trace = Scaled(xp.linalg.trace(gradient.hat), gradient.exponent)
        found.append(MetaGradient(gradient.value(xp), trace.value(xp)))
    return found


def _slope(
    xp: Namespace, rungs: Ladder, A: AnyArray, S: AnyArray, pi_0: AnyArray, T: int
) -> Scaled:
    """The derivative in A of tr(U_T A Pi_0 A^T) + tr(V_T Q)."""
    identity = xp.eye(A.shape[0], dtype=A.dtype)
    forward = _climb(xp, rungs, T)
    sums, count = forward[-1][1], rungs.top
    if rungs.settled and count <= T:  # U_T = U_n, V_T = V_n + (T - n) U_n
        running = sums.running
        if count < T:
            running = add(xp, running, times(T - count, sums.total))
        sums = Sums(T, sums.total, running)
    a, b = scaled(xp, A), scaled(xp, identity - A)
    second, spread = scaled(xp, pi_0), scaled(xp, S)
    total = congruence(second, Scaled(a.hat.T, a.exponent))
    noise = congruence(spread, Scaled(b.hat.T, b.exponent))
    by_start = product(xp, sums.total, product(xp, a, second))
    by_noise = product(xp, sums.running, product(xp, b, spread))
    direct = _sum(
        xp, by_start._replace(hat=2 * by_start.hat), by_noise._replace(hat=-2 * by_noise.hat)
    )
    if rungs.settled and count < T:
        total = add(xp, total, times(T - count, noise))
    return _sum(xp, direct, _descend(xp, rungs, forward, total, noise))


def _climb(xp: Namespace, rungs: Ladder, T: int) -> list[tuple[int, Sums]]:
    """The sums for the leading binary digits of T, each with the rung that was added last."""
    steps = min(T, rungs.top) if rungs.settled else T
    path: list[tuple[int, Sums]] = []
    for k in reversed(range(steps.bit_length())):
        if steps >> k & 1:
            block = rungs.blocks[k]
            path.append((k, extend(xp, block, path[-1][1]) if path else block.sums))
    return path


class _Slopes(NamedTuple):
    """Derivatives of the result in the power, in U and in V of one rung; None means zero."""

    power: Scaled | None = None
    total: Scaled | None = None
    running: Scaled | None = None


def _descend(
    xp: Namespace, rungs: Ladder, path: list[tuple[int, Sums]], total: Scaled, running: Scaled
) -> Scaled:
    """The derivative in A through every power, from those in U_T and V_T."""
    slopes = [_Slopes() for _ in rungs.blocks]
    for (k, _), (_, before) in reversed(list(zip(path[1:], path[:-1], strict=True))):
        slopes[k] = _merge(xp, slopes[k], _into_block(xp, rungs.blocks[k], before, total, running))
        total, running = _push(rungs.blocks[k], total), _push(rungs.blocks[k], running)
    lead = path[0][0]
    slopes[lead] = _merge(xp, slopes[lead], _Slopes(None, total, running))
    for k in range(lead, 0, -1):
        block, (power, total_k, running_k) = rungs.blocks[k - 1], slopes[k]
        assert total_k is not None
        assert running_k is not None
        slope = _into_block(xp, block, block.sums, total_k, running_k)
        pushed = _Slopes(None, _push(block, total_k), _push(block, running_k))
        slopes[k - 1] = _merge(xp, _merge(xp, slopes[k - 1], slope), pushed)
        if power is not None:
            hat = power.hat @ block.power.hat.T + block.power.hat.T @ power.hat
            squared = Scaled(hat, power.exponent + block.power.exponent)
            slopes[k - 1] = _merge(xp, slopes[k - 1], _Slopes(squared))
    bottom = slopes[0].power
    return scaled(xp, xp.zeros_like(total.hat)) if bottom is None else bottom


def _push(block: Block, slope: Scaled) -> Scaled:
    """F^a X F^aT."""
    return congruence(slope, Scaled(block.power.hat.T, block.power.exponent))


def _into_block(xp: Namespace, block: Block, sums: Sums, total: Scaled, running: Scaled) -> _Slopes:
    """The slopes that `extend(block, sums)` hands to the block it puts first."""

    def through(inner: Scaled, outer: Scaled) -> Scaled:
        hat = 2 * inner.hat @ block.power.hat @ outer.hat
        return Scaled(hat, inner.exponent + block.power.exponent + outer.exponent)

    power = _sum(xp, through(sums.total, total), through(sums.running, running))
    return _Slopes(power, add(xp, total, times(sums.steps, running)), running)


def _merge(xp: Namespace, left: _Slopes, right: _Slopes) -> _Slopes:
    def both(x: Scaled | None, y: Scaled | None, semidefinite: bool) -> Scaled | None:
        if x is None or y is None:
            return x if y is None else y
        return add(xp, x, y) if semidefinite else _sum(xp, x, y)

    return _Slopes(
        both(left.power, right.power, False),
        both(left.total, right.total, True),
        both(left.running, right.running, True),
    )


def _sum(xp: Namespace, x: Scaled, y: Scaled) -> Scaled:
    """The sum of two matrices of any sign."""
    x, y = scaled(xp, *x), scaled(xp, *y)
    top = xp.maximum(x.exponent, y.exponent)
    low, high = (z.hat * 2.0 ** xp.clip(z.exponent - top, -1000, 0) for z in (x, y))
    return scaled(xp, low + high, top)
