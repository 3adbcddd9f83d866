"""Monte Carlo of the meta-gradient, beside its exact mean and variance.

Letters: A = I - M H, e_t = phi_t - xi_t, s_t^ij = d phi_t / dP_ij: s_0 = 0,
s_{t+1}^ij = A s_t^ij - u_i (H e_t)_j with u_i the i-th unit vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nqm import validate
from nqm.moments.loss import checked_horizons
from nqm.moments.simulation import covariance_root
from nqm.quadratic import NoisyQuadratic
from nqm.validate import Array


class GradientSamples(NamedTuple):
    """Sampled derivatives of the meta-loss; `trace` is that of their variance (A.32).

    Attributes
    ----------
    preconditioner : (..., seeds, N, N) array
        dL/dP of each sample; the leading axes are those of `nominal_step` and of `horizon`,
        where these are sequences.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import GradientSamples
    >>> samples = GradientSamples(np.stack([np.eye(2), -np.eye(2)]))
    >>> samples.nominal_step.tolist(), float(samples.trace)
    ([2.0, -2.0], 4.0)
    """

    preconditioner: Array

    @property
    def nominal_step(self) -> Array:
        """dL/dalpha = tr dL/dP of each sample; (..., seeds)."""
        return np.einsum("...ii->...", self.preconditioner)

    @property
    def trace(self) -> Array:
        """The empirical trace of the variance over P, (A.32) without its bias of 1 - 1/N."""
        return np.sum(np.var(self.preconditioner, axis=-3, ddof=1), axis=(-2, -1))


def sample_meta_gradients(
    model: NoisyQuadratic,
    nominal_step: float | Sequence[float],
    preconditioner: ArrayLike | None = None,
    *,
    horizon: int | Sequence[int],
    seeds: int,
    rng: np.random.Generator,
) -> GradientSamples:
    """dL/dP_ij = (1/T) sum_{t=1..T} s_t^ij . H (phi_t - xi_t), sampled by forward sensitivities.

    These are the samples of (A.32) and (A.33). One pass over the longest horizon serves all of
    them. phi_0 is drawn independently for each sample;
    the nominal steps share the draws.

    Parameters
    ----------
    model : NoisyQuadratic
    nominal_step : float or sequence of float
        alpha.
    preconditioner : (N, N) array, optional
        P, any real matrix. Default: zero.
    horizon : int or sequence of int
        T >= 1.
    seeds : int
        The number of samples.
    rng : numpy.random.Generator
        The source of phi_0 and of the noise.

    Returns
    -------
    GradientSamples

    Raises
    ------
    ValueError
        If an argument is malformed.

    Examples
    --------
    Without noise a sample is the derivative itself:

    >>> import numpy as np
    >>> from nqm import NoisyQuadratic, expected_meta_gradient, sample_meta_gradients
    >>> model = NoisyQuadratic(np.diag([1.0, 2.0]), initial_mean=[1.0, 1.0])
    >>> rng = np.random.default_rng(0)
    >>> samples = sample_meta_gradients(model, 0.5, horizon=3, seeds=2, rng=rng)
    >>> exact = expected_meta_gradient(model, 0.5, horizon=3).preconditioner
    >>> bool(np.allclose(samples.preconditioner, exact))
    True
    """
    horizons, n = checked_horizons(horizon, 1), model.dimension
    count, H = validate.whole_number("seeds", seeds, 1), model.hessian
    alphas = np.array([validate.scalar("nominal_step", a) for a in np.ravel(nominal_step)])
    P = np.zeros((n, n)) if preconditioner is None else preconditioner
    M = validate.square("preconditioner", P, n) + alphas[:, None, None] * np.eye(n)
    A, root = np.eye(n) - M @ H, covariance_root(model.noise_covariance)
    start = covariance_root(model.initial_covariance) @ rng.standard_normal((n, count))
    phi = np.broadcast_to(start + model.initial_mean[:, None], (len(alphas), n, count))
    s = np.zeros((len(alphas), n, n, n, count))  # s[alpha, :, i, j, sample] = s^ij
    total, diagonal = np.zeros_like(s[:, 0]), np.arange(n)
    found = np.empty((len(alphas), len(horizons), count, n, n))
    for t in range(max(horizons) + 1):
        slope = H @ (phi - root @ rng.standard_normal((n, count)))
        total += np.sum(s * slope[:, :, None, None], axis=1)
        for i in (i for i, T in enumerate(horizons) if t == T):
            found[:, i] = np.moveaxis(total, -1, 1) / t
        s = (A @ s.reshape(len(alphas), n, -1)).reshape(s.shape)
        s[:, diagonal, diagonal] -= slope[:, None]
        phi = phi - M @ slope
    lead = np.shape(nominal_step) + np.shape(horizon)
    return GradientSamples(found.reshape(*lead, count, n, n))
