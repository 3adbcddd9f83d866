"""Moments and expected loss: closed form, dense oracle and Monte Carlo; no horizon overflows."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nqm import (
    NoisyQuadratic,
    UpdateRule,
    aggmo_rule,
    averaged_rule,
    delayed_rule,
    expected_loss,
    heavy_ball_rule,
    limit_loss,
    limit_moments,
    loss_spectrum,
    memoryless_rule,
    nesterov_rule,
    parameter_moments,
    plain_rule,
    sample_trajectories,
    spectral_loss,
)
from tests.nqm.dense import loss_form, omega, parameters

RULES = {
    "plain": lambda H, P, a: plain_rule(H, P, a),
    "heavy ball": lambda H, P, a: heavy_ball_rule(H, P, a, 0.7),
    "nesterov": lambda H, P, a: nesterov_rule(H, P, a, 0.5),
    "aggmo": lambda H, P, a: aggmo_rule(H, P, a, (0.0, 0.6)),
    "delayed": lambda H, P, a: delayed_rule(H, P, a, 2),
    "averaged": lambda H, P, a: averaged_rule(plain_rule(H, P, a), 0.8),
}


def covariance(rng: np.random.Generator, n: int, rank: int | None = None) -> np.ndarray:
    X = rng.standard_normal((n, n if rank is None else rank))
    return X @ X.T / n


def problem(seed: int, n: int = 3) -> tuple[NoisyQuadratic, np.ndarray, float]:
    rng = np.random.default_rng(seed)
    H = covariance(rng, n) + 0.1 * np.eye(n)
    top = np.linalg.eigvalsh(H)[-1]
    model = NoisyQuadratic(H, covariance(rng, n, n - 1), rng.standard_normal(n), covariance(rng, n))
    return model, 0.3 * rng.standard_normal((n, n)) / top, rng.uniform(0.2, 1.2) / top


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("T", [1, 2, 7, 12])
def test_triangle_of_the_loss_closed_form_and_dense(name: str, T: int) -> None:
    model, P, alpha = problem(7 * T)
    rule = RULES[name](model.hessian, P, alpha)
    exact = omega(model, T).expectation(loss_form(model, rule, T))
    assert expected_loss(model, rule, T).value == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("T", [0, 1, 6])
def test_triangle_of_the_moments_closed_form_and_dense(name: str, T: int) -> None:
    model, P, alpha = problem(T)
    rule = RULES[name](model.hessian, P, alpha)
    Phi, law = parameters(rule, 3, T)[T], omega(model, T)
    found = parameter_moments(model, rule, T)
    np.testing.assert_allclose(found.mean, Phi @ law.mean, atol=1e-13)
    np.testing.assert_allclose(found.covariance, Phi @ law.covariance @ Phi.T, atol=1e-12)
    assert found.mean_exponent == found.covariance_exponent == 0


@pytest.mark.parametrize("name", RULES)
def test_triangle_monte_carlo_within_four_standard_errors(name: str) -> None:
    model, P, alpha = problem(5)
    rule, seeds, T = RULES[name](model.hessian, P, alpha), 20_000, 6
    runs = sample_trajectories(model, rule, T, seeds=seeds, rng=np.random.default_rng(1))
    loss = expected_loss(model, rule, T).value
    error = np.std(runs.meta_losses) / math.sqrt(seeds)
    assert abs(np.mean(runs.meta_losses) - loss) < 4 * error
    exact, last = parameter_moments(model, rule, T), runs.parameters[:, T]
    spread = np.sqrt(np.diag(exact.covariance) / seeds)
    assert np.all(abs(np.mean(last, axis=0) - exact.mean) < 4 * spread)
    products = np.einsum("si,sj->sij", last - exact.mean, last - exact.mean)
    error = np.std(products, axis=0) / math.sqrt(seeds)
    assert np.all(abs(np.mean(products, axis=0) - exact.covariance) < 4 * error)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 2**20))
def test_spectral_form_equals_doubling(seed: int, n: int, T: int) -> None:
    model, P, alpha = problem(seed, n)
    P = np.random.default_rng(seed).choice([0.3, 1.0, 3.0]) * (P + P.T)
    spectral = spectral_loss(model, alpha, P, horizon=T)
    doubling = expected_loss(model, plain_rule(model.hessian, P, alpha), T)
    allowed = 4 * (spectral.relative_error + doubling.relative_error)
    assert abs(math.expm1(spectral.log - doubling.log)) <= allowed + 1e-13


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_many_horizons_are_each_of_them(seed: int, horizons: list[int]) -> None:
    model, P, alpha = problem(seed)
    rule = plain_rule(model.hessian, P, alpha)
    together = expected_loss(model, rule, horizons)
    alone = [expected_loss(model, rule, T).value for T in horizons]
    np.testing.assert_allclose(together.value, alone, rtol=1e-12)
    many = spectral_loss(model, alpha, horizon=horizons).value
    alone = [spectral_loss(model, alpha, horizon=T).value for T in horizons]
    np.testing.assert_allclose(many, alone, rtol=1e-13)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 30))
def test_the_total_loss_is_monotone_in_the_horizon(seed: int, T: int) -> None:
    """Lemma 5, corrected: T L(T) rises; L(T) itself need not."""
    model, P, alpha = problem(seed)
    rule = plain_rule(model.hessian, P, alpha)
    losses = expected_loss(model, rule, [T, T + 1]).value
    assert (T + 1) * losses[1] >= T * losses[0] * (1 - 1e-12)


@settings(max_examples=25)
@given(
    st.lists(st.integers(-6, 6), min_size=4, max_size=4),
    st.integers(1, 60),
    st.booleans(),
)
def test_the_relative_error_covers_the_rounding(entries: list[int], T: int, wild: bool) -> None:
    """Against rational arithmetic, for a Hessian, a noise and an update with small fractions."""
    unit = Fraction(1, 3 if wild else 7)
    A = [[unit * entries[0], unit * entries[1]], [unit * entries[2], unit * entries[3]]]
    floats = np.array([[float(x) for x in row] for row in A])
    A = [[Fraction(float(x)) for x in row] for row in floats]
    H, one = [[Fraction(2), Fraction(1)], [Fraction(1), Fraction(2)]], Fraction(1)
    B = [[(i == j) - A[i][j] for j in range(2)] for i in range(2)]
    Pi, total = [[one, one], [one, one]], Fraction(0)
    for _ in range(T):
        moved = [
            [
                sum(A[i][k] * Pi[k][l] * A[j][l] for k in range(2) for l in range(2))
                for j in range(2)
            ]
            for i in range(2)
        ]
        Pi = [
            [moved[i][j] + sum(B[i][k] * B[j][k] for k in range(2)) for j in range(2)]
            for i in range(2)
        ]
        total += sum(H[i][j] * (Pi[i][j] + (i == j)) for i in range(2) for j in range(2)) / 2
    model = NoisyQuadratic([[2.0, 1.0], [1.0, 2.0]], np.eye(2), [1.0, 1.0])
    # I - A is rounded; memoryless_rule stores it as a float
    loss = expected_loss(model, memoryless_rule(floats), T)
    error = abs(Fraction(float(loss.value)) / (total / T) - 1)
    assert error <= 4 * loss.relative_error + 1e-15


def test_lemma5_the_mean_loss_falls() -> None:
    """H = 1, A = 1/2, phi_0 = 1, S = 0: L(1) = 1/8, L(2) = 5/64."""
    model = NoisyQuadratic([[1.0]], None, [1.0])
    losses = expected_loss(model, memoryless_rule(np.array([[0.5]])), [1, 2]).value
    assert losses.tolist() == [1 / 8, 5 / 64]


def test_equation_8_lacks_one_half() -> None:
    """A frozen parameter has the loss 1/2 tr H (Pi_0 + S) at every horizon."""
    model, _, _ = problem(3)
    exact = np.sum(model.hessian * (model.initial_second_moment + model.noise_covariance)) / 2
    assert spectral_loss(model, 0.0, horizon=50).value == pytest.approx(exact, rel=1e-13)


def test_footnote_1_the_two_conventions_differ_by_half_trace_hs() -> None:
    model, P, alpha = problem(11)
    rule, T = plain_rule(model.hessian, P, alpha), 9
    on_minimum = expected_loss(model, rule, T).value
    on_gradient = expected_loss(model, rule, T, noisy_minimum=False).value
    half = np.sum(model.hessian * model.noise_covariance) / 2
    assert on_minimum - on_gradient == pytest.approx(half, rel=1e-12)
    same = NoisyQuadratic.with_gradient_noise(
        model.hessian,
        model.gradient_noise_covariance,
        model.initial_mean,
        model.initial_covariance,
    )
    assert expected_loss(same, rule, T).value == pytest.approx(on_minimum, rel=1e-10)
    runs = sample_trajectories(model, rule, T, seeds=20_000, rng=np.random.default_rng(0))
    phi = runs.parameters[:, 1:]
    losses = np.mean(np.sum((phi @ model.hessian) * phi, axis=2) / 2, axis=1)
    assert abs(np.mean(losses) - on_gradient) < 4 * np.std(losses) / math.sqrt(20_000)


def test_marginal_oscillation_makes_the_loss_grow_like_the_horizon() -> None:
    """H = 1, alpha = 2, S = s: Cov_t = 4 t s, so 2 L = s (2T + 3)."""
    model = NoisyQuadratic([[1.0]], [[0.7]])
    for T in (1, 10, 1001):
        found = parameter_moments(model, plain_rule(model.hessian, None, 2.0), T)
        assert found.covariance[0, 0] == pytest.approx(4 * T * 0.7, rel=1e-12)
        loss = spectral_loss(model, 2.0, horizon=T).value
        assert 2 * loss == pytest.approx(0.7 * (2 * T + 3), rel=1e-12)


def test_an_unstable_mode_that_nothing_excites_costs_nothing() -> None:
    """H = I, M = diag(1/2, -1), phi_0 = (1, 0), S = diag(1, 0): rho(A) = 2, loss bounded."""
    model = NoisyQuadratic(np.eye(2), np.diag([1.0, 0.0]), [1.0, 0.0])
    rule = plain_rule(model.hessian, np.diag([0.5, -1.0]), 0.0)
    assert abs(np.linalg.eigvals(rule.joint_matrix)).max() == 2
    limit = limit_loss(model, rule)
    assert limit.value == pytest.approx(0.5 * (1 / 3 + 1), abs=1e-12)
    long = expected_loss(model, rule, 10**6)
    assert long.value == pytest.approx(limit.value, rel=1e-5)
    assert parameter_moments(model, rule, 10**6).covariance[0, 0] == pytest.approx(1 / 3)


def test_horizon_of_a_million_at_radius_1_1_has_a_finite_logarithm() -> None:
    """alpha = 2.1, H = 1: T L = 1/2 sum_t 1.21^t m^2, so log L is that of a geometric sum."""
    model, T = NoisyQuadratic([[1.0]], None, [3.0]), 10**6
    rule = plain_rule(model.hessian, None, 2.1)
    exact = math.log(0.5 * 9 * 1.21 / 0.21 / T) + 2 * T * math.log1p(0.1)
    for loss in (expected_loss(model, rule, T), spectral_loss(model, 2.1, horizon=T)):
        assert loss.value == math.inf
        assert abs(loss.log - exact) <= 4 * loss.relative_error + 1e-15 * exact
    huge = parameter_moments(model, rule, T)
    log_mean = math.log(abs(huge.mean[0])) + huge.mean_exponent * math.log(2)
    assert log_mean == pytest.approx(T * math.log(1.1) + math.log(3), rel=1e-9)
    assert np.isfinite(huge.mean[0])


def test_huge_units_do_not_overflow() -> None:
    """H c, M / c leaves A alone, and phi times b multiplies the loss by c b^2."""
    model, P, alpha = problem(8)
    b, c = 1e80, 1e90
    large = NoisyQuadratic(c * model.hessian, None, b * model.initial_mean)
    bare = NoisyQuadratic(model.hessian, None, model.initial_mean)
    exact = expected_loss(bare, plain_rule(model.hessian, P, alpha), 9)
    found = expected_loss(large, plain_rule(large.hessian, P / c, alpha / c), 9)
    assert found.log == pytest.approx(exact.log + math.log(c) + 2 * math.log(b), rel=1e-12)
    wild = expected_loss(large, plain_rule(large.hessian, 1e80 * P, alpha), 9)
    assert np.isfinite(wild.log)
    assert wild.value == math.inf


def test_float32_overflow_near_465_is_no_overflow_here() -> None:
    model = NoisyQuadratic([[1.0]], None, [1.0])
    losses = expected_loss(model, plain_rule(model.hessian, None, 2.1), [465, 5000])
    assert losses.value[0] > 1e36
    assert np.all(np.isfinite(losses.log))


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_limit_is_the_closed_form_for_symmetric_p(seed: int, n: int) -> None:
    """1/2 tr H (Cov_inf + S) = tr S (2 H^-1 - M)^-1 for 0 < G < 2I."""
    model, P, alpha = problem(seed, n)
    P = (P + P.T) / 2
    l = loss_spectrum(model, alpha, P).eigenvalues
    if np.max(np.abs(l)) > 0.999:
        return
    M = alpha * np.eye(n) + P
    exact = np.trace(model.noise_covariance @ np.linalg.inv(2 * np.linalg.inv(model.hessian) - M))
    limit = limit_loss(model, plain_rule(model.hessian, P, alpha))
    assert limit.value == pytest.approx(exact, rel=1e-8, abs=1e-12)
    long = spectral_loss(model, alpha, P, horizon=10**9).value
    assert long == pytest.approx(exact, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", RULES)
def test_the_moments_tend_to_their_limit(name: str) -> None:
    model, P, alpha = problem(13)
    rule = RULES[name](model.hessian, 0 * P, 0.3 * alpha)  # below the limit of each rule
    limit = limit_moments(model, rule)
    many = parameter_moments(model, rule, [0, 3, 10**6])
    np.testing.assert_allclose(many.covariance[0], model.initial_covariance, atol=1e-14)
    np.testing.assert_allclose(many.mean[1], parameter_moments(model, rule, 3).mean, atol=1e-14)
    np.testing.assert_allclose(many.covariance[2], limit.covariance, atol=1e-10)
    np.testing.assert_allclose(many.mean[2], limit.mean, atol=1e-10)
    assert limit.residual < 1e-12
    unstable = limit_moments(model, plain_rule(model.hessian, None, 10 * alpha))
    assert np.all(np.isnan(unstable.covariance))


def test_limit_of_an_oscillation_and_of_a_frozen_mode() -> None:
    model = NoisyQuadratic(np.diag([1.0, 2.0]), np.eye(2), [1.0, 1.0])
    assert limit_loss(model, plain_rule(model.hessian, None, 1.0)).value == math.inf
    frozen = limit_loss(model, plain_rule(model.hessian, np.diag([0.5, 0.0]), 0.0))
    # mode 1: l = 1/2, s = 1 -> 1/2 * 1 * 2/(1 + 1/2); mode 2 keeps 1/2 * 2 * (1 + 1)
    assert frozen.value == pytest.approx(2 / 3 + 2.0, abs=frozen.error)


@pytest.mark.parametrize("horizon", [0, -3, 1.5, "ten", [], [3, 0], None])
def test_bad_horizons_are_refused(horizon: object) -> None:
    model, P, alpha = problem(0)
    rule = plain_rule(model.hessian, P, alpha)
    with pytest.raises(ValueError, match="horizon"):
        expected_loss(model, rule, horizon)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="horizon"):
        spectral_loss(model, alpha, horizon=horizon)  # type: ignore[arg-type]


def test_spectral_form_refuses_a_nonsymmetric_preconditioner() -> None:
    with pytest.raises(ValueError, match="preconditioner must be symmetric"):
        spectral_loss(NoisyQuadratic(np.eye(2)), 0.1, [[0.0, 1.0], [0.0, 0.0]], horizon=3)


def test_a_rule_of_ones_own() -> None:
    """Sign flipping keeps the loss of phi_0."""
    one = np.eye(2)
    model = NoisyQuadratic(np.diag([1.0, 3.0]), None, [1.0, 1.0])
    assert expected_loss(model, UpdateRule(-one, 0 * one, one, one), 9).value == 2.0
