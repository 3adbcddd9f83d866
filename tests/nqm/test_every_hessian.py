"""The M that are stable for every Hessian up to h: random Hessians, the sets around, the edge."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nqm import (
    check,
    every_hessian,
    every_hessian_stability,
    numerical_radius,
    theorem1_prime,
)


def random_hessian(rng: np.random.Generator, size: int, top: float) -> np.ndarray:
    """0 < H <= top I, with many eigenvalues at the ends, where the worst ones are."""
    basis = np.linalg.qr(rng.standard_normal((size, size)))[0]
    values = np.where(rng.random(size) < 0.5, rng.random(size), rng.integers(0, 2, size))
    return top * (basis * np.clip(values, 1e-6, 1)) @ basis.T


def radius(M: np.ndarray, H: np.ndarray) -> float:
    return float(np.max(np.abs(np.linalg.eigvals(np.eye(len(M)) - M @ H))))


def on_the_edge(rng: np.random.Generator, size: int) -> tuple[np.ndarray, float]:
    """Z with a gauge of about one, rotating or not, and how sharp its gauge is known."""
    Z = rng.standard_normal((size, size)) + rng.standard_normal() * np.triu(
        np.ones((size, size)), 1
    )
    Z += rng.standard_normal() * (Z - Z.T)
    found = every_hessian_stability(np.eye(size) - Z, 1.0)
    return Z / found.upper, found.lower / found.upper


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_inside_no_hessian_destabilizes_and_outside_one_does(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    h = 10 ** rng.uniform(-2, 2)
    Z, sharpness = on_the_edge(rng, n)
    inside, outside = ((np.eye(n) - s * Z) / h for s in (1 - 1e-6, 1.01 / sharpness))
    found = every_hessian_stability(inside, h)
    assert found.status == "certified"
    assert found.witness is None
    assert max(radius(inside, random_hessian(rng, n, h)) for _ in range(60)) <= 1 + 1e-9
    found = every_hessian_stability(outside, h)
    assert found.status == "refuted"
    values = np.linalg.eigvalsh(found.witness)
    assert values[0] > 0
    assert values[-1] <= h
    assert radius(outside, found.witness) > 1
    if n <= 4:  # exact: the plane that was searched for has the bound's determinant
        assert sharpness > 1 - 1e-6


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 4))
def test_the_three_sets_are_nested(seed: int, n: int) -> None:
    """gauge <= numerical radius <= norm, and all equal for symmetric M."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, n))
    found = every_hessian_stability(np.eye(n) - Z, 1.0)
    assert found.lower <= found.upper <= numerical_radius(Z)[1] * (1 + 1e-9)
    assert numerical_radius(Z)[0] <= np.linalg.norm(Z, 2) * (1 + 1e-9)
    S = Z + Z.T
    symmetric = every_hessian_stability(np.eye(n) - S, 1.0)
    assert symmetric.upper == pytest.approx(np.linalg.norm(S, 2), rel=1e-9)


@settings(max_examples=30)
@given(st.integers(0, 10**6))
def test_the_closed_form_of_the_plane(seed: int) -> None:
    """N = 2: 0 <= sym M <= (2/h) I and h det M <= tr M."""
    rng = np.random.default_rng(seed)
    M, h = rng.standard_normal((2, 2)) + np.eye(2), rng.uniform(0.2, 1.5)
    values = np.linalg.eigvalsh((M + M.T) / 2)
    room = min(values[0], 2 / h - values[1], np.trace(M) - h * np.linalg.det(M))
    if abs(room) > 1e-9:
        expected = "certified" if room > 0 else "refuted"
        assert every_hessian_stability(M, h).status == expected


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_invariant_under_rotations_and_homogeneous(n: int) -> None:
    rng = np.random.default_rng(n)
    Z, U = rng.standard_normal((n, n)), np.linalg.qr(rng.standard_normal((n, n)))[0]
    plain = every_hessian_stability(np.eye(n) - Z, 1.0)
    rel = 1e-9 if n <= 4 else 1e-3
    for other, factor in ((U.T @ Z @ U, 1.0), (3 * Z, 3.0), (Z.T, 1.0)):
        again = every_hessian_stability(np.eye(n) - other, 1.0)
        assert again.upper == pytest.approx(factor * plain.upper, rel=rel)
        assert again.lower == pytest.approx(factor * plain.lower, rel=1e-4)


def test_as_a_condition() -> None:
    """It is listed for the plain rule up to N = 4, and certifies what Theorem 1' does not."""
    H, P = np.diag([1.0, 0.5]), np.array([[0.5, -2.0], [0.0, 0.5]])
    report = check(H, P, 0.5)
    listed = {c.name: c for c in report.conditions}
    assert listed["every Hessian"].holds
    assert not listed["Theorem 1'"].holds
    assert "every Hessian" not in {
        c.name for c in check(np.eye(5), np.ones((5, 5)), 0.1).conditions
    }
    symmetric = np.array([[0.3, 0.1], [0.1, -0.2]])
    first, second = (f(H, symmetric, 0.4) for f in (every_hessian, theorem1_prime))
    assert (first.margin, first.holds) == (second.margin, second.holds)
    # The condition and the function say the same.
    rng = np.random.default_rng(1)
    for _ in range(20):
        P = rng.standard_normal((3, 3)) / 2
        condition = every_hessian(np.diag([1.0, 0.3, 0.1]), P, 1.0)
        found = every_hessian_stability(np.eye(3) + P, 1.0)
        assert condition.largest == pytest.approx(found.upper, rel=1e-12)


@pytest.mark.parametrize(
    ("step", "top", "message"),
    [
        (np.ones((2, 3)), 1.0, "square"),
        (np.eye(2), 0.0, "must be positive"),
        (np.eye(2), np.nan, "finite"),
        (1e60 * np.eye(2), 1e60, "at most 1e\\+100"),
    ],
)
def test_bad_input_is_one_line(step: np.ndarray, top: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        every_hessian_stability(step, top)
