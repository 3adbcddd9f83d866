"""A task with another gradient, in other coordinates or with other batches, against the theory."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nqm
from lopt.keys import random_key
from lopt.meta.config import TrainConfig
from lopt.meta.estimators.schedule import Constant
from lopt.meta.estimators.unroll import InnerLoop, Keys
from lopt.meta.evaluation.curves import training_curves
from lopt.meta.training.watch import probe, replaced_gradient
from lopt.monitor import Probe, update_map
from lopt.tasks import Task, es_gradient, quadratic_task, reparametrized, with_batch_size

H = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.2], [0.0, -0.2, 0.7]])
PHI = jnp.array([1.0, -2.0, 0.5])
NOISY = quadratic_task(nqm.NoisyQuadratic(H, 0.3 * np.eye(3), [1.0, 2.0, 3.0], np.eye(3)))
DRAWS, PAIRS = 20_000, 2


def nested(params, key, batch):
    """A loss of two tensors that is not quadratic."""
    del key, batch
    return jnp.sum(jnp.sin(params["w"] @ params["b"])) + jnp.sum(params["b"] ** 4)


TENSORS = {"w": jnp.array([[0.3, -0.4], [0.5, 0.2]]), "b": jnp.array([0.7, -0.6])}
NESTED = Task("nested", lambda key: TENSORS, nested)


@pytest.fixture(scope="module")
def estimates():
    """Losses and gradients at one point, one key of the loss and one batch, many perturbations."""
    noiseless = quadratic_task(nqm.NoisyQuadratic(H))
    draw = partial(es_gradient(noiseless, PAIRS, sigma=0.1).value_and_grad, PHI, batch=())
    keys = jax.random.split(random_key(0), DRAWS)
    losses, gradients = jax.jit(jax.vmap(lambda key: draw(key=key)))(keys)
    return np.asarray(losses, np.float64), np.asarray(gradients, np.float64)


def test_the_es_gradient_is_unbiased_on_a_quadratic(estimates) -> None:
    _, found = estimates
    error = found.mean(axis=0) - H @ np.asarray(PHI, np.float64)
    assert np.all(np.abs(error) < 4 * found.std(axis=0) / np.sqrt(DRAWS))


def test_the_covariance_of_the_es_gradient_is_that_of_gaussian_products(estimates) -> None:
    """Each pair gives eps eps^T g / sigma^2, of covariance |g|^2 I + g g^T."""
    _, found = estimates
    g = H @ np.asarray(PHI, np.float64)
    centred = found - g
    products = centred[:, :, None] * centred[:, None, :]
    expected = (g @ g * np.eye(3) + np.outer(g, g)) / PAIRS
    error = products.mean(axis=0) - expected
    assert np.all(np.abs(error) < 4 * products.std(axis=0) / np.sqrt(DRAWS))


def test_the_es_loss_is_the_unperturbed_one(estimates) -> None:
    phi = np.asarray(PHI, np.float64)
    np.testing.assert_allclose(estimates[0], phi @ H @ phi / 2, rtol=1e-6)
    task = es_gradient(NOISY, 1)
    key = random_key(3)
    assert float(task.value_and_grad(PHI, key, ())[0]) == float(NOISY.loss(PHI, key, ()))


def test_both_signs_see_the_same_noise() -> None:
    """The noise of the loss is linear in the parameters, so that it shifts the gradient alone."""
    keys = jax.random.split(random_key(1), 500)
    found = jax.jit(jax.vmap(es_gradient(NOISY, 400).value_and_grad, (None, 0, None)))
    exact = jax.vmap(jax.grad(NOISY.loss), (None, 0, None))(PHI, keys, ())
    difference = np.asarray(found(PHI, keys, ())[1] - exact, np.float64)
    assert np.all(np.abs(difference.mean(axis=0)) < 4 * difference.std(axis=0) / np.sqrt(500))


def test_an_es_task_is_no_quadratic_for_exact_formulas() -> None:
    assert NOISY.quadratic is not None
    assert es_gradient(NOISY, 1).quadratic is None
    assert reparametrized(NOISY, 2.0).quadratic is None
    assert with_batch_size(NOISY, 3).quadratic is NOISY.quadratic


def test_the_inner_loops_take_the_gradient_of_the_task() -> None:
    """A task whose estimate is zero stays where it is, under every loop."""

    def loss(params, key, batch):
        return jnp.sum(params**2)

    def still(params, key, batch):
        return loss(params, key, batch), jnp.zeros_like(params)

    task = Task("still", lambda key: jnp.ones(2), loss, estimate=still)
    curves = training_curves(task, optax.sgd, np.array([0.1]), 5, jax.random.split(random_key(0)))
    np.testing.assert_array_equal(curves, np.full((1, 2, 5), 2.0))
    inner = InnerLoop(task, optax.sgd, Constant(5))
    keys = Keys(*jax.random.split(random_key(0), 4))
    episode = inner.begin(0.1, keys.fresh, jnp.int32(5))
    trace, after = inner.unroll(0.1, None, episode, (), keys, jnp.int32(0), steps=5)
    np.testing.assert_array_equal(trace.losses, np.full(5, 2.0))
    np.testing.assert_array_equal(after.params, [1.0, 1.0])
    step = update_map(
        optax.sgd(0.1), lambda p, b: loss(p, None, b), (), lambda p, b: still(p, None, b)
    )
    np.testing.assert_array_equal(step(jnp.ones(2), optax.sgd(0.1).init(jnp.ones(2)))[0], [1, 1])


def test_the_monitor_steps_by_the_estimate_of_the_task() -> None:
    assert replaced_gradient(NOISY) is None
    task, key = es_gradient(NOISY, 2), random_key(4)
    step = replaced_gradient(task)
    assert step is not None
    value, gradient = step(PHI, ((), key))
    expected, estimate = task.value_and_grad(PHI, key, ())
    assert float(value) == float(expected)
    np.testing.assert_array_equal(gradient, estimate)
    watched = probe(TrainConfig(horizon=2, truncation=1, optimizer="hyperparam"), task, 4)
    assert isinstance(watched, Probe)
    assert watched.value_and_grad is not None


def test_without_an_estimate_the_gradient_is_the_derivative() -> None:
    loss, gradient = NESTED.value_and_grad(TENSORS, None, ())
    assert float(loss) == float(nested(TENSORS, None, ()))
    expected = jax.grad(nested)(TENSORS, None, ())
    jax.tree.map(np.testing.assert_array_equal, gradient, expected)


SCALES = {
    "one number": 8.0,
    "a number for each tensor": {"w": 0.01, "b": jnp.float32(30.0)},
    "a number for each parameter": {
        "w": jnp.array([[0.1, 3.0], [100.0, 0.02]]),
        "b": jnp.array([5.0, 0.3]),
    },
}


def everywhere(scale):
    """The scale in the structure of the parameters."""
    return scale if isinstance(scale, dict) else dict.fromkeys(TENSORS, scale)


@pytest.mark.parametrize("level", SCALES)
def test_reparametrization_leaves_the_function_and_carries_sgd_over(level: str) -> None:
    """psi = phi / s: psi - (a / s^2) (s g) = (phi - a g) / s."""
    scale, rate = everywhere(SCALES[level]), 0.05
    other = reparametrized(NESTED, SCALES[level])
    psi, phi = other.init(random_key(0)), TENSORS
    for x, y, s in zip(*map(jax.tree.leaves, (psi, phi, scale)), strict=True):
        np.testing.assert_allclose(x * s, y, rtol=1e-6)
    for _ in range(20):
        value, gradient = other.value_and_grad(psi, None, ())
        expected, plain = NESTED.value_and_grad(phi, None, ())
        assert float(value) == pytest.approx(float(expected), rel=1e-5)
        psi = jax.tree.map(lambda x, g, s: x - rate / s**2 * g, psi, gradient, scale)
        phi = jax.tree.map(lambda x, g: x - rate * g, phi, plain)
    for x, y, s in zip(*map(jax.tree.leaves, (psi, phi, scale)), strict=True):
        np.testing.assert_allclose(x * s, y, rtol=1e-4)
    assert not np.allclose(phi["w"], TENSORS["w"], rtol=0.01)


def test_a_scale_of_a_power_of_two_changes_no_bit() -> None:
    other = reparametrized(NESTED, 0.25)
    assert float(other.loss(other.init(random_key(0)), None, ())) == float(
        nested(TENSORS, None, ())
    )


def test_an_estimated_gradient_is_carried_over_by_the_chain_rule() -> None:
    key, task = random_key(5), es_gradient(NESTED, 3)
    other = reparametrized(task, SCALES["a number for each tensor"])
    value, gradient = other.value_and_grad(other.init(key), key, ())
    expected, plain = task.value_and_grad(TENSORS, key, ())
    assert float(value) == pytest.approx(float(expected), rel=1e-6)
    for name, scale in SCALES["a number for each tensor"].items():
        np.testing.assert_allclose(gradient[name], scale * plain[name], rtol=2e-3)


def test_a_traced_scale_is_taken_for_each_particle() -> None:
    scales = jnp.array([0.5, 2.0, 10.0])

    def start(scale):
        task = reparametrized(NESTED, scale)
        params = task.init(random_key(0))
        return params["b"], task.loss(params, None, ())

    first, losses = jax.vmap(start)(scales)
    np.testing.assert_allclose(first * scales[:, None], np.tile(TENSORS["b"], (3, 1)), rtol=1e-6)
    np.testing.assert_allclose(losses, float(nested(TENSORS, None, ())), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: es_gradient(NESTED, 0), "pairs must be at least 1; it is 0"),
        (lambda: es_gradient(NESTED, 1, sigma=0.0), "sigma must be positive and finite"),
        (lambda: reparametrized(NESTED, 0.0), "scale must be positive and finite everywhere"),
        (lambda: reparametrized(NESTED, float("inf")), "it is inf"),
        (lambda: reparametrized(NESTED, {"w": 1.0, "b": jnp.array([1.0, -1.0])}), r"it is -1\.0"),
        (lambda: reparametrized(NESTED, {"w": 1.0}).init(random_key(0)), "scale has the structure"),
        (
            lambda: reparametrized(NESTED, {"w": 1.0, "b": jnp.ones(3)}).init(random_key(0)),
            r"shape \[3\] for parameters of shape \[2\]",
        ),
        (lambda: with_batch_size(NESTED, 0), "batch_size of task 'nested'"),
    ],
)
def test_what_makes_no_task_is_one_line(make, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        make()


def test_with_batch_size_draws_so_many() -> None:
    task = Task("rows", lambda key: jnp.ones(1), nested, data=jnp.arange(7), batch_size=2)
    larger = with_batch_size(task, 5)
    assert larger.sample(random_key(0), larger.data).shape == (5,)
    assert larger.init is task.init
    assert larger.loss is task.loss
