"""Expected meta-gradient and its exact variance: closed form, dense oracle, Monte Carlo."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nqm import (
    NoisyQuadratic,
    example,
    expected_loss,
    expected_meta_gradient,
    meta_gradient_variance,
    plain_rule,
    sample_meta_gradients,
)
from nqm.gradients import recursions as orbits
from tests.nqm.dense import gradient_form, omega
from tests.nqm.test_moments import covariance, problem

HORIZONS = [1, 2, 3, 4, 5, 10, 25, 50, 100, 150, 200, 250]
CHECK_VALUES = {
    1: [1042.27, 292.988, 111.904, 499.014, 1454.32],
    10: [29035.6, 14.0359, 4.97819, 94.6957, 169461],
}
"""theory.md, end of "Exact variance": alpha as 0, 1/4, 1/2, 3/4, 1 of 2/h."""


def paper() -> tuple[NoisyQuadratic, float]:
    """(A.30), S = I, phi_0 ~ N(0, 10 I); and 2/h."""
    model = example("paper").quadratic
    return model, 2 / model.hessian_eigenvalues[-1]


def directions(n: int) -> list[np.ndarray]:
    return [*np.eye(n * n).reshape(-1, n, n), np.eye(n)]


def summed(model: NoisyQuadratic, alpha: float, P: np.ndarray, T: int) -> np.ndarray:
    """(1/T) sum_t Y_{t+1} [(I-A) S - A Pi_t] H, the formula of theory.md term by term."""
    H, S, n = model.hessian, model.noise_covariance, model.dimension
    B = (alpha * np.eye(n) + P) @ H
    A = np.eye(n) - B
    Y = [H]
    for _ in range(T - 1):
        Y.append(H + A.T @ Y[-1] @ A)
    Pi, total = model.initial_second_moment, np.zeros((n, n))
    for t in range(T):
        total += Y[T - 1 - t] @ (B @ S - A @ Pi) @ H
        Pi = A @ Pi @ A.T + B @ S @ B.T
    return total / T


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 200))
def test_expected_gradient_is_the_sum_of_theory(seed: int, n: int, T: int) -> None:
    model, P, alpha = problem(seed, n)
    exact = summed(model, alpha, P, T)
    found = expected_meta_gradient(model, alpha, P, horizon=T)
    scale = np.max(abs(exact))
    np.testing.assert_allclose(found.preconditioner, exact, atol=1e-10 * scale)
    assert found.nominal_step == pytest.approx(np.trace(exact), abs=1e-10 * n * scale)


@pytest.mark.parametrize("T", [1, 2, 5, 9])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_triangle_closed_form_and_dense(n: int, T: int) -> None:
    """Mean and variance of every entry, and of alpha, against forms in (phi_0, xi_0 … xi_T)."""
    model, P, alpha = problem(n + 10 * T, n)
    law, M = omega(model, T), alpha * np.eye(n) + P
    forms = [gradient_form(model, M, E, T) for E in directions(n)]
    found = meta_gradient_variance(model, alpha, P, horizon=T)
    variances = [*found.preconditioner.ravel(), found.nominal_step]
    np.testing.assert_allclose(variances, [law.variance(f) for f in forms], rtol=1e-10)
    means = [law.expectation(f) for f in forms]
    scale = np.max(np.abs(means))
    computed = [*found.mean.preconditioner.ravel(), found.mean.nominal_step]
    np.testing.assert_allclose(computed, means, atol=1e-11 * scale)
    expected = expected_meta_gradient(model, alpha, P, horizon=T)
    computed = [*expected.preconditioner.ravel(), expected.nominal_step]
    np.testing.assert_allclose(computed, means, atol=1e-11 * scale)
    assert found.trace == pytest.approx(np.sum(variances[:-1]), rel=1e-12)


@pytest.mark.parametrize("redrawn", [True, False], ids=["phi_0 redrawn", "phi_0 fixed"])
def test_triangle_monte_carlo_within_four_standard_errors(redrawn: bool) -> None:
    model, P, alpha = problem(21, 2)
    if not redrawn:
        model = NoisyQuadratic(model.hessian, model.noise_covariance, model.initial_mean)
    T, seeds = [1, 4, 12], 40_000
    rng = np.random.default_rng(7)
    samples = sample_meta_gradients(model, alpha, P, horizon=T, seeds=seeds, rng=rng)
    exact = meta_gradient_variance(model, alpha, P, horizon=T)
    for sampled, mean, variance in (
        (samples.preconditioner, exact.mean.preconditioner, exact.preconditioner),
        (samples.nominal_step, exact.mean.nominal_step, exact.nominal_step),
    ):
        axis = 1
        estimate, spread = np.mean(sampled, axis=axis), np.var(sampled, axis=axis, ddof=1)
        assert np.all(abs(estimate - mean) < 4 * np.sqrt(spread / seeds))
        fourth = np.mean((sampled - np.expand_dims(estimate, axis)) ** 4, axis=axis)
        error = np.sqrt((fourth - spread**2) / seeds)
        assert np.all(abs(spread - variance) < 4 * error)
    np.testing.assert_allclose(samples.trace, exact.trace, rtol=0.1)


def test_the_expected_gradient_is_the_slope_of_the_expected_loss() -> None:
    model, P, alpha = problem(2)
    T, h = 8, 1e-5
    found = expected_meta_gradient(model, alpha, P, horizon=T)
    for E, slope in zip(
        directions(3), [*found.preconditioner.ravel(), found.nominal_step], strict=True
    ):
        ends = [
            expected_loss(model, plain_rule(model.hessian, P + s * h * E, alpha), T).value
            for s in (1, -1)
        ]
        assert (ends[0] - ends[1]) / (2 * h) == pytest.approx(slope, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("T", CHECK_VALUES)
def test_check_values_of_theory(T: int) -> None:
    model, edge = paper()
    alphas = edge * np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    found = meta_gradient_variance(model, alphas, horizon=T).trace
    np.testing.assert_allclose(found, CHECK_VALUES[T], rtol=5e-6)


def test_one_backward_pass_serves_every_horizon_and_step() -> None:
    model, edge = paper()
    alphas = edge * np.array([0.1, 0.6, 1.0])
    together = meta_gradient_variance(model, alphas, horizon=HORIZONS)
    assert together.preconditioner.shape == (3, len(HORIZONS), 2, 2)
    for i, alpha in enumerate(alphas):
        for k, T in enumerate(HORIZONS):
            alone = meta_gradient_variance(model, alpha, horizon=T)
            np.testing.assert_allclose(alone.preconditioner, together.preconditioner[i, k], 1e-9)
            assert alone.nominal_step == pytest.approx(together.nominal_step[i, k], rel=1e-9)


def test_stepping_equals_doubling(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two ways through a trajectory: as powers of a matrix, and step by step."""
    model, P, alpha = problem(4, 2)
    powers = meta_gradient_variance(model, alpha, P, horizon=HORIZONS)
    monkeypatch.setattr(orbits, "LIFTED", 0)
    steps = meta_gradient_variance(model, alpha, P, horizon=HORIZONS)
    np.testing.assert_allclose(steps.preconditioner, powers.preconditioner, rtol=1e-11)


def test_settled_trajectories_equal_unsettled_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    from nqm.gradients import variance as gradient_variance

    model, P, alpha = problem(4, 2)
    horizons = [1, 20, 60, 61, 119, 120, 121, 122, 300, 2000]
    short = meta_gradient_variance(model, alpha, P, horizon=horizons)
    monkeypatch.setattr(gradient_variance, "_settling_time", lambda A, longest: longest)
    full = meta_gradient_variance(model, alpha, P, horizon=horizons)
    np.testing.assert_allclose(short.preconditioner, full.preconditioner, rtol=1e-11)
    np.testing.assert_allclose(short.mean.preconditioner, full.mean.preconditioner, atol=1e-13)


def test_settling_time_falls_within_the_horizons_above() -> None:
    """So that the test above meets horizons below, between and beyond s and 2 s."""
    from nqm.gradients.variance import _settling_time

    model, P, alpha = problem(4, 2)
    A = np.eye(2) - (alpha * np.eye(2) + P) @ model.hessian
    assert 20 < _settling_time(A, 10**6) < 1000


def test_the_variance_decays_like_one_over_the_horizon() -> None:
    """As T grows with rho < 1, T Var tends to a constant."""
    model, edge = paper()
    T = np.array([2000, 4000, 100_000])
    scaled = T * meta_gradient_variance(model, 0.5 * edge, horizon=T.tolist()).trace
    assert scaled[1] == pytest.approx(scaled[0], rel=0.01)
    assert scaled[2] == pytest.approx(scaled[1], rel=0.01)


def test_the_variance_grows_like_the_fourth_power_of_the_radius() -> None:
    model, edge = paper()
    rho = abs(1 - 1.2 * 2)  # alpha = 1.2 * 2/h at the eigenvalue h
    found = meta_gradient_variance(model, 1.2 * edge, horizon=[100, 101]).trace
    growth = found[1] / found[0] * (101 / 100) ** 2
    # the sum over t is polynomial times rho^4T: t^2 from d/dP of rho^2t
    assert growth == pytest.approx(rho**4 * (101 / 100) ** 2, rel=0.01)


def test_unstable_beyond_float64_is_infinite_without_a_warning() -> None:
    model, edge = paper()
    found = meta_gradient_variance(model, 3 * edge, horizon=[5, 1000])
    assert np.isfinite(found.trace[0])
    assert found.trace[1] == math.inf
    gradient = expected_meta_gradient(model, 3 * edge, horizon=10**6)
    assert np.all(np.isinf(gradient.preconditioner))


def test_an_unstable_mode_that_nothing_excites_leaves_the_other_alone() -> None:
    """At T = 10^6 it would reach 2^10^6, and the stable mode's part of that is no float."""
    model = NoisyQuadratic(np.eye(2), np.diag([1.0, 0.0]), [1.0, 0.0])
    found = expected_meta_gradient(model, 0.0, np.diag([0.5, -1.0]), horizon=10**6)
    alone = NoisyQuadratic([[1.0]], [[1.0]], [1.0])
    exact = expected_meta_gradient(alone, 0.5, horizon=10**6).nominal_step
    np.testing.assert_allclose(found.preconditioner, [[exact, 0], [0, 0]], rtol=1e-12)
    # L tends to 1/2 (q + s), q = s (1-l)/(1+l) at l = 1/2: d/dM of 1/2 M/(2 - M) is 1/(2 - M)^2
    assert exact == pytest.approx(1 / 1.5**2, rel=1e-5)


def test_a_million_steps_of_the_expected_gradient() -> None:
    """Beyond settling, T dL/dP grows by the stationary gradient Y [(I-A) S - A Pi] H each step."""
    model, edge = paper()
    short, long = (
        T * expected_meta_gradient(model, 0.5 * edge, horizon=T).preconditioner
        for T in (10**4, 10**6)
    )
    slope = (long - short) / (10**6 - 10**4)
    n, H, S, alpha = 2, model.hessian, model.noise_covariance, 0.5 * edge
    A = np.eye(n) - alpha * H
    h, V = np.linalg.eigh(H)
    l = 1 - alpha * h
    Y = (V * (h / (1 - l**2))) @ V.T
    Pi = (V * ((1 - l) ** 2 / (1 - l**2))) @ V.T
    np.testing.assert_allclose(slope, Y @ ((np.eye(n) - A) @ S - A @ Pi) @ H, rtol=1e-8)


def test_a_rank_deficient_noise_is_enough_for_the_oracle() -> None:
    rng = np.random.default_rng(3)
    model = NoisyQuadratic(covariance(rng, 3), covariance(rng, 3, 1), None, covariance(rng, 3, 1))
    law = omega(model, 4)
    found = meta_gradient_variance(model, 0.2, horizon=4)
    forms = [gradient_form(model, 0.2 * np.eye(3), E, 4) for E in directions(3)]
    np.testing.assert_allclose(
        [*found.preconditioner.ravel(), found.nominal_step],
        [law.variance(f) for f in forms],
        rtol=1e-9,
    )


def test_bad_arguments_are_refused() -> None:
    model, _ = paper()
    with pytest.raises(ValueError, match="horizon"):
        meta_gradient_variance(model, 0.1, horizon=0)
    with pytest.raises(ValueError, match="preconditioner must be 2 x 2"):
        meta_gradient_variance(model, 0.1, np.eye(3), horizon=1)
    with pytest.raises(ValueError, match="nominal_step must be finite"):
        meta_gradient_variance(model, [0.1, math.nan], horizon=1)
    with pytest.raises(ValueError, match="seeds must be an integer"):
        sample_meta_gradients(model, 0.1, horizon=1, seeds=0, rng=np.random.default_rng())
