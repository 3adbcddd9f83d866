"""Mean-square stability: the moment map against Monte Carlo and against its dense matrix."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nqm import (
    check,
    mean_square_matrix,
    minibatch_mean_square,
    minibatch_step_limit,
    second_moment_step,
    spectral_radius,
)
from tests.nqm.strategies import hessian

SHOWN = np.diag([1.0, 0.5, 0.1, 0.1])


def dense(H: np.ndarray, M: np.ndarray, batch: float) -> np.ndarray:
    """The matrix of T, column by column."""
    n = H.shape[0]
    columns = [second_moment_step(H, M, batch, e.reshape(n, n)).ravel() for e in np.eye(n * n)]
    return np.array(columns).T


def test_the_second_moment_map_is_that_of_gaussian_minibatches() -> None:
    """H_t = (1/B) sum of x x^T with x ~ N(0, H): the mean of A_t X A_t^T, four standard errors."""
    rng = np.random.default_rng(1)
    H, B, draws = hessian(rng, 3, 0.7), 4, 40_000
    H = H / np.linalg.eigvalsh(H)[-1]
    M, X = 0.6 * np.eye(3) + 0.2 * rng.standard_normal((3, 3)), np.diag([1.0, 2.0, 3.0])
    x = rng.standard_normal((draws, B, 3)) @ np.linalg.cholesky(H).T
    A = np.eye(3) - M @ (x.transpose(0, 2, 1) @ x / B)
    images = A @ X @ A.transpose(0, 2, 1)
    error = images.std(axis=0) / np.sqrt(draws)
    expected = second_moment_step(H, M, B, X)
    assert np.all(np.abs(images.mean(axis=0) - expected) <= 4 * error)


def test_the_limit_of_the_worked_example() -> None:
    assert minibatch_step_limit(SHOWN, 4) == pytest.approx(1.289315, abs=5e-7)
    assert check(SHOWN, None, 1.5).verdict == "stable"
    report = check(SHOWN, None, 1.5, batch_size=4)
    assert report.verdict == "unstable"
    assert report.exit_code == 1
    assert report.text().startswith("UNSTABLE in mean square, though stable in the mean")


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.floats(0.5, 64))
def test_the_limit_is_where_the_dense_map_has_radius_one(seed: int, n: int, batch: float) -> None:
    H = hessian(np.random.default_rng(seed), n, 3.0)
    limit = minibatch_step_limit(H, batch)
    h = np.linalg.eigvalsh(H)
    assert limit * h[-1] * (1 + 1 / batch) < 2
    terms = limit * h / (batch * (2 - limit * h * (1 + 1 / batch)))
    assert terms.sum() == pytest.approx(1)
    radius = float(spectral_radius(dense(H, limit * np.eye(n), batch)))
    assert radius == pytest.approx(1, abs=1e-9)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.floats(0.5, 64))
@example(377, 5, 1.0)
def test_the_enclosure_holds_the_dense_radius(seed: int, n: int, batch: float) -> None:
    rng = np.random.default_rng(seed)
    H = hessian(rng, n, 2.0)
    h = np.linalg.eigvalsh(H)[-1]
    P, alpha = rng.standard_normal((n, n)) * 0.5 / h, rng.uniform(0.1, 1.5) / h
    found = minibatch_mean_square(H, P, alpha, batch)
    radius = float(spectral_radius(dense(H, alpha * np.eye(n) + P, batch)))
    assert found.lower <= radius * (1 + 1e-9)
    assert radius <= found.upper * (1 + 1e-9)
    assert found.upper - found.lower <= 1e-3 * radius


def test_a_large_batch_recovers_the_mean() -> None:
    found = minibatch_mean_square(SHOWN, None, 1.5, 1e9)
    assert found.spectral_radius == pytest.approx(0.85**2, rel=1e-6)


def test_the_kronecker_mean_is_the_moment_of_a_finite_ensemble() -> None:
    rng = np.random.default_rng(2)
    A, w = rng.standard_normal((3, 2, 2)), np.array([0.5, 0.25, 0.25])
    X = np.array([[2.0, 1.0], [1.0, 3.0]])
    expected = sum(p * B @ X @ B.T for p, B in zip(w, A, strict=True))
    assert np.allclose(mean_square_matrix(A, w) @ X.ravel(), expected.ravel())


def test_bad_batch_sizes_are_refused() -> None:
    for batch in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="batch_size"):
            minibatch_mean_square(SHOWN, None, 0.1, batch)
