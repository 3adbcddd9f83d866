"""The meta-gradient of a linear optimizer on the noisy quadratic model, without sampling.

`nqm` counts the losses at ``t = 1 .. T``, after each step; meta-training counts those at ``t = 0
.. T-1``, each on the batch of the step that follows. In both the noise of a loss is independent of
the parameters that it is measured at, so that they share every term but the first and the last.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

import nqm
from lopt.meta.estimators import Count, Estimate, MetaParameters
from nqm.moments.loss import Quadratic, checked_horizons
from nqm.namespace import common


def expected_meta_loss(
    model: Quadratic, preconditioner: Any, nominal_step: Any, *, horizon: int
) -> Any:
    """``(1/T) sum_{t=0..T-1} 1/2 E[(phi_t - xi_t)^T H (phi_t - xi_t)]`` of equations (3) to (6).

    Parameters
    ----------
    model : nqm.NoisyQuadratic
        Or any object with its four arrays.
    preconditioner : (N, N) array
        P of ``phi' = phi - (alpha I + P) H (phi - xi)``. A NumPy array for float64 on the host; a
        JAX array, inside ``jit`` too, for its own dtype.
    nominal_step : scalar
        alpha.
    horizon : int
        T >= 1.

    Returns
    -------
    scalar array
        Infinite where the dtype cannot hold it.

    Raises
    ------
    ValueError
        If the horizon is below 1 or no integer.

    Examples
    --------
    With one step an episode theta has no say; the loss is that of phi_0, h (m^2 + s) / 2:

    >>> model = nqm.NoisyQuadratic([[2.0]], [[3.0]], [5.0])
    >>> float(expected_meta_loss(model, [[0.1]], 0.2, horizon=1)) == 2 * (5.0**2 + 3.0) / 2
    True
    """
    (T,) = checked_horizons(horizon, 1)
    xp, (H, S, m, S0, P) = common(
        model.hessian,
        model.noise_covariance,
        model.initial_mean,
        model.initial_covariance,
        preconditioner,
    )
    first = xp.sum(H * (S0 + m[:, None] * m[None, :] + S)) / 2
    if T == 1:
        return first
    later = nqm.expected_loss(model, nqm.plain_rule(H, P, nominal_step), T - 1).value
    return (first + (T - 1) * later) / T


def expected_meta_gradient(
    model: Quadratic, preconditioner: Any, nominal_step: Any, *, horizon: int
) -> Any:
    """The derivative of `expected_meta_loss` in P, ``(N, N)``; in alpha it is the trace of that.

    Parameters, errors and dtypes are those of `expected_meta_loss`.

    Examples
    --------
    Two steps in one dimension: L = h [m^2 + (1 - a h)^2 m^2 + ...] / 4 without noise.

    >>> h, m, a = 2.0, 5.0, 0.125
    >>> model = nqm.NoisyQuadratic([[h]], None, [m])
    >>> gradient = expected_meta_gradient(model, [[0.0]], a, horizon=2)
    >>> gradient.item() == -(h**2) * (1 - a * h) * m**2 / 2
    True
    """
    (T,) = checked_horizons(horizon, 1)
    xp, (P,) = common(preconditioner)
    if T == 1:
        return xp.zeros_like(P)
    later = nqm.expected_meta_gradient(model, nominal_step, P, horizon=T - 1)
    return later.preconditioner * ((T - 1) / T)


@dataclass(frozen=True, eq=False)
class ExactMetaGradient:
    """The meta-gradient in P behind the interface of the estimators: exact, with no variance.

    Parameters
    ----------
    model
        The noisy quadratic that the inner problem is.
    nominal_step
        alpha.
    horizon
        Inner steps an episode.

    Examples
    --------
    >>> model = nqm.NoisyQuadratic([[2.0]], None, [5.0])
    >>> exact = ExactMetaGradient(model, 0.125, horizon=2)
    >>> P = jnp.zeros((1, 1))
    >>> estimate, _ = exact.estimate(P, exact.init(P, jax.random.key(0)), (), jax.random.key(1))
    >>> float(estimate.gradient[0, 0]), float(estimate.meta_loss)
    (-37.5, 19.53125)
    """

    model: Quadratic
    nominal_step: float
    horizon: int

    def __post_init__(self) -> None:
        checked_horizons(self.horizon, 1)

    @property
    def inner_steps(self) -> int:
        """The number of inner steps of one estimate: 0, as the loss is known in closed form."""
        return 0

    def init(self, theta: MetaParameters, key: jax.Array) -> Count:
        """A count of zero."""
        del theta, key
        return Count.zero(1)

    def estimate(
        self,
        theta: MetaParameters,
        state: Count,
        data: Any,
        key: jax.Array,
        first: jax.Array | int = 0,
    ) -> tuple[Estimate, Count]:
        """The gradient at P = `theta`; nothing is drawn."""
        del data, key, first
        P, steps = jnp.asarray(theta), {"horizon": self.horizon}
        loss = expected_meta_loss(self.model, P, self.nominal_step, **steps)
        estimate = Estimate(
            gradient=expected_meta_gradient(self.model, P, self.nominal_step, **steps),
            meta_loss=loss,
            diverged=1.0 - jnp.isfinite(loss).astype(loss.dtype),
            nonfinite_step=jnp.full(state.outer_step.shape, -1, jnp.int32),
        )
        return estimate, Count(state.outer_step + 1)
