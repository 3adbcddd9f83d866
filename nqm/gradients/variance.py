"""The exact variance of the sampled meta-gradient, for every horizon from one backward pass.

Letters: for a direction E of P, s_t = d phi_t along E: s_0 = 0, s_{t+1} = A s_t - E H (phi_t -
xi_t), and g_E = (1/T) sum_{t=1..T} s_t^T H (phi_t - xi_t). With x = (phi; s),
F = [[A, 0], [-E H, A]], B = [M H; E H], the value function of the sum at lag j = T - t is
K_j = [[k, c], [c, 0]] with K_0 = 1/2 [[0, H], [H, 0]], K_j = K_0 + F^T K_{j-1} F, and the second
moment of x_t is [[Pi, X], [X^T, Z]]. T^2 Var g_E is then a convolution of K and these moments.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nqm import validate
from nqm.gradients.mean import MetaGradient
from nqm.gradients.recursions import apply, orbit_of, packing, transposed, unpack
from nqm.moments.loss import checked_horizons
from nqm.quadratic import NoisyQuadratic
from nqm.validate import Array

CHUNK = 300_000
"""Numbers that one array of a chunk of directions may hold: about what a cache holds."""
MEMORY = 10**8
"""Numbers that one trajectory may hold."""
KERNEL, MOMENTS = (True, True), (True, False, True)
"""Which parts of (k, c) and of (Pi, X, Z) are symmetric, and so stored by half."""


class GradientVariance(NamedTuple):
    """Mean and variance of the sampled meta-gradient.

    The leading axes are those of `nominal_step` and of `horizon`, where these are sequences.

    Attributes
    ----------
    preconditioner : (..., N, N) array
        Var dL/dP_ij of each entry.
    nominal_step : (...) array
        Var dL/dalpha.
    trace : (...) array
        The sum over P, which Figure 2a plots.
    mean : MetaGradient
        The expectation, by the same pass.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import GradientVariance, NoisyQuadratic, meta_gradient_variance
    >>> model = NoisyQuadratic(np.diag([1.0, 2.0]), np.eye(2))
    >>> found = meta_gradient_variance(model, 0.5, horizon=[1, 8])
    >>> isinstance(found, GradientVariance), found.preconditioner.shape
    (True, (2, 2, 2))
    >>> bool(np.allclose(np.sum(found.preconditioner, axis=(1, 2)), found.trace))
    True
    """

    preconditioner: Array
    nominal_step: Array
    trace: Array
    mean: MetaGradient


def meta_gradient_variance(
    model: NoisyQuadratic,
    nominal_step: float | Sequence[float],
    preconditioner: ArrayLike | None = None,
    *,
    horizon: int | Sequence[int],
) -> GradientVariance:
    """T^2 Var g_E = sum_t tr(L_t^T S L_t Px_t) + 2 tr(W_t S W_t S), and what phi_0 adds.

    With j = T - t: W_t = B^T K_{j-1} B, L_t = 2 B^T K_{j-1} F - [0, H], Px_t = E x_t x_t^T, and k
    the phi-phi block of K_T. Directions are e_i e_j^T for each entry of P, and I for alpha. The
    initial parameters, which add 2 tr(k S0 k S0) + 4 m^T k S0 k m, are drawn independently for each
    sample; for a fixed phi_0 pass a model whose initial covariance is zero. All horizons of Figure
    2a, (A.31), come from one pass. Time and memory are
    O(T N^3) for each of the N^2 + 1 directions, T counted until the moments settle.

    Parameters
    ----------
    model : NoisyQuadratic
    nominal_step : float or sequence of float
        alpha.
    preconditioner : (N, N) array, optional
        P, any real matrix. Default: zero.
    horizon : int or sequence of int
        T >= 1.

    Returns
    -------
    GradientVariance
        Infinite where float64 cannot hold the variance.

    Raises
    ------
    ValueError
        If an argument is malformed, a horizon is below 1, or a trajectory needs more than 1e8
        numbers.

    Examples
    --------
    One step in one dimension: g = -h (phi_0 - xi_0) h ((1 - a h) phi_0 + a h xi_0 - xi_1). Without
    noise that is -h^2 (1 - a h) phi_0^2, and Var phi_0^2 = 2 for a standard normal phi_0:

    >>> from nqm import NoisyQuadratic, meta_gradient_variance
    >>> model = NoisyQuadratic([[2.0]], initial_covariance=[[1.0]])
    >>> variance = meta_gradient_variance(model, 0.25, horizon=1)
    >>> float(variance.trace) == 2 * (2**2 * (1 - 0.25 * 2)) ** 2
    True
    """
    horizons, n = checked_horizons(horizon, 1), model.dimension
    alphas = [validate.scalar("nominal_step", a) for a in np.ravel(nominal_step)]
    P = np.zeros((n, n)) if preconditioner is None else preconditioner
    P = validate.square("preconditioner", P, n)
    entries = np.eye(n * n).reshape(n * n, n, n)
    E = np.concatenate([entries, np.eye(n)[None]])
    M = P + np.array(alphas)[:, None, None] * np.eye(n)
    settled = np.array([_settling_time(np.eye(n) - m @ model.hessian, max(horizons)) for m in M])
    if max(settled) * 3 * n * n > MEMORY:
        raise ValueError(
            f"horizon must be shorter where the update does not settle; {max(settled)} steps at "
            f"N = {n} need more than {MEMORY} numbers. Pass a smaller horizon."
        )
    which, entry = np.divmod(np.arange(len(alphas) * len(E)), len(E))
    values = np.empty((2, which.size, len(horizons)))
    with np.errstate(over="ignore", invalid="ignore"):
        for chunk in _chunks(settled[which], 3 * n * n):
            batch = _Directions(model, M[which[chunk]], E[entry[chunk]])
            values[:, chunk] = batch.cumulants(horizons, int(max(settled[which[chunk]])))
    # (2, alphas * directions, horizons) -> (2, alphas, horizons, directions)
    values = np.swapaxes(values.reshape(2, len(alphas), len(E), -1), 2, 3)
    lead = np.shape(nominal_step) + np.shape(horizon)
    matrices = values[..., :-1].reshape(2, *lead, n, n)
    scalars = values[..., -1].reshape(2, *lead)
    trace = np.sum(matrices[1], axis=(-2, -1))
    return GradientVariance(matrices[1], scalars[1], trace, MetaGradient(matrices[0], scalars[0]))


class _Directions:
    """A batch of (M, E): the linear maps of the recursion, and what they sum to."""

    def __init__(self, model: NoisyQuadratic, M: Array, E: Array) -> None:
        self.model, self.n, H = model, model.dimension, model.hessian
        self.H, self.MH, self.EH = H, M @ H, E @ H
        self.A = np.eye(self.n) - self.MH
        values, vectors = np.linalg.eigh(model.noise_covariance)
        self.root = vectors * np.sqrt(np.maximum(values, 0.0))  # S = root root^T

    def kernel_step(self, y: Array) -> Array:
        """(k, c) of F^T K F; arrays are (batch, many, parts, N, N)."""
        A, EH = self.A[:, None], self.EH[:, None]
        k, c = y[:, :, 0], y[:, :, 1]
        half = (transposed(A) @ k / 2 - transposed(EH) @ c) @ A
        return np.stack([half + transposed(half), transposed(A) @ c @ A], axis=2)

    def moment_step(self, y: Array) -> Array:
        """(Pi, X, Z) of F Px F^T."""
        A, EH = self.A[:, None], self.EH[:, None]
        Pi, X, Z = y[:, :, 0], y[:, :, 1], y[:, :, 2]
        AX, EHX = A @ X @ transposed(A), EH @ X @ transposed(A)
        Z = EH @ Pi @ transposed(EH) - EHX - transposed(EHX) + A @ Z @ transposed(A)
        return np.stack([A @ Pi @ transposed(A), AX - A @ Pi @ transposed(EH), Z], axis=2)

    def gain(self, y: Array) -> Array:
        """root^T [L1, L2 + H] and root^T W root of (k, c)."""
        A, EH, MH = self.A[:, None], self.EH[:, None], self.MH[:, None]
        k, c, R = y[:, :, 0], y[:, :, 1], self.root
        phi = transposed(MH) @ k + transposed(EH) @ c
        s = transposed(MH) @ c
        W = phi @ MH + s @ EH
        return np.stack([2 * R.T @ (phi @ A - s @ EH), 2 * R.T @ s @ A, R.T @ W @ R], axis=2)

    def second_moments(self, count: int) -> Array:
        """(Pi, X, Z) of x_t for t < count."""
        S, zero = self.model.noise_covariance, np.zeros_like(self.A)
        MHS, EHS = self.MH @ S, self.EH @ S
        noise = np.stack(
            [MHS @ transposed(self.MH), MHS @ transposed(self.EH), EHS @ transposed(self.EH)],
            axis=1,
        )
        start = np.stack([zero + self.model.initial_second_moment, zero, zero], axis=1)
        return orbit_of(self.moment_step, MOMENTS, start, noise, count)

    def weights(self, gains: Array) -> Array:
        """L^T S L, packed like (Pi, X, Z), with time reversed; gains are root^T [L1, L2, W]."""
        n, (batch, *_, time) = self.n, gains.shape
        pick, spread = packing(MOMENTS, n)
        copies = np.bincount(spread)
        backward = np.empty((batch, pick.size, time))
        for place, (entry, times) in enumerate(zip(pick, copies, strict=True)):
            part, a, c = np.unravel_index(entry, (3, n, n))
            left, right = gains[:, part // 2, :, a], gains[:, (part + 1) // 2, :, c]
            np.einsum("bit,bit->bt", left, right, out=backward[:, place, ::-1])
            if part == 1 or times == 2:  # the cross term and an off-diagonal entry count twice
                backward[:, place] *= 2
        return backward

    def cumulants(self, horizons: list[int], settled: int) -> Array:
        """Mean and variance of g_E, (2, batch, horizons); nothing changes after `settled` steps."""
        n, batch, model = self.n, len(self.A), self.model
        T, zero = np.array(horizons, dtype=float), np.zeros((batch, n, n))
        reached = np.minimum(horizons, settled)
        late = T - reached
        seed = np.stack([zero, zero + self.H / 2], axis=1)
        kernel = orbit_of(self.kernel_step, KERNEL, seed, seed, settled + 1)
        gains = np.zeros((batch, 3, n, n, settled + 1))  # at index j what K_{j-1} gives
        gains[..., 1:] = apply(self.gain, KERNEL, kernel[..., :-1], n)
        gains[:, 1] -= (self.root.T @ self.H)[..., None]
        paths = _convolve(self.weights(gains), self.second_moments(settled + 1), horizons)
        trace = np.einsum("biit->bt", gains[:, 2])
        square = 2 * np.einsum("bijt,bijt->bt", gains[:, 2], gains[:, 2])
        ahead, spread = (
            np.cumsum(x, axis=1)[:, reached] + np.where(late > 0, x[:, -1:] * late, 0.0)
            for x in (trace, square)
        )
        k = np.moveaxis(unpack(kernel[..., reached], KERNEL, n)[:, 0], -1, 1)
        S0, m = model.initial_covariance, model.initial_mean
        kS0 = k @ S0
        start = 2 * np.einsum("btij,btji->bt", kS0, kS0) + 4 * (kS0 @ k @ m) @ m
        mean = np.einsum("btij,ji->bt", k, model.initial_second_moment) + ahead
        variance = paths + spread + start
        variance[~np.isfinite(variance)] = np.inf
        return np.stack([mean / T, variance / T**2])


def _settling_time(A: Array, longest: int) -> int:
    """Steps s <= longest after which every moment and value function is constant to 2^-64.

    They move by congruences with F^s, whose blocks are A^s and at most s ||H|| ||A^s|| in size.
    """
    radius = float(np.max(np.abs(np.linalg.eigvals(A))))
    if radius >= 1:
        return longest
    steps = 1 if radius == 0 else math.ceil(-30 / math.log2(radius))
    while steps < longest:
        norm = float(np.linalg.norm(np.linalg.matrix_power(A, steps)))
        if (steps * norm) ** 2 < 2.0**-64:
            return steps
        steps += steps // 4 + 1
    return longest


def _chunks(sizes: NDArray[np.intp], width: int) -> Iterator[NDArray[np.intp]]:
    """The indices by ascending size, so that an array of each chunk holds about CHUNK numbers."""
    order = np.argsort(sizes, kind="stable")
    while order.size:
        used = np.arange(1, order.size + 1) * (sizes[order] + 1) * width
        count = max(1, int(np.searchsorted(used, CHUNK)))
        yield order[:count]
        order = order[count:]


def _convolve(backward: Array, second: Array, horizons: list[int]) -> Array:
    """sum_{t=0..T} <G_{T-t}, Px_t> for each T, where G (stored in reverse) and Px settle."""
    settled = second.shape[-1] - 1
    result = np.empty((len(second), len(horizons)))
    late = np.cumsum(np.einsum("bct,bc->bt", backward, second[..., -1])[:, ::-1], axis=1)
    early = np.cumsum(np.einsum("bct,bc->bt", second, backward[..., 0]), axis=1)
    for i, T in enumerate(horizons):
        if 2 * settled <= T:  # the two settle one after the other
            both = np.einsum("bc,bc->b", backward[..., 0], second[..., -1])
            result[:, i] = late[:, -1] + early[:, -1] + (T - 2 * settled - 1) * both
            continue
        extra = max(0, T - settled)  # steps at which one of the two has settled
        w = backward[..., settled - min(T, settled) : backward.shape[-1] - extra]
        result[:, i] = np.einsum("bct,bct->b", w, second[..., extra : min(T, settled) + 1])
        if extra:
            result[:, i] += early[:, extra - 1] + late[:, extra - 1]
    return result
