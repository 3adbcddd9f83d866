"""The variance of evolution strategies follows its formulas, and small perturbations give the
derivative.

One step to phi = -theta and the loss l(phi) = c + b.phi + phi.K phi/2 after it make the meta-loss
quadratic in theta: L(theta + e) = C + G.e + e.Q e/2. For e = sigma u, u standard normal in n
dimensions, the moments of u give the trace of the covariance of one pair's estimate:

* antithetic, (G.u) u: (n+1) |G|^2, whatever sigma and Q are;
* independent with a baseline: with w, z = (u_1 -+ u_2)/sqrt 2 it is (G.w + sigma w.Q z/sqrt 2) w,
  hence (n+1) |G|^2 + sigma^2/2 (n+2) tr Q^2;
* independent without: half of n C^2/sigma^2 + (n+2) C tr Q + (n+1) |G|^2
  + sigma^2/4 (n+4) ((tr Q)^2 + 2 tr Q^2), for which E[(u.Q u) |u|^2] = (n+2) tr Q and
  E[(u.Q u)^2 |u|^2] = (n+4) ((tr Q)^2 + 2 tr Q^2).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lopt
from lopt.meta.estimators import PES, FullBackprop, FullES
from tests.lopt.meta.walk import jit, singles, z

N = 3
THETA = np.array([0.3, -0.2, 0.5])
CONSTANT, LINEAR = 1.5, np.array([1.0, 0.5, -1.0])
CURVATURE = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, -0.5]])


def loss(phi: jax.Array, key: jax.Array, batch: Any) -> jax.Array:
    linear, curvature = jnp.asarray(LINEAR, phi.dtype), jnp.asarray(CURVATURE, phi.dtype)
    return CONSTANT + linear @ phi + phi @ curvature @ phi / 2


JUMP = lopt.Task("jump", init=lambda key: jnp.zeros(N), loss=loss)


def each_its_own(theta: jax.Array) -> optax.GradientTransformation:
    """phi' = phi - theta."""
    return optax.GradientTransformation(
        lambda params: optax.EmptyState(), lambda g, state, params=None: (-theta, state)
    )


# The mean of the losses before and after the step.
C = (CONSTANT + CONSTANT - LINEAR @ THETA + THETA @ CURVATURE @ THETA / 2) / 2
G = (-LINEAR + CURVATURE @ THETA) / 2
Q = CURVATURE / 2
TRACE, SQUARE = np.trace(Q), np.sum(Q * Q)
SLOPE = (N + 1) * G @ G


def theory(options: dict[str, bool], sigma: float) -> float:
    """The trace of the covariance of one pair's estimate."""
    if options.get("antithetic", True):
        return SLOPE
    if options.get("baseline", True):
        return SLOPE + sigma**2 / 2 * (N + 2) * SQUARE
    return 0.5 * (
        N * C**2 / sigma**2
        + (N + 2) * C * TRACE
        + SLOPE
        + sigma**2 / 4 * (N + 4) * (TRACE**2 + 2 * SQUARE)
    )


MODES: dict[str, dict[str, bool]] = {
    "antithetic": {},
    "baseline": {"antithetic": False},
    "plain": {"antithetic": False, "baseline": False},
}


def gradients(pairs: int, sigma: float, repeats: int, options: dict[str, bool]) -> np.ndarray:
    """Independent estimates of so many pairs each, ``[repeats, N]``."""
    full = FullES(JUMP, each_its_own, 2, pairs, sigma, **options)

    @jit
    def run(theta: jax.Array, keys: jax.Array) -> jax.Array:
        state = full.init(theta, keys[0])
        return jax.vmap(lambda k: full.estimate(theta, state, (), k)[0].gradient)(keys)

    keys = jax.random.split(jax.random.key(5), repeats)
    return np.asarray(run(jnp.asarray(THETA, jnp.float32), keys), np.float64)


def assert_moments(sample: np.ndarray, variance: float) -> None:
    """The mean is G, and the covariance has this trace."""
    for component, slope in zip(sample.T, G, strict=True):
        assert z(component, slope) < 4
    assert z(np.sum((sample - G) ** 2, axis=1), variance) < 4


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sigma", [0.01, 1.0])
def test_variance_with_sigma(mode: str, sigma: float) -> None:
    assert_moments(gradients(1, sigma, 20_000, MODES[mode]), theory(MODES[mode], sigma))


def test_only_without_a_baseline_the_variance_diverges() -> None:
    """As 1/sigma^2; the others have a limit that grows with the dimension."""
    limits = {name: theory(options, 1e-6) for name, options in MODES.items()}
    assert limits["antithetic"] == pytest.approx(4 * G @ G)
    assert limits["baseline"] == pytest.approx(limits["antithetic"])
    assert limits["plain"] == pytest.approx(N * C**2 / 2 / 1e-12, rel=1e-6)
    wide, narrow = (gradients(1, s, 20_000, MODES["plain"]).var(axis=0).sum() for s in (0.1, 0.01))
    assert narrow / wide == pytest.approx(100, rel=0.1)


@pytest.mark.parametrize("pairs", [4, 16])
def test_variance_is_in_proportion_to_one_over_pairs(pairs: int) -> None:
    assert_moments(gradients(pairs, 0.3, 6000, {}), theory({}, 0.3) / pairs)


def bumpy(phi: jax.Array, key: jax.Array, batch: Any) -> jax.Array:
    """Not a quadratic: perturbations of any size would smooth it."""
    return jnp.sum(jnp.cos(phi) + 0.1 * phi**4)


def momentum(theta: jax.Array) -> optax.GradientTransformation:
    """Heavy ball, its rate and its momentum learned."""
    return optax.sgd(jnp.exp(theta[0]), momentum=jax.nn.sigmoid(theta[1]))


def test_small_antithetic_perturbations_give_the_directional_derivative() -> None:
    """Each estimate is (gradient . e) e / sigma^2 with the gradient of backpropagation; e e^T /
    sigma^2 has the identity for its mean, so that the mean of the estimates is the gradient.
    """
    bowl = lopt.Task("bumpy", init=lambda key: jnp.array([1.0, -2.0, 0.5]), loss=bumpy)
    horizon, sigma, pairs = 5, 1e-4, 1000
    with jax.enable_x64(True):
        theta = jnp.array([-1.0, 0.5])
        pes = PES(bowl, momentum, horizon, horizon, pairs, sigma, staggered=False)
        full = FullBackprop(bowl, momentum, horizon, 1)

        @jit
        def run(theta: jax.Array) -> Any:
            state = pes.init(theta, jax.random.key(0))
            sample, after = singles(pes, theta, state, jax.random.key(1))
            true, _ = full.estimate(
                theta, full.init(theta, jax.random.key(0)), (), jax.random.key(1)
            )
            return sample.gradient, after.perturbation[:, 0], true.gradient

        sample, noise, gradient = (np.asarray(x) for x in run(theta))
    assert sample.dtype == np.float64
    expected = (noise @ gradient)[:, None] * noise / sigma**2
    np.testing.assert_allclose(sample, expected, atol=1e-6 * np.abs(expected).max())
    for component, slope in zip(sample.T, gradient, strict=True):
        assert z(component, slope) < 4


def test_backprop_is_the_derivative_by_differences() -> None:
    """The gradient runs through the inner gradients: their Hessian is not dropped."""
    bowl = lopt.Task("bumpy", init=lambda key: jnp.array([1.0, -2.0, 0.5]), loss=bumpy)
    with jax.enable_x64(True):
        full = FullBackprop(bowl, momentum, 5, 1)

        @jit
        def run(theta: jax.Array) -> Any:
            state = full.init(theta, jax.random.key(0))
            return full.estimate(theta, state, (), jax.random.key(1))[0]

        theta, step = np.array([-1.0, 0.5]), 1e-5
        ends = [
            [float(run(theta + sign * step * e).meta_loss) for sign in (1, -1)] for e in np.eye(2)
        ]
        slopes = [(up - down) / (2 * step) for up, down in ends]
        np.testing.assert_allclose(run(theta).gradient, slopes, rtol=1e-7)
