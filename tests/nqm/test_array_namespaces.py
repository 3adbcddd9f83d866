"""The same functions under NumPy and under JAX's jit, vmap and grad; nqm itself knows no JAX."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqm import (
    NoisyQuadratic,
    expected_loss,
    expected_meta_gradient,
    heavy_ball_rule,
    parameter_moments,
    plain_rule,
)
from tests.nqm.test_moments import problem


class Model(NamedTuple):
    """The four arrays of a NoisyQuadratic, as a pytree."""

    hessian: Any
    noise_covariance: Any
    initial_mean: Any
    initial_covariance: Any


@pytest.fixture(autouse=True)
def _double_precision() -> Iterator[None]:
    """float64 for these tests alone."""
    with jax.enable_x64(True):
        yield


def both(seed: int = 0) -> tuple[Any, Model, np.ndarray, float]:
    model, P, alpha = problem(seed)
    arrays = (
        model.hessian,
        model.noise_covariance,
        model.initial_mean,
        model.initial_covariance,
    )
    return model, Model(*map(jnp.asarray, arrays)), P, alpha


@pytest.mark.parametrize("T", [1, 7, 64])
def test_expected_loss_under_jit(T: int) -> None:
    model, traced, P, alpha = both()
    compiled = jax.jit(lambda m, P, a: expected_loss(m, plain_rule(m.hessian, P, a), T))
    found = compiled(traced, jnp.asarray(P), alpha)
    exact = expected_loss(model, plain_rule(model.hessian, P, alpha), T)
    assert isinstance(found.value, jax.Array)
    assert found.value.dtype == jnp.float64
    np.testing.assert_allclose(found.value, exact.value, rtol=1e-11)
    np.testing.assert_allclose(found.log, exact.log, rtol=1e-11)


def test_overflow_under_jit_keeps_its_logarithm() -> None:
    _, traced, P, alpha = both()
    T = 4096
    rule = plain_rule(traced.hessian, jnp.asarray(P), 20 * alpha)
    found = jax.jit(lambda m: expected_loss(m, rule, T))(traced)
    model, _, _, _ = both()
    exact = expected_loss(model, plain_rule(model.hessian, P, 20 * alpha), T)
    assert np.isinf(found.value)
    np.testing.assert_allclose(found.log, exact.log, rtol=1e-8)


def test_expected_loss_under_vmap_over_the_nominal_step() -> None:
    model, traced, P, alpha = both(1)
    steps = alpha * np.array([0.5, 1.0, 1.5])

    def loss(a: Any) -> Any:
        return expected_loss(traced, plain_rule(traced.hessian, P, a), 6).value

    found = jax.jit(jax.vmap(loss))(jnp.asarray(steps))
    exact = [expected_loss(model, plain_rule(model.hessian, P, a), 6).value for a in steps]
    np.testing.assert_allclose(found, exact, rtol=1e-12)


@pytest.mark.parametrize("T", [1, 3, 18])
def test_closed_form_gradient_is_the_derivative_of_the_loss(T: int) -> None:
    model, traced, P, alpha = both(2)

    def loss(P: Any, a: Any) -> Any:
        return expected_loss(traced, plain_rule(traced.hessian, P, a), T).value

    by_P, by_alpha = jax.jit(jax.grad(loss, argnums=(0, 1)))(jnp.asarray(P), jnp.asarray(alpha))
    closed = expected_meta_gradient(model, alpha, P, horizon=T)
    np.testing.assert_allclose(closed.preconditioner, by_P, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(closed.nominal_step, by_alpha, rtol=1e-9, atol=1e-12)


def test_expected_gradient_under_jit_and_vmap() -> None:
    model, traced, P, alpha = both(3)
    T = 6
    steps = alpha * np.array([0.4, 1.1])
    batched = jax.jit(jax.vmap(lambda a: expected_meta_gradient(traced, a, P, horizon=T)))
    found = batched(jnp.asarray(steps))
    for i, a in enumerate(steps):
        exact = expected_meta_gradient(model, a, P, horizon=T)
        np.testing.assert_allclose(found.preconditioner[i], exact.preconditioner, atol=1e-11)
        np.testing.assert_allclose(found.nominal_step[i], exact.nominal_step, atol=1e-11)


def test_second_derivatives_exist() -> None:
    """grad of the closed-form gradient is the derivative of jax.grad: the Hessian of the loss."""
    _, traced, P, alpha = both(4)

    def loss(a: Any) -> Any:
        return expected_loss(traced, plain_rule(traced.hessian, P, a), 3).value

    curvature = jax.grad(lambda a: expected_meta_gradient(traced, a, P, horizon=3).nominal_step)
    step = jnp.asarray(alpha)
    exact = jax.jit(jax.grad(jax.grad(loss)))(step)
    np.testing.assert_allclose(jax.jit(curvature)(step), exact, rtol=1e-8)


@pytest.mark.parametrize("T", [0, 5])
def test_moments_under_jit(T: int) -> None:
    model, traced, P, alpha = both(5)
    rule = heavy_ball_rule(model.hessian, P, alpha, 0.8)
    found = jax.jit(lambda m, r: parameter_moments(m, r, T))(traced, rule)
    exact = parameter_moments(model, rule, T)
    np.testing.assert_allclose(found.mean, exact.mean, atol=1e-12)
    np.testing.assert_allclose(found.covariance, exact.covariance, atol=1e-12)


def test_float32_stays_float32() -> None:
    with jax.enable_x64(False):
        _, traced, P, alpha = both(6)
        rule = plain_rule(traced.hessian, jnp.asarray(P), alpha)
        found = jax.jit(lambda m, r: expected_loss(m, r, 5))(traced, rule)
        assert found.value.dtype == jnp.float32
    model, _, P, alpha = both(6)
    exact = expected_loss(model, plain_rule(model.hessian, P, alpha), 5)
    np.testing.assert_allclose(found.value, exact.value, rtol=1e-4)


def test_the_derivative_at_a_dead_update_is_finite() -> None:
    """A = 0 exactly: the scaling of a zero power must not spoil the derivative."""
    traced = Model(jnp.eye(2), jnp.eye(2), jnp.ones(2), jnp.zeros((2, 2)))

    def loss(a: Any) -> Any:
        return expected_loss(traced, plain_rule(traced.hessian, None, a), 3).value

    exact = NoisyQuadratic(np.eye(2), np.eye(2), np.ones(2))
    closed = expected_meta_gradient(exact, 1.0, horizon=3).nominal_step
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(1.0), closed, rtol=1e-12)
    assert np.isfinite(closed)
