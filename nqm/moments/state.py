"""Mean and covariance of the parameters under any linear update rule, in O(log T) products.

Letters: x' = F x + B xi, phi = C x, x_0 = E phi_0 (the UpdateRule); S, m, S0 of the model;
Q = B S B^T. Under JAX, the horizon must be a Python integer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nqm.moments.loss import Quadratic, checked_horizons, checked_model
from nqm.moments.powers import Scaled, add, congruence, is_negligible, product, scaled, taking_part
from nqm.namespace import AnyArray, Namespace, common
from nqm.rules.linear import UpdateRule


class Moments(NamedTuple):
    """Mean and covariance of the parameters, each times its power of two.

    Attributes
    ----------
    mean : (N,) array
    covariance : (N, N) array
    mean_exponent, covariance_exponent : scalar
        The mean is `mean` * 2**`mean_exponent`, the covariance `covariance` *
        2**`covariance_exponent`; both exponents are 0 unless the dtype would overflow.

    Examples
    --------
    Doubling 2000 times, from one:

    >>> import numpy as np
    >>> from nqm import Moments, NoisyQuadratic, memoryless_rule, parameter_moments
    >>> model = NoisyQuadratic([[1.0]], None, [1.0])
    >>> found = parameter_moments(model, memoryless_rule(np.array([[2.0]])), 2000)
    >>> isinstance(found, Moments), float(np.log2(found.mean[0]) + found.mean_exponent)
    (True, 2000.0)
    """

    mean: AnyArray
    covariance: AnyArray
    mean_exponent: AnyArray
    covariance_exponent: AnyArray


def parameter_moments(model: Quadratic, rule: UpdateRule, horizon: int | Sequence[int]) -> Moments:
    """E phi_t = C F^t E m and Cov phi_t = C [F^t E S0 E^T F^tT + sum_{j<t} F^j Q F^jT] C^T.

    Equation (7), summed as in (A.10), with the term of a random phi_0, at t = `horizon`, in O(log
    t) products.

    Parameters
    ----------
    model : NoisyQuadratic
        Or any object with its four arrays; under JAX, a NamedTuple of them.
    rule : UpdateRule
        The linear update.
    horizon : int or sequence of int
        t >= 0. A sequence gives each attribute of the result one leading axis more.

    Returns
    -------
    Moments

    Raises
    ------
    ValueError
        If a horizon is negative or no integer.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import NoisyQuadratic, parameter_moments, plain_rule
    >>> model = NoisyQuadratic(np.diag([1.0, 2.0]), np.eye(2), [1.0, 1.0])
    >>> rule = plain_rule(model.hessian, None, 0.25)
    >>> one, two = parameter_moments(model, rule, [1, 2]).covariance
    >>> A, Q = rule.joint_matrix, rule.noise_matrix @ rule.noise_matrix.T
    >>> bool(np.allclose(two, A @ one @ A.T + Q))
    True
    """
    horizons, model = checked_horizons(horizon, 0), checked_model(model)
    arrays = common(*rule, model.noise_covariance, model.initial_mean, model.initial_covariance)
    xp, (F, B, C, E, S, m, S0) = arrays
    kept = taking_part(F, xp.concat([B @ S, E @ S0, E @ m[:, None]], axis=1), C.T)
    if len(kept) < F.shape[0]:
        F, B, C, E = F[np.ix_(kept, kept)], B[kept], C[:, kept], E[kept]
    start = Start(scaled(xp, E @ m[:, None]), scaled(xp, E @ S0 @ E.T))
    noise = congruence(scaled(xp, S), scaled(xp, B.T))
    states = _states(xp, scaled(xp, F), noise, dict.fromkeys(horizons, start))
    found = [_read(xp, states[t], C) for t in horizons]
    if np.ndim(horizon) == 0:
        return found[0]
    return Moments(*(xp.stack(list(column)) for column in zip(*found, strict=True)))


class Start(NamedTuple):
    """Mean (a column) and covariance of the joint state x_0."""

    mean: Scaled
    covariance: Scaled


def _states(xp: Namespace, F: Scaled, noise: Scaled, states: dict[int, Start]) -> dict[int, Start]:
    """x_t for each t: F^a and its noise double, and every binary one of t is such a step."""
    left = {t: t for t in states}
    while any(left.values()):
        across = Scaled(F.hat.T, F.exponent)
        if is_negligible(F):  # the 64th power of what is below 2^-36 is nothing
            left = {t: min(steps, 64) for t, steps in left.items()}
        for t, (mean, covariance) in states.items():
            if left[t] % 2:
                covariance = add(xp, congruence(covariance, across), noise)
                states[t] = Start(product(xp, F, mean), covariance)
        left = {t: steps // 2 for t, steps in left.items()}
        if any(left.values()):
            noise, F = add(xp, noise, congruence(noise, across)), product(xp, F, F)
    return states


def _read(xp: Namespace, state: Start, C: AnyArray) -> Moments:
    mean = _unscaled(xp, state.mean._replace(hat=C @ state.mean.hat))
    covariance = _unscaled(xp, state.covariance._replace(hat=C @ state.covariance.hat @ C.T))
    return Moments(mean.hat[:, 0], covariance.hat, mean.exponent, covariance.exponent)


def _unscaled(xp: Namespace, array: Scaled) -> Scaled:
    """Exponent 0 where the dtype can hold the array."""
    value = array.value(xp)
    fits = xp.all(xp.isfinite(value))
    exponent = xp.where(fits, xp.zeros_like(array.exponent), array.exponent)
    return Scaled(xp.where(fits, value, array.hat), exponent)
