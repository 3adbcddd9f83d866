"""The doubling of the total loss: against the dense oracle, plain stepping and exact limits."""

import math

import numpy as np
import pytest

from nqm import NoisyQuadratic, expected_loss, limit_loss, memoryless_rule
from nqm.moments.powers import scaled
from tests.nqm.dense import loss_form, omega


def jordan(n: int, rho: float, coupling: float, seed: int) -> np.ndarray:
    """A rotated Jordan block with the eigenvalue rho: defective, or nearly so by rounding."""
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]
    return Q @ (rho * np.eye(n) + coupling * np.eye(n, k=1)) @ Q.T


def model_of(n: int, seed: int) -> NoisyQuadratic:
    rng = np.random.default_rng(seed)
    X, Y, Z = rng.standard_normal((3, n, n)) / math.sqrt(n)
    return NoisyQuadratic(X @ X.T, Y @ Y.T, rng.standard_normal(n), Z @ Z.T)


def stepped(
    model: NoisyQuadratic, A: np.ndarray, T: int, dtype: type[np.floating] = np.longdouble
) -> np.floating:
    """The mean loss by T steps of the covariance."""
    H, S, m, S0, A = (
        np.asarray(x, dtype=dtype)
        for x in (
            model.hessian,
            model.noise_covariance,
            model.initial_mean,
            model.initial_covariance,
            A,
        )
    )
    B, moment, total = np.eye(len(A)) - A, S0 + np.outer(m, m), dtype(0)
    noise = B @ S @ B.T
    for _ in range(T):
        moment = A @ moment @ A.T + noise
        total += np.sum(H * (moment + S)) / 2
    return total / T


@pytest.mark.parametrize("rho", [0.5, -0.9, 1 - 1e-8, 1.0, -1.0, 1.3])
@pytest.mark.parametrize("coupling", [0.0, 1e-8, 0.3])
def test_triangle_near_defective_and_marginal(rho: float, coupling: float) -> None:
    model, A = model_of(3, 1), jordan(3, rho, coupling, 2)
    rule = memoryless_rule(A)
    for T in (1, 2, 3, 4, 5, 11, 16):
        dense = omega(model, T).expectation(loss_form(model, rule, T))
        found = expected_loss(model, rule, T)
        assert found.value == pytest.approx(dense, rel=1e-12)
        assert float(stepped(model, A, T)) == pytest.approx(dense, rel=1e-12)
    T = 3001
    found = expected_loss(model, rule, T)
    error = abs(np.expm1(found.log - np.log(stepped(model, A, T))))
    # a rounding error in F^i reaches F^T times ||F^i|| ||F^(T-i)|| / ||F^T||, up to (c T)^2 here
    powers = 1 + (coupling * T) ** 2 if abs(rho) > 0.99 else 1
    assert error <= found.relative_error * powers + 1e-15 * abs(found.log)


@pytest.mark.parametrize("coupling", [0.0, 1e-8, 0.3])
def test_a_settled_sum_at_radius_close_to_one_is_the_closed_form(coupling: float) -> None:
    """One state: 2 T L = q/(1-r^2) (T - g) + h m^2 g + T s, g = r^2 (1-r^2T)/(1-r^2)."""
    for gap in (1e-2, 1e-5, 1e-8):
        r = 1 - gap
        model = NoisyQuadratic([[1.0]], [[2.0]], [3.0])
        for T in (10**6, 10**9, 10**12):
            one = -math.expm1(2 * math.log1p(-gap))  # 1 - r^2
            g = r * r * -math.expm1(2 * T * math.log1p(-gap)) / one
            q = (1 - r) ** 2 * 2
            exact = (q / one * (T - g) + 9 * g + 2 * T) / (2 * T)
            found = expected_loss(model, memoryless_rule(np.array([[r]])), T)
            assert found.value == pytest.approx(exact, rel=4 * found.relative_error + 1e-14)
    model, A = model_of(3, 4), jordan(3, 0.99, coupling / 100, 5)
    limit = limit_loss(model, memoryless_rule(A)).value
    T = 10**12
    assert expected_loss(model, memoryless_rule(A), T).value == pytest.approx(limit, rel=1e-8)


def test_zero_noise_does_not_set_the_scale_of_a_growing_loss() -> None:
    """1/2 E phi^2 = 4^t / 2, so T L = 2 (4^T - 1) / 3 at every T, powers of two among them."""
    model = NoisyQuadratic([[1.0]], None, [1.0])
    for T in (1024, 1025, 2**20, 10**300):
        found = expected_loss(model, memoryless_rule(np.array([[2.0]])), T)
        exact = T * math.log(4) + math.log(2 / 3) - math.log(T)
        assert found.log == pytest.approx(exact, rel=1e-13)


def test_one_growing_mode_among_63_that_decay() -> None:
    """A = T D T^-1 with T = I + shift, far from normal: the loss grows as 1.0003^(2t)."""
    n, T = 64, 10**6
    rates = np.concatenate([[1.0003], 1 - np.geomspace(1e-5, 0.9, n - 1)])
    basis = np.eye(n) + np.eye(n, k=1)
    A = basis @ np.diag(rates) @ np.linalg.inv(basis)
    found = expected_loss(model_of(n, 7), memoryless_rule(A), [T, 2 * T])
    growth = (found.log[1] + math.log(2 * T) - found.log[0] - math.log(T)) / T
    assert growth == pytest.approx(2 * math.log(1.0003), rel=1e-9)


def test_states_beside_a_growing_one_are_kept() -> None:
    """Frozen states of loss 1/2 each, beside one that grows 1e15-fold in 512 steps from 1e-80."""
    n, T = 64, 2048
    model = NoisyQuadratic(np.eye(n), None, np.array([1e-80] + [1.0] * (n - 1)))
    rule = memoryless_rule(np.diag([1.07] + [1.0] * (n - 1)))
    assert expected_loss(model, rule, T).value == pytest.approx((n - 1) / 2, rel=1e-12)


@pytest.mark.parametrize("size", [5e-324, 1e-310, 1.0, 1e308])
def test_scaling_is_exact_from_the_smallest_number_to_the_largest(size: float) -> None:
    array = size * np.array([[1.0, 0.0], [0.0, 0.0]])
    found = scaled(np, array)
    assert 1 <= found.hat[0, 0] < 2
    np.testing.assert_array_equal(found.value(np), array)


def test_a_subnormal_start_has_a_loss() -> None:
    """Nothing moves, so the loss stays 1/2 m^2 = 5e-309, below the smallest normal number."""
    model = NoisyQuadratic([[1.0]], None, None, [[1e-308]])
    assert float(expected_loss(model, memoryless_rule([[1.0]]), 7).value) == pytest.approx(5e-309)
