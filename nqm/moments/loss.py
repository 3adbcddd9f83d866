"""Expected loss of any linear update rule, at any horizon, in O(log T) matrix products.

Letters: x' = F x + B xi, phi = C x, x_0 = E phi_0 (the UpdateRule); H, S, m, S0 of the model;
Pi_0 = S0 + m m^T; W = C^T H C; Q = B S B^T. The functions take their namespace from their
arguments: under JAX, the horizon must be a Python integer.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from nqm.moments.powers import add, congruence, scaled, taking_part, times
from nqm.moments.summed_loss import System, total_losses
from nqm.namespace import AnyArray, common
from nqm.quadratic import NoisyQuadratic
from nqm.rules.linear import UpdateRule
from nqm.untrusted import quoted

LONGEST = 10**300


class Quadratic(Protocol):
    """What the moments read of a model: NoisyQuadratic, or any tuple with these four arrays."""

    @property
    def hessian(self) -> AnyArray:
        """H."""

    @property
    def noise_covariance(self) -> AnyArray:
        """S, the covariance of the minimum."""

    @property
    def initial_mean(self) -> AnyArray:
        """The mean of phi_0."""

    @property
    def initial_covariance(self) -> AnyArray:
        """The covariance of phi_0."""


class ExpectedLoss(NamedTuple):
    """The mean over t = 1..T of the expected loss (4), and its logarithm.

    Attributes
    ----------
    value : scalar or (len(horizon),) array
        The loss; inf where the dtype cannot hold it.
    log : like `value`
        Its natural logarithm, finite wherever the loss is positive.
    relative_error : like `value`
        First-order estimate N eps a of the rounding, a the number of steps that count: T, or
        the steps after which F^t has vanished if these are fewer. No bound where F is far from
        normal: a defective F with rho = 1 can lose the condition of its powers on top.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import ExpectedLoss, NoisyQuadratic, expected_loss, plain_rule
    >>> model = NoisyQuadratic([[1.0]], [[1.0]], [1.0])
    >>> loss = expected_loss(model, plain_rule(model.hessian, None, 0.5), 10)
    >>> isinstance(loss, ExpectedLoss), bool(np.isclose(np.exp(loss.log), loss.value))
    (True, True)
    """

    value: AnyArray
    log: AnyArray
    relative_error: AnyArray


def checked_model(model: Quadratic) -> Quadratic:
    """The model, whose NumPy arrays are checked as those of a NoisyQuadratic are.

    Arrays of another namespace pass: their values may not be known yet.
    """
    if isinstance(model, NoisyQuadratic):
        return model
    arrays = (
        model.hessian,
        model.noise_covariance,
        model.initial_mean,
        model.initial_covariance,
    )
    _, (hessian, *_) = common(*arrays)
    return NoisyQuadratic(*arrays) if isinstance(hessian, np.ndarray) else model


def checked_horizons(horizon: int | Sequence[int], smallest: int) -> list[int]:
    """The horizons as a list of integers, each from `smallest` to 1e300."""
    given = np.ravel(np.asarray(horizon, dtype=object)).tolist()
    try:
        if any(isinstance(h, (bool, np.bool_)) for h in given):
            raise TypeError
        horizons = [operator.index(h) for h in given]
    except TypeError:
        raise ValueError(
            f"horizon must be an integer or a list of integers; it is {quoted(horizon)}. Pass "
            "an int."
        ) from None
    if not horizons or min(horizons) < smallest or max(horizons) > LONGEST:
        raise ValueError(
            f"horizon must be from {smallest} to 1e300; it is {quoted(horizon)}. Count from phi_0."
        )
    return horizons


def expected_loss(
    model: Quadratic,
    rule: UpdateRule,
    horizon: int | Sequence[int],
    *,
    noisy_minimum: bool = True,
) -> ExpectedLoss:
    """(1/T) sum_{t=1..T} 1/2 E[(phi_t - xi_t)^T H (phi_t - xi_t)], in O(log T) products.

    Equation (8) with the factor 1/2 of (4) that it lacks, for a fixed or a random phi_0. No
    horizon overflows `log`.

    Parameters
    ----------
    model : NoisyQuadratic
        Or any object with its four arrays; under JAX, a NamedTuple of them.
    rule : UpdateRule
        The linear update.
    horizon : int or sequence of int
        T >= 1. A sequence gives an array for each attribute of the result.
    noisy_minimum : bool
        False for the convention of footnote 1, a loss 1/2 phi^T H phi whose gradient alone is
        noisy (`NoisyQuadratic.with_gradient_noise`): the same less 1/2 tr(H S).

    Returns
    -------
    ExpectedLoss

    Raises
    ------
    ValueError
        If a horizon is below 1 or no integer, or an array of a NumPy model malformed.

    Examples
    --------
    A frozen optimizer keeps the loss of phi_0, 1/2 tr H (Pi_0 + S):

    >>> import numpy as np
    >>> from nqm import NoisyQuadratic, expected_loss, plain_rule
    >>> model = NoisyQuadratic(np.diag([1.0, 3.0]), np.eye(2), [1.0, 1.0])
    >>> float(expected_loss(model, plain_rule(model.hessian, None, 0.0), 1000).value)
    4.0

    At spectral radius 2 the logarithm grows by 2 log 2 a step:

    >>> rule = plain_rule(model.hessian, None, 1.0)
    >>> losses = expected_loss(model, rule, [1000, 1_000_000])
    >>> bool(np.isclose(losses.log[1] / 1_000_000, 2 * np.log(2), rtol=1e-4))
    True
    """
    horizons = checked_horizons(horizon, 1)
    losses = _losses(checked_model(model), rule, horizons, noisy_minimum)
    if np.ndim(horizon) == 0:
        return losses[0]
    xp, _ = common(losses[0].value)
    return ExpectedLoss(*(xp.stack(list(column)) for column in zip(*losses, strict=True)))


def _is_identity(matrix: AnyArray) -> bool:
    """Whether a product with it can be left out; under JAX it is left in."""
    return isinstance(matrix, np.ndarray) and np.array_equal(matrix, np.eye(len(matrix)))


def _losses(
    model: Quadratic, rule: UpdateRule, horizons: list[int], noisy_minimum: bool
) -> list[ExpectedLoss]:
    """One ascent for all horizons; Pi_1 = F E Pi_0 E^T F^T + Q."""
    xp, (F, B, C, E, H, S, m, S0) = common(
        *rule, model.hessian, model.noise_covariance, model.initial_mean, model.initial_covariance
    )
    weight = H if _is_identity(C) else C.T @ H @ C
    second = scaled(xp, S0 + m[:, None] * m[None, :])
    if not _is_identity(E):
        second = congruence(second, scaled(xp, E.T))
    noise = congruence(scaled(xp, S), scaled(xp, B.T))
    kept = taking_part(F, noise.hat + second.hat, weight)
    if len(kept) < F.shape[0]:
        part = np.ix_(kept, kept)
        F, weight = F[part], weight[part]
        noise, second = (x._replace(hat=x.hat[part]) for x in (noise, second))
    floor = scaled(xp, xp.sum(H * S) / 2 if noisy_minimum else xp.zeros_like(H[0, 0]))
    first = add(xp, congruence(second, scaled(xp, F.T)), noise)
    system = System(scaled(xp, F), noise, scaled(xp, weight), 1)
    found = {}
    for T, (total, steps) in total_losses(xp, system, first, horizons).items():
        loss = add(xp, times(0.5 / T, total), floor)
        error = F.shape[0] * xp.finfo(F.dtype).eps * steps
        found[T] = ExpectedLoss(loss.value(xp), loss.log(xp), xp.zeros_like(loss.hat) + error)
    return [found[T] for T in horizons]
