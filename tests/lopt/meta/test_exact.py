"""The exact meta-gradient on the noisy quadratic model, and PES around it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lopt
import nqm
from lopt.meta.estimators import PES, FullBackprop
from lopt.meta.estimators.exact import ExactMetaGradient, expected_meta_gradient, expected_meta_loss
from tests.lopt.meta.walk import jit, singles, z

MODEL = nqm.NoisyQuadratic(
    [[2.0, 0.5], [0.5, 1.0]], [[0.3, 0.1], [0.1, 0.2]], [1.0, -1.0], [[0.2, 0.05], [0.05, 0.1]]
)
P = np.array([[0.05, -0.1], [0.2, 0.1]])
ALPHA, HORIZON = 0.2, 7


def loss(phi: jax.Array, key: jax.Array, batch: Any) -> jax.Array:
    root = jnp.asarray(np.linalg.cholesky(MODEL.noise_covariance), phi.dtype)
    error = phi - root @ jax.random.normal(key, (2,), phi.dtype)
    return error @ jnp.asarray(MODEL.hessian, phi.dtype) @ error / 2


def start(key: jax.Array) -> jax.Array:
    root = jnp.asarray(np.linalg.cholesky(MODEL.initial_covariance), jnp.float32)
    return jnp.asarray(MODEL.initial_mean, jnp.float32) + root @ jax.random.normal(key, (2,))


QUADRATIC = lopt.Task("noisy quadratic", init=start, loss=loss)


def linear(preconditioner: jax.Array) -> optax.GradientTransformation:
    """phi' = phi - (alpha I + P) g."""
    step = ALPHA * jnp.eye(2) + preconditioner
    return optax.GradientTransformation(
        lambda params: optax.EmptyState(), lambda g, state, params=None: (-step @ g, state)
    )


def summed(preconditioner: np.ndarray, horizon: int) -> float:
    """The expected meta-loss step by step: E[phi phi^T] moves by A and (I - A) S (I - A)^T."""
    H, S = MODEL.hessian, MODEL.noise_covariance
    A = np.eye(2) - (ALPHA * np.eye(2) + preconditioner) @ H
    second, total = MODEL.initial_second_moment, 0.0
    for _ in range(horizon):
        total += np.trace(H @ (second + S)) / 2
        second = A @ second @ A.T + (np.eye(2) - A) @ S @ (np.eye(2) - A).T
    return total / horizon


@pytest.mark.parametrize("horizon", [1, 2, HORIZON])
def test_loss_and_gradient_are_those_of_the_sum(horizon: int) -> None:
    found = expected_meta_loss(MODEL, P, ALPHA, horizon=horizon)
    assert float(found) == pytest.approx(summed(P, horizon), rel=1e-12)
    gradient, step = expected_meta_gradient(MODEL, P, ALPHA, horizon=horizon), 1e-5
    for index in np.ndindex(2, 2):
        E = np.zeros((2, 2))
        E[index] = step
        slope = (summed(P + E, horizon) - summed(P - E, horizon)) / (2 * step)
        assert gradient[index] == pytest.approx(slope, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("x64", [True, False])
def test_jax_differentiates_the_loss(x64: bool) -> None:
    """`jax.grad` through the products of nqm, and its own reverse sweep, in either precision."""
    with jax.enable_x64(x64):
        dtype = jnp.float64 if x64 else jnp.float32

        @jit
        def both(P: jax.Array) -> Any:
            slope = jax.grad(lambda P: expected_meta_loss(MODEL, P, ALPHA, horizon=4))
            return slope(P), expected_meta_gradient(MODEL, P, ALPHA, horizon=4)

        exact = expected_meta_gradient(MODEL, P, ALPHA, horizon=4)
        for found in both(jnp.asarray(P, dtype)):
            assert found.dtype == dtype
            np.testing.assert_allclose(found, exact, atol=1e-13 if x64 else 1e-5)


def test_pes_and_backprop_have_the_exact_gradient_for_their_mean() -> None:
    """PES over whole cycles of an episode that is no multiple of its truncation; what its small
    perturbations smooth away is far below the standard error.
    """
    pairs, truncation = 10_000, 3
    pes = PES(QUADRATIC, linear, HORIZON, truncation, pairs, 1e-3)
    full = FullBackprop(QUADRATIC, linear, HORIZON, pairs)
    theta = jnp.asarray(P, jnp.float32)
    exact = expected_meta_gradient(MODEL, P, ALPHA, horizon=HORIZON)
    step = jit(lambda theta, s, k: singles(pes, theta, s, k))
    state = jit(pes.init)(theta, jax.random.key(0))
    total = np.zeros((pairs, 2, 2))
    for outer in range(3 + HORIZON):
        sample, state = step(theta, state, jax.random.key(outer + 1))
        if outer >= 3:  # the first episodes begin in their middle
            total += np.asarray(sample.gradient, np.float64) / HORIZON
    state = jit(full.init)(theta, jax.random.key(0))
    direct, _ = jit(lambda s, k: singles(full, theta, s, k))(state, jax.random.key(1))
    for index in np.ndindex(2, 2):
        assert z(total[:, *index], exact[index]) < 4
        assert z(direct.gradient[:, *index], exact[index]) < 4
    assert z(direct.meta_loss, float(expected_meta_loss(MODEL, P, ALPHA, horizon=HORIZON))) < 4
    assert np.abs(total.mean(0) - exact).max() < 0.2 * np.abs(exact).max()


def test_exact_behind_the_interface() -> None:
    exact = ExactMetaGradient(MODEL, ALPHA, 4)
    theta = jnp.asarray(P, jnp.float32)
    state = exact.init(theta, jax.random.key(0))
    estimate, after = jit(exact.estimate)(theta, state, (), jax.random.key(1))
    expected = expected_meta_gradient(MODEL, P, ALPHA, horizon=4)
    np.testing.assert_allclose(estimate.gradient, expected, atol=1e-5)
    np.testing.assert_allclose(estimate.meta_loss, summed(P, 4), rtol=1e-5)
    assert estimate.nonfinite_step.tolist() == [-1]
    assert after.outer_step.tolist() == [1]
    assert exact.inner_steps == 0


@pytest.mark.parametrize("horizon", [0, 1.5])
def test_bad_horizon(horizon: Any) -> None:
    with pytest.raises(ValueError, match="horizon must be"):
        expected_meta_loss(MODEL, P, ALPHA, horizon=horizon)
    with pytest.raises(ValueError, match="horizon must be"):
        expected_meta_gradient(MODEL, P, ALPHA, horizon=horizon)
    with pytest.raises(ValueError, match="horizon must be"):
        ExactMetaGradient(MODEL, ALPHA, horizon)
