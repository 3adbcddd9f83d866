"""The dense oracle: everything as quadratic forms in omega = (phi_0, xi_0, …, xi_T).

omega ~ N(mu, Omega) with mu = (m, 0, …) and Omega = blockdiag(S0, S, …, S). Nothing here knows of
recursions for moments: E omega^T M omega = tr(M Omega) + mu^T M mu, and the variance of that form
is 2 tr(M Omega M Omega) + 4 mu^T M Omega M mu.
"""

from typing import NamedTuple

import numpy as np
import scipy.linalg

from nqm import NoisyQuadratic, UpdateRule


class Gaussian(NamedTuple):
    mean: np.ndarray
    covariance: np.ndarray

    def expectation(self, form: np.ndarray) -> float:
        return float(np.sum(form * self.covariance) + self.mean @ form @ self.mean)

    def variance(self, form: np.ndarray) -> float:
        form = form / 2 + form.T / 2
        spread = form @ self.covariance
        return float(2 * np.sum(spread * spread.T) + 4 * self.mean @ spread @ form @ self.mean)


def omega(model: NoisyQuadratic, T: int) -> Gaussian:
    blocks = [model.initial_covariance] + [model.noise_covariance] * (T + 1)
    mean = np.zeros(model.dimension * (T + 2))
    mean[: model.dimension] = model.initial_mean
    return Gaussian(mean, scipy.linalg.block_diag(*blocks))


def pick(n: int, T: int, block: int) -> np.ndarray:
    """The matrix that reads block 0 (phi_0) or 1 + t (xi_t) from omega."""
    return np.eye(n * (T + 2))[n * block : n * (block + 1)]


def parameters(rule: UpdateRule, n: int, T: int) -> list[np.ndarray]:
    """The matrices that give phi_0 … phi_T from omega; complex rules are welcome."""
    F, B, C, E = rule
    state, found = E @ pick(n, T, 0), []
    for t in range(T + 1):
        found.append(C @ state)
        state = F @ state + B @ pick(n, T, 1 + t)
    return found


def loss_form(model: NoisyQuadratic, rule: UpdateRule, T: int) -> np.ndarray:
    """The mean over t = 1..T of the losses (4), as a form in omega."""
    n, H = model.dimension, model.hessian
    errors = [p - pick(n, T, 1 + t) for t, p in enumerate(parameters(rule, n, T))]
    return sum(e.T @ H @ e for e in errors[1:]) / (2 * T)


def gradient_form(
    model: NoisyQuadratic, step_matrix: np.ndarray, direction: np.ndarray, T: int
) -> np.ndarray:
    """d/dM of `loss_form` along a direction, by a complex step: exact to rounding."""
    n, tiny = model.dimension, 1e-30
    A = np.eye(n) - (step_matrix + 1j * tiny * direction) @ model.hessian
    rule = UpdateRule(A, np.eye(n) - A, np.eye(n), np.eye(n))
    return loss_form(model, rule, T).imag / tiny
