"""Robust stability: no answer is wrong, by dense search, exact arithmetic and counterexamples."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nqm import robust_stability, spectral_radius, update_matrix
from nqm.robust.certificates import corner_norm, norm_falls, scaled_norm, small_gain
from nqm.robust.exact_cases import decide_exactly
from nqm.robust.family import (
    DisturbedFamily,
    all_roots_inside,
    characteristic_polynomial,
    disturbed_family,
)
from nqm.robust.search import find_worst
from nqm.robust.subdivision import subdivide
from nqm.spectra.elimination import definiteness
from tests.nqm.strategies import hessian


def grid(n: int, points: int) -> np.ndarray:
    """A grid on (0, 1]^n that starts beside zero."""
    line = np.linspace(0, 1, points)
    line[0] = 1e-9
    return np.stack(np.meshgrid(*[line] * n, indexing="ij"), -1).reshape(-1, n)


def random_problem(seed: int, n: int, condition: float = 2.0) -> tuple:
    """P~ of a size near the edge of robust stability, dbar over a decade."""
    rng = np.random.default_rng(seed)
    H = hessian(rng, n, condition * rng.random())
    top = np.linalg.eigvalsh(H)[-1]
    alpha = rng.uniform(0.02, 1.98) / top
    P = rng.standard_normal((n, n)) * rng.uniform(0.1, 1.5) * min(alpha, 2 / top - alpha)
    if seed % 3 == 0:
        P = P @ P.T / np.linalg.norm(P, 2)
    return H, P, alpha, 10 ** rng.uniform(-0.5, 0.5, n)


def radius_by_hand(H: np.ndarray, P: np.ndarray, alpha: float, d: np.ndarray) -> float:
    """rho of I - alpha H - Delta P~ H, written out."""
    A = np.eye(len(H)) - alpha * H - np.diag(d) @ P @ H
    return float(np.max(np.abs(np.linalg.eigvals(A))))


def assert_not_wrong(problem: tuple, points: int, budget: int = 4000) -> str:
    H, P, alpha, bound = problem
    report = robust_stability(H, P, alpha, bound, budget=budget)
    family = disturbed_family(H, P, alpha, bound)
    seen = float(np.max(family.radius(grid(len(H), points) * bound)))
    if report.status == "certified":
        assert seen <= 1 + 1e-9, report
        assert report.witness is None
        assert report.delta is None
    if report.status == "refuted":
        assert np.all(report.witness > 0)
        assert np.all(report.witness <= bound)
        assert radius_by_hand(H, P, alpha, report.witness) > 1 - 1e-12
        assert report.worst_spectral_radius >= seen - 1e-2 * (seen - 1) or seen > 1
    else:
        assert seen <= 1 + 1e-7, "the search missed what a grid finds"
    return report.status


@settings(max_examples=60)
@given(st.integers(0, 10**6))
def test_against_dense_search_in_two_dimensions(seed: int) -> None:
    assert assert_not_wrong(random_problem(seed, 2, 6.0), 41) != "unknown"


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_against_dense_search_in_three_dimensions(seed: int) -> None:
    assert_not_wrong(random_problem(seed, 3), 13)


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.integers(4, 6))
def test_against_dense_search_in_more_dimensions(seed: int, n: int) -> None:
    assert_not_wrong(random_problem(seed, n), {4: 7, 5: 5, 6: 4}[n], budget=1000)


@pytest.mark.parametrize("seed", range(6))
def test_near_the_edge_of_robust_stability(seed: int) -> None:
    """Scale P~ to the edge, found by the search alone: certified below it, refuted above it."""
    H, P, alpha, bound = random_problem(seed + 100, 3)
    low, high = 0.0, 1e3
    for _ in range(30):
        middle = (low + high) / 2
        refuted = robust_stability(H, middle * P, alpha, bound, budget=0).status == "refuted"
        low, high = (low, middle) if refuted else (middle, high)
    assert robust_stability(H, 0.98 * low * P, alpha, bound).status == "certified"
    assert robust_stability(H, 1.02 * high * P, alpha, bound).status == "refuted"


def test_lemma3_without_commutation_is_refuted() -> None:
    """theory.md: Delta = diag(1, 1/100) gives eig(A) = 1.0029, 1.1533 while (16), (17) hold."""
    H = np.array([[11.0, -20.0], [-20.0, 41.0]]) / 10
    P, alpha = 0.075 * np.array([[1.0, 2.0], [2.0, 4.0]]), 0.01
    p, h = np.linalg.eigvalsh(P), np.linalg.eigvalsh(H)[-1]
    assert p[0] >= -alpha - 1e-15
    assert p[-1] <= 2 / h - alpha
    found = np.sort(np.linalg.eigvals(update_matrix(H, np.diag([1, 0.01]) @ P, alpha)).real)
    np.testing.assert_allclose(found, [1.0029, 1.1533], atol=5e-5)
    report = robust_stability(H, P, alpha, [1.0, 1.0])
    assert report.status == "refuted"
    assert spectral_radius(update_matrix(H, report.delta @ P, alpha)) >= 1.1533


def test_the_worst_case_can_lie_inside_a_box_whose_corners_are_stable() -> None:
    """H = I. The principal minors of P~/0.03 are 1, 1, 1 | 25, 1, 1 | 57.

    Delta P~ has its eigenvalues on the right iff (d1 + d2 + d3)(25 d1 d2 + d1 d3 + d2 d3) exceeds
    57 d1 d2 d3: by 81 to 57 at (1, 1, 1), but 49 to 57 at (1, 1, 5), where the ratio is least.
    """
    H, alpha, bound = np.eye(3), 0.001, np.ones(3)
    P = 0.03 * np.array([[1.0, 4.0, 0.0], [-6.0, 1.0, 2.0], [4.0, 0.0, 1.0]])
    corners = [radius_by_hand(H, P, alpha, np.array(d)) for d in product((0.0, 1.0), repeat=3)]
    assert max(corners) < 0.9992
    report = robust_stability(H, P, alpha, bound)
    assert report.status == "refuted"
    assert np.all((report.witness[:2] > 0.1) & (report.witness[:2] < 0.9))
    assert radius_by_hand(H, P, alpha, report.witness) > 1.0015


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_diagonal_is_decided_exactly(seed: int, n: int) -> None:
    """min(alpha, alpha + dbar p) >= 0 and diag(max) <= 2 H^-1, against the corners."""
    H, P, alpha, bound = random_problem(seed, n, 4.0)
    P = np.diag(np.diag(P)) * 3
    family = disturbed_family(H, P, alpha, bound)
    seen = float(np.max(family.radius(family.corners(1e-12 * bound, bound))))
    report = robust_stability(H, P, alpha, bound)
    if abs(seen - 1) > 1e-9:
        assert report.status == ("certified" if seen < 1 else "refuted")
    assert report.by == "exact condition for diagonal P~"


@pytest.mark.parametrize("nudge", [-1, 0, 1])
def test_diagonal_edge_to_the_last_bit(nudge: int) -> None:
    """H = 1, alpha = 1, P~ = p, dbar = 1: stable iff p <= 1."""
    p = np.nextafter(1.0, 1.0 + nudge) if nudge else 1.0
    report = robust_stability([[1.0]], [[p]], 1.0, [1.0])
    assert report.status == ("refuted" if nudge > 0 else "certified")


@pytest.mark.parametrize("nudge", [-1, 0, 1])
def test_two_parameters_edge_to_the_last_bit(nudge: int) -> None:
    """A nilpotent coupling leaves the eigenvalues 1 - alpha - d p alone: stable iff p <= 1."""
    p = np.nextafter(1.0, 1.0 + nudge) if nudge else 1.0
    P = np.array([[p, 5.0], [0.0, 0.0]])
    report = robust_stability(np.eye(2), P, 1.0, [1.0, 1.0])
    assert report.status == ("refuted" if nudge > 0 else "certified")


def test_no_blackbox_needs_only_the_nominal_step() -> None:
    zero = np.zeros((3, 3))
    for alpha, status in (
        (0.0, "certified"),
        (1.0, "certified"),
        (2.5, "refuted"),
        (-0.1, "refuted"),
    ):
        assert robust_stability(np.diag([1.0, 0.5, 0.1]), zero, alpha, 1.0).status == status


def test_an_open_end_at_zero_still_counts() -> None:
    """alpha < 0 with P~ = I, dbar = 1: unstable only while d < |alpha|, near the open end."""
    report = robust_stability(np.eye(3) + np.ones((3, 3)), np.eye(3), -1e-6, [0.2] * 3)
    assert report.status == "refuted"
    assert np.any(report.witness < 1e-6)
    assert np.all(report.witness > 0)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 6))
def test_small_gain_holds_for_full_matrices(seed: int, n: int) -> None:
    """||Dbar P~|| <= min(alpha, 2/h - alpha) also bounds every full Delta' with norm one."""
    H, P, alpha, bound = random_problem(seed, n)
    family = disturbed_family(H, P, alpha, bound)
    scaled = bound[:, None] * P
    scaled *= min(alpha, 2 / np.linalg.eigvalsh(H)[-1] - alpha) / np.linalg.norm(scaled, 2)
    rng = np.random.default_rng(seed)
    for _ in range(20):
        Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
        assert spectral_radius(update_matrix(H, Q @ scaled, alpha)) <= 1 + 1e-10
    if small_gain(family):
        assert np.max(family.radius(family.corners(0 * bound, bound))) <= 1


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(2, 5))
def test_each_certificate_alone_is_sound(seed: int, n: int) -> None:
    H, P, alpha, bound = random_problem(seed, n)
    family = disturbed_family(H, P, alpha, bound)
    worst = float(family.radius(find_worst(family, np.random.default_rng(0), 4)))
    claims = {
        "small gain": small_gain(family),
        "corner norm": corner_norm(family, family.norm),
        "D-scaling": scaled_norm(family) is not None,
        "subdivision": subdivide(family, 500).complete,
        "exact": decide_exactly(family) is not None and decide_exactly(family)[0],
    }
    assert worst <= 1 or not any(claims.values()), claims


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(2, 4))
def test_d_scaling_returns_a_norm_that_falls_on_the_whole_box(seed: int, n: int) -> None:
    H, P, alpha, bound = random_problem(seed, n)
    family = disturbed_family(H, P, alpha, bound)
    X = scaled_norm(family)
    if X is None:
        return
    L = np.linalg.cholesky(X)
    for d in np.random.default_rng(seed).random((50, n)) * bound:
        A = family.matrices(d)
        assert np.linalg.norm(L.T @ A @ np.linalg.inv(L.T), 2) < 1


def test_a_norm_that_falls_by_less_than_rounding_is_refused() -> None:
    A = np.diag([1 - 1e-16, 0.5])
    assert not norm_falls(A, np.eye(2), 2.0)
    assert norm_falls(np.diag([1 - 1e-9, 0.5]), np.eye(2), 2.0)
    assert not norm_falls(0.5 * np.eye(2), np.diag([1.0, -1.0]), 2.0)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 4), st.floats(8, 17), st.booleans())
def test_an_accepted_norm_falls_in_rational_arithmetic(
    seed: int, n: int, digits: float, tilted: bool
) -> None:
    """Matrices that lose only 10^-digits of the norm: whatever is accepted is true."""
    rng = np.random.default_rng(seed)
    L = rng.standard_normal((n, n)) if tilted else np.eye(n)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0] * (1 - 10**-digits)
    A, X = np.linalg.solve(L.T, Q @ L.T), L @ L.T
    X = (X + X.T) / 2
    if norm_falls(A, X, float(np.linalg.norm(A))):
        a = [[Fraction(float(x)) for x in row] for row in A]
        x = [[Fraction(float(x)) for x in row] for row in X]
        index = range(n)
        fall = [
            [
                x[i][j] - sum(a[k][i] * x[k][l] * a[l][j] for k in index for l in index)
                for j in index
            ]
            for i in index
        ]
        assert definiteness(fall) != "indefinite"
        assert definiteness(x) != "indefinite"


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.floats(0.05, 20))
def test_scaling_the_problem_leaves_the_answer(seed: int, factor: float) -> None:
    """H -> c H with alpha, P~ -> /c; and dbar -> c dbar with P~ -> P~ / c."""
    H, P, alpha, bound = random_problem(seed, 2)
    status = robust_stability(H, P, alpha, bound).status
    worst = robust_stability(H, P, alpha, bound).worst_spectral_radius
    if abs(worst - 1) < 1e-9:
        return
    assert robust_stability(factor * H, P / factor, alpha / factor, bound).status == status
    assert robust_stability(H, P / factor, alpha, factor * bound).status == status


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_a_smaller_box_is_no_less_stable(seed: int) -> None:
    H, P, alpha, bound = random_problem(seed, 3)
    if robust_stability(H, P, alpha, bound).status == "certified":
        assert robust_stability(H, P, alpha, 0.7 * bound).status != "refuted"


@pytest.mark.parametrize("n", [20, pytest.param(60, marks=pytest.mark.thorough)])
def test_larger_problems_are_answered(n: int) -> None:
    """Small gain certifies below its bound, a witness refutes far above it."""
    H, P, alpha, bound = random_problem(n, n)
    top = np.linalg.eigvalsh(H)[-1]
    P *= min(alpha, 2 / top - alpha) / np.linalg.norm(bound[:, None] * P, 2)
    assert robust_stability(H, 0.9 * P, alpha, bound).by == "small gain"
    report = robust_stability(H, 100 * P, alpha, bound)
    assert report.status == "refuted"
    assert radius_by_hand(H, 100 * P, alpha, report.witness) > 1


def test_singular_hessian_is_judged_on_its_range() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4, 3))
    H = X @ X.T
    H = (H + H.T) / 2
    top = np.linalg.eigvalsh(H)[-1]
    P = 0.3 * rng.standard_normal((4, 4)) / top
    assert robust_stability(H, P, 1 / top, 0.5).status == "certified"
    report = robust_stability(H, 20 * P, 1 / top, 0.5)
    assert report.status == "refuted"
    assert radius_by_hand(H, 20 * P, 1 / top, report.witness) > 1


@settings(max_examples=40)
@given(st.lists(st.integers(-8, 8), min_size=9, max_size=9), st.integers(1, 40))
def test_schur_cohn_equals_the_roots(entries: list[int], tenths: int) -> None:
    A = [[Fraction(entries[3 * i + j], 4) for j in range(3)] for i in range(3)]
    floats = np.array([[float(x) for x in row] for row in A])
    polynomial = characteristic_polynomial(A)
    np.testing.assert_allclose([float(c) for c in polynomial], np.poly(floats), atol=1e-9)
    radius, limit = float(np.max(np.abs(np.linalg.eigvals(floats)))), Fraction(tenths, 10)
    if abs(radius - float(limit)) > 1e-4:
        assert all_roots_inside(polynomial, limit) == (radius < float(limit))


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 4))
def test_rational_semidefiniteness(seed: int, n: int, rank: int) -> None:
    X = np.random.default_rng(seed).integers(-3, 4, (n, rank))
    gram = [[Fraction(x) for x in row] for row in (X @ X.T).tolist()]
    assert definiteness(gram) != "indefinite"
    gram[0][0] -= 1
    exact = np.linalg.eigvalsh(np.array(gram, dtype=float))[0]
    if abs(exact) > 1e-9:
        assert (definiteness(gram) != "indefinite") == (exact > 0)


def test_the_family_is_the_update_matrix() -> None:
    H, P, alpha, bound = random_problem(1, 3)
    family: DisturbedFamily = disturbed_family(H, P, alpha, bound)
    for share in product((0.1, 0.6, 1.0), repeat=3):
        d = np.array(share) * bound
        exact = family.exactly([Fraction(float(x)) for x in d])
        expected = update_matrix(H, np.diag(d) @ P, alpha)
        np.testing.assert_allclose(family.matrices(d), expected, atol=1e-13)
        np.testing.assert_allclose(np.array(exact, dtype=float), expected, atol=1e-13)


@pytest.mark.parametrize(
    ("bound", "message"),
    [
        ([1.0, 0.0], "positive"),
        ([1.0, -1.0], "positive"),
        ([1.0] * 3, "length 2"),
        (np.nan, "finite"),
        (1e100, "below 1e"),
    ],
)
def test_bad_bounds_are_refused(bound: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"disturbance_bound.* must.*{message}"):
        robust_stability(np.eye(2), 2 * np.eye(2), 0.1, bound)  # type: ignore[arg-type]
