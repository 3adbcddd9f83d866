"""Transient growth and Lyapunov certificates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nqm import check_lyapunov, kreiss_constant, lyapunov_certificate, transient_growth
from nqm.spectra.lyapunov import stein_solution


def stable_matrix(seed: int, n: int, radius: float, skew: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    F = rng.standard_normal((n, n)) + skew * np.triu(rng.standard_normal((n, n)), 1)
    return F * radius / np.max(np.abs(np.linalg.eigvals(F)))


def test_the_worked_example_rises_a_thousandfold() -> None:
    found = transient_growth(np.array([[0.5, -1000.0], [0.0, 0.5]]))
    powers = [
        np.linalg.norm(np.array([[0.5**t, -1000 * t * 0.5 ** (t - 1)], [0, 0.5**t]]), 2)
        for t in range(1, 60)
    ]
    assert found.peak == pytest.approx(max(powers))
    assert found.peak == pytest.approx(1000, rel=1e-3)
    assert found.peak_step == 1


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.floats(0.3, 0.97), st.floats(0, 30))
def test_kreiss_matrix_theorem(seed: int, n: int, radius: float, skew: float) -> None:
    """K <= sup |F^t| <= e n K; and the bounds enclose the powers."""
    F = stable_matrix(seed, n, radius, skew)
    found = transient_growth(F)
    norms = [np.linalg.norm(np.linalg.matrix_power(F, t), 2) for t in range(400)]
    assert found.peak == pytest.approx(max(norms), rel=1e-9)
    assert max(norms) <= found.bound * (1 + 1e-9)
    assert found.kreiss <= max(norms) * (1 + 1e-9)
    assert max(norms) <= np.e * n * found.kreiss * 1.05  # the search may miss a little of K


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.floats(0.05, 2.0), st.floats(0, 10))
def test_a_valid_certificate_means_stable(seed: int, n: int, radius: float, skew: float) -> None:
    F = stable_matrix(seed, n, radius, skew)
    found = lyapunov_certificate(F)
    if found.valid:
        assert radius < 1
        sup = max(np.linalg.norm(np.linalg.matrix_power(F, t), 2) for t in range(100))
        assert sup <= found.growth_bound * (1 + 1e-9)
    if radius < 0.9:
        assert found.valid
    if radius > 1:
        assert found.reason


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.floats(0.1, 3.0))
def test_the_stein_solution_solves_its_equation(seed: int, n: int, radius: float) -> None:
    F = stable_matrix(seed, n, radius, 0.0)
    X = stein_solution(F, np.eye(n))
    if X is not None and np.linalg.norm(X) < 1e6:
        assert np.allclose(X - F.T @ X @ F, np.eye(n), atol=1e-8 * (1 + np.linalg.norm(X)))


def test_a_wrong_candidate_is_refused() -> None:
    F = np.array([[0.9, 5.0], [0.0, 0.9]])
    assert not check_lyapunov(F, np.eye(2)).valid
    assert check_lyapunov(F, stein_solution(F, np.eye(2))).valid
    assert not check_lyapunov(F, -np.eye(2)).valid
    with pytest.raises(ValueError, match=r"joint_matrix must have entries of size at most 1e\+100"):
        check_lyapunov(1e200 * F, 1e200 * np.eye(2))


def test_an_unstable_matrix_grows_without_bound() -> None:
    found = transient_growth(np.array([[1.1]]))
    assert np.isinf(found.peak)
    assert np.isinf(found.bound)


def test_a_normal_matrix_has_kreiss_constant_one() -> None:
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    F = (Q * [0.99, -0.9, 0.5, 0.0]) @ Q.T
    assert kreiss_constant(F) == pytest.approx(1, abs=1e-6)
