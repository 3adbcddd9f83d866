"""Monte Carlo of an update rule on the noisy quadratic: the oracle for the closed forms.

Letters: x' = F x + B xi, phi = C x, x_0 = E phi_0 with xi_t ~ N(0, S) and phi_0 ~ N(m, S0).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nqm import validate
from nqm.moments.loss import Quadratic, checked_model
from nqm.namespace import common
from nqm.rules.linear import UpdateRule
from nqm.validate import Array


class Trajectories(NamedTuple):
    """Independent runs of one rule.

    Attributes
    ----------
    parameters : (seeds, T + 1, N) array
        phi_0 … phi_T.
    noise : (seeds, T + 1, N) array
        xi_0 … xi_T.
    losses : (seeds, T + 1) array
        1/2 (phi_t - xi_t)^T H (phi_t - xi_t); the meta-loss is the mean over t = 1..T.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import Trajectories
    >>> runs = Trajectories(np.zeros((1, 3, 1)), np.zeros((1, 3, 1)), np.array([[9.0, 1.0, 3.0]]))
    >>> runs.meta_losses.tolist()
    [2.0]
    """

    parameters: Array
    noise: Array
    losses: Array

    @property
    def meta_losses(self) -> Array:
        """The mean loss over t = 1..T of each run; (seeds,)."""
        return np.mean(self.losses[:, 1:], axis=1)


def covariance_root(covariance: Array) -> Array:
    """R with R R^T = covariance, for a semidefinite matrix too.

    >>> import numpy as np
    >>> R = covariance_root(np.ones((2, 2)))
    >>> bool(np.allclose(R @ R.T, 1))
    True
    """
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def sample_trajectories(
    model: Quadratic, rule: UpdateRule, horizon: int, *, seeds: int, rng: np.random.Generator
) -> Trajectories:
    """Runs of x_{t+1} = F x_t + B xi_t, phi_t = C x_t, with the losses (4) along them.

    Parameters
    ----------
    model : NoisyQuadratic
    rule : UpdateRule
    horizon : int
        T >= 1.
    seeds : int
        The number of runs; all of them advance together.
    rng : numpy.random.Generator
        The source of phi_0 and of the noise.

    Returns
    -------
    Trajectories

    Raises
    ------
    ValueError
        If the horizon or the number of seeds is below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from nqm import NoisyQuadratic, plain_rule, sample_trajectories
    >>> model = NoisyQuadratic(np.diag([1.0, 2.0]), np.eye(2), [1.0, 1.0])
    >>> rule = plain_rule(model.hessian, None, 0.5)
    >>> runs = sample_trajectories(model, rule, 3, seeds=4, rng=np.random.default_rng(0))
    >>> A, phi, xi = rule.joint_matrix, runs.parameters, runs.noise
    >>> bool(np.allclose(phi[:, 3], phi[:, 2] @ A.T + xi[:, 2] @ (np.eye(2) - A).T))
    True
    """
    T, count = (
        validate.whole_number("horizon", horizon, 1),
        validate.whole_number("seeds", seeds, 1),
    )
    model = checked_model(model)
    n = model.hessian.shape[0]
    _, (F, B, C, E) = common(*rule)
    noise = rng.standard_normal((count, T + 1, n)) @ covariance_root(model.noise_covariance).T
    start = rng.standard_normal((count, n)) @ covariance_root(model.initial_covariance).T
    state = (start + model.initial_mean) @ E.T
    parameters = np.empty((count, T + 1, n))
    parameters[:, 0] = state @ C.T
    for t in range(T):
        state = state @ F.T + noise[:, t] @ B.T
        parameters[:, t + 1] = state @ C.T
    error = parameters - noise
    losses = np.sum((error @ model.hessian) * error, axis=2) / 2
    return Trajectories(parameters, noise, losses)
