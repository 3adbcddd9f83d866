"""The quadratic task has the moments that the model says, and so do optimizers on it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nqm
from lopt.meta.config import TrainConfig
from lopt.meta.evaluation.curves import training_curves
from lopt.meta.training.watch import probe
from lopt.optimizers.linear import linear
from lopt.tasks.quadratic import quadratic_task
from lopt.tasks.registry import make_task

PAPER = nqm.example("paper").quadratic
# Nothing is isotropic, diagonal or zero.
H = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.3], [0.0, -0.3, 0.2]])
S = np.array([[1.0, -0.4, 0.1], [-0.4, 0.5, 0.0], [0.1, 0.0, 2.0]])
S0 = np.array([[0.3, 0.1, 0.0], [0.1, 0.2, 0.0], [0.0, 0.0, 0.0]])
MODEL = nqm.NoisyQuadratic(H, S, [1.0, -2.0, 3.0], S0)  # type: ignore[arg-type]
COUNT = 40_000
KEYS = jax.random.split(jax.random.key(7), COUNT)


def check_mean(samples: np.ndarray, expected: np.ndarray) -> None:
    """Within four standard errors, every entry."""
    samples = np.asarray(samples, np.float64)
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    assert np.all(np.abs(samples.mean(axis=0) - expected) <= 4 * error + 1e-6)


def check_covariance(samples: np.ndarray, mean: np.ndarray, expected: np.ndarray) -> None:
    """The mean of outer products of deviations, within four standard errors."""
    deviation = np.asarray(samples, np.float64) - mean
    check_mean(deviation[:, :, None] * deviation[:, None, :], expected)


@pytest.mark.parametrize("noisy_minimum", [True, False])
def test_gradients_have_mean_and_covariance_of_the_model(noisy_minimum: bool) -> None:
    task = quadratic_task(MODEL, noisy_minimum=noisy_minimum)
    phi = np.array([0.5, -1.0, 2.0])
    both = jax.jit(jax.vmap(jax.value_and_grad(task.loss), (None, 0, None)))
    losses, gradients = both(jnp.asarray(phi, jnp.float32), KEYS, ())
    check_mean(gradients, H @ phi)
    check_covariance(gradients, H @ phi, H @ S @ H)
    expected = phi @ H @ phi / 2
    if noisy_minimum:
        check_mean(losses, expected + np.trace(H @ S) / 2)
    else:
        np.testing.assert_allclose(losses, expected, rtol=1e-6)
    hessian = jax.hessian(task.loss)(jnp.asarray(phi, jnp.float32), KEYS[0], ())
    np.testing.assert_allclose(hessian, H, rtol=1e-6, atol=1e-7)


def test_a_loss_is_that_of_its_gradient() -> None:
    """Equation (4): with g = H (phi - xi), the loss is 1/2 g^T H^-1 g."""
    task = quadratic_task(MODEL)
    both = jax.jit(jax.vmap(jax.value_and_grad(task.loss), (None, 0, None)))
    losses, gradients = both(jnp.ones(3), KEYS[:20], ())
    g = np.asarray(gradients, np.float64)
    np.testing.assert_allclose(losses, np.sum(g @ np.linalg.inv(H) * g, axis=1) / 2, rtol=1e-4)


def test_initial_parameters_have_the_models_distribution() -> None:
    start = jax.jit(jax.vmap(quadratic_task(MODEL).init))(KEYS)
    assert start.dtype == jnp.float32
    check_mean(start, MODEL.initial_mean)
    check_covariance(start, MODEL.initial_mean, S0)


STEPS = (0, 1, 5, 20)
P = np.array([[0.1, 0.2, -0.1], [0.0, 0.3, 0.1], [0.1, 0.0, 0.2]])


@pytest.mark.parametrize("name", ["sgd", "linear"])
def test_expected_losses_are_those_of_the_closed_form(name: str) -> None:
    """The loss that training reports at step t is 1/2 E (phi_t - xi_t)^T H (phi_t - xi_t)."""
    preconditioner = np.zeros((3, 3)) if name == "sgd" else P
    make = optax.sgd if name == "sgd" else lambda a: linear(jnp.asarray(P, jnp.float32), a)
    rates, length = np.array([0.2], np.float32), max(STEPS) + 1
    curves = training_curves(quadratic_task(MODEL), make, rates, length, KEYS[:20_000])[0]
    rule = nqm.plain_rule(H, preconditioner, 0.2)
    # T times the mean over 1..T is the sum, and sums differ by the loss of their last step.
    horizons = [t for step in STEPS[1:] for t in (step - 1, step) if t]
    values = dict(zip(horizons, nqm.expected_loss(MODEL, rule, horizons).value, strict=True))
    for t in STEPS[1:]:
        check_mean(curves[:, t], t * values[t] - (t - 1) * values.get(t - 1, 0.0))
    check_mean(curves[:, 0], np.trace(H @ (MODEL.initial_second_moment + S)) / 2)


def test_linear_follows_the_papers_recursion() -> None:
    """phi' = A phi + (I - A) xi, equation (6), with the xi that the gradient shows."""
    alpha = 0.3
    task, optimizer = quadratic_task(MODEL), linear(jnp.asarray(P, jnp.float32), alpha)
    A = nqm.update_matrix(H, P, alpha)
    phi = jnp.array([1.0, 2.0, -1.0])
    g = jax.grad(task.loss)(phi, KEYS[0], ())
    xi = np.asarray(phi, np.float64) - np.linalg.solve(H, np.asarray(g, np.float64))
    update, _ = optimizer.update(g, optimizer.init(phi), phi)
    np.testing.assert_allclose(phi + update, A @ phi + (np.eye(3) - A) @ xi, rtol=1e-4)


def test_the_preconditioner_is_a_meta_parameter() -> None:
    """The loss after a step, differentiated through the optimizer: -g' g^T, g' the new gradient."""
    task, phi = quadratic_task(MODEL), jnp.array([1.0, 2.0, -1.0])
    g = jax.grad(task.loss)(phi, KEYS[0], ())

    @jax.jit
    @jax.value_and_grad
    def after(p):
        update, _ = linear(p, 0.1).update(g, optax.EmptyState())
        return task.loss(phi + update, KEYS[1], ())

    _, slope = after(jnp.asarray(P, jnp.float32))
    moved = phi - (jnp.asarray(P, jnp.float32) + 0.1 * jnp.eye(3)) @ g
    later = jax.grad(task.loss)(moved, KEYS[1], ())
    np.testing.assert_allclose(slope, -np.outer(later, g), rtol=1e-4, atol=1e-4)


def test_linear_refuses_what_is_not_one_vector() -> None:
    optimizer = linear(jnp.eye(2), 0.1)
    for params in ({"w": jnp.ones(2)}, jnp.ones(3), jnp.ones((2, 1)), [jnp.ones(2), jnp.ones(2)]):
        with pytest.raises(ValueError, match=r"one vector of 2 numbers.*ravel_pytree"):
            optimizer.init(params)


def test_the_registered_one_is_the_papers() -> None:
    task = make_task("quadratic")
    hessian = jax.hessian(task.loss)(jnp.zeros(2), KEYS[0], ())
    np.testing.assert_allclose(hessian, [[1.11, 0.596], [0.596, 0.486]], rtol=1e-6)
    start = jax.jit(jax.vmap(task.init))(KEYS)
    check_covariance(start, np.zeros(2), 10 * np.eye(2))
    gradients = jax.jit(jax.vmap(jax.grad(task.loss), (None, 0, None)))(jnp.zeros(2), KEYS, ())
    check_covariance(gradients, np.zeros(2), PAPER.hessian @ PAPER.hessian)


class Linear(TrainConfig):
    """A configuration whose learned optimizer is the paper's P beside alpha = 0.1."""

    def make_optimizer(self, theta, *, fused=True):
        return linear(theta, 0.1)


def test_the_probe_finds_the_eigenvalues_of_the_model() -> None:
    """Equation (6): those of A = I - (alpha I + P) H, whatever the noise."""
    task = quadratic_task(MODEL)
    report = probe(Linear(horizon=10), task).measure(jnp.asarray(P, jnp.float32))
    expected = np.linalg.eigvals(nqm.update_matrix(H, P, 0.1))
    for point in report.points:
        found = np.sort_complex(np.asarray(point.frozen.values, complex))
        np.testing.assert_allclose(found, np.sort_complex(expected), atol=1e-4)
