"""Finite-time Lyapunov exponents of products that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lopt.monitor import growth

# J = I - B C with symmetric C: with this B every C below gives the wanted J.
INVERSE_B = np.array([[1.0, 2.0], [-2.0, -1.0]])
SHEARS = np.array([[[0.5, 2.0], [0.0, 0.5]], [[0.5, 0.0], [2.0, 0.5]]])


def mixing(matrix: np.ndarray) -> optax.GradientTransformation:
    """phi' = phi - B g."""
    return optax.stateless(lambda g, p: -jnp.asarray(matrix, jnp.float32) @ g)


def quadratic(params, curvature):
    return params @ curvature @ params / 2


DESCENT = mixing(np.eye(3))
TWO = mixing(np.linalg.inv(INVERSE_B))


def exponent(transformation, curvatures, **options):
    curvatures = jnp.asarray(curvatures, jnp.float32)
    params = jnp.ones(curvatures.shape[1]) / 10
    state = transformation.init(params)
    return growth(transformation, quadratic, params, state, curvatures, **options)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=8)
def test_a_constant_symmetric_map_grows_with_its_spectral_radius(seed) -> None:
    """I - C with C symmetric: log rho at every horizon, from any full frame."""
    g = np.random.default_rng(seed).standard_normal((3, 3))
    found = exponent(DESCENT, np.repeat([g + g.T], 40, 0), vectors=3)
    rho = np.abs(np.linalg.eigvalsh(np.eye(3) - g - g.T)).max()
    np.testing.assert_allclose(found.by_start, np.log(rho), atol=1e-4)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=8)
def test_a_product_of_known_matrices_gives_its_norm_and_determinant(seed) -> None:
    g = np.random.default_rng(seed).standard_normal((40, 3, 3)) / 2
    curvatures = g + g.transpose(0, 2, 1)
    found = exponent(DESCENT, curvatures, vectors=3)
    product, log_det = np.eye(3), 0.0
    for c in curvatures:
        product = (np.eye(3) - c) @ product
        log_det += np.linalg.slogdet(np.eye(3) - c)[1]
    np.testing.assert_allclose(found.exponent, np.log(np.linalg.norm(product, 2)) / 40, atol=1e-4)
    np.testing.assert_allclose(found.rates.sum(), log_det / 40, atol=1e-3)


def test_every_step_is_stable_and_the_product_grows() -> None:
    """Two shears of spectral radius 1/2 whose product has radius (9 + sqrt(80))/4 = 4.486."""
    curvatures = np.array([INVERSE_B @ (np.eye(2) - J) for J in SHEARS])
    np.testing.assert_allclose(curvatures, curvatures.transpose(0, 2, 1))
    for J in SHEARS:
        assert np.abs(np.linalg.eigvals(J)).max() == pytest.approx(0.5)
    expected = np.log(np.abs(np.linalg.eigvals(SHEARS[1] @ SHEARS[0])).max()) / 2
    found = exponent(TWO, np.tile(curvatures, (100, 1, 1)), vectors=2)
    assert expected > 0.7
    assert abs(found.exponent - expected) < 0.01
    np.testing.assert_allclose(found.late, expected, atol=1e-3)
    assert found.converged


def test_hidden_state_belongs_to_the_product() -> None:
    """Heavy ball at an unstable step: log of the larger root of z^2 - (1.9 - x) z + 0.9."""
    optimizer = optax.sgd(1.0, 0.9)
    x = 4.2
    found = exponent(optimizer, np.full((60, 1, 1), x), vectors=2)
    root = np.abs(np.roots([1.0, -(1.9 - x), 0.9])).max()
    np.testing.assert_allclose(found.late, np.log(root), atol=1e-4)
    assert abs(found.exponent - np.log(root)) < 0.05


def test_too_short_a_window_is_not_converged() -> None:
    found = exponent(TWO, [INVERSE_B @ (np.eye(2) - J) for J in SHEARS], vectors=1)
    assert not found.converged
    assert "not converged" in found.text()


def test_divergence_is_a_result() -> None:
    def quartic(params, batch):
        return jnp.sum(params**4) * batch

    optimizer = optax.sgd(1.0)
    found = growth(optimizer, quartic, jnp.full(2, 10.0), optimizer.init(jnp.ones(2)), jnp.ones(30))
    assert not found.converged
    assert "diverged" in found.text()
    assert found.to_json()["exponent"] is None


@pytest.mark.parametrize(
    ("batches", "options", "message"),
    [
        (jnp.ones((1, 2, 2)), {}, "at least 2 steps"),
        ((jnp.ones(3), jnp.ones(4)), {}, "batches must share one leading axis"),
        ((), {}, "batches must share"),
        (jnp.ones((4, 2, 2)), {"starts": 1}, "at least 1 vector and 2 starts"),
    ],
)
def test_bad_windows_are_refused(batches, options, message) -> None:
    optimizer = optax.sgd(0.1)
    with pytest.raises(ValueError, match=message):
        growth(optimizer, quadratic, jnp.ones(2), optimizer.init(jnp.ones(2)), batches, **options)


def test_it_is_compiled_once() -> None:
    traces = []

    def counted(params, curvature):
        traces.append(1)
        return quadratic(params, curvature)

    optimizer, params = optax.sgd(0.1), jnp.ones(2)
    state, window = optimizer.init(params), jnp.tile(jnp.eye(2), (4, 1, 1))
    growth(optimizer, counted, params, state, window)
    before = len(traces)
    growth(optimizer, counted, 2 * params, state, 2 * window)
    assert len(traces) == before
    assert jax.tree.leaves(state) == []
