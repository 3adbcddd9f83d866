"""Limits of the loss next to the circle: against rational arithmetic, within the errors stated."""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sympy import QQ
from sympy.polys.matrices import DomainMatrix

from nqm import (
    NoisyQuadratic,
    UpdateRule,
    check,
    expected_loss,
    heavy_ball_rule,
    limit_loss,
    limit_moments,
    memoryless_rule,
    parse_rule,
    plain_rule,
    spectral_loss,
)
from nqm.moments.limits import symmetric_limit_loss
from nqm.namespace import exact
from tests.nqm.strategies import rotation


def rational(array: np.ndarray) -> DomainMatrix:
    """The matrix of exactly these numbers."""
    rows = [[QQ(*Fraction(x).as_integer_ratio()) for x in row] for row in np.asarray(array)]
    return DomainMatrix(rows, (len(rows), len(rows[0])), QQ)


def trace(matrix: DomainMatrix) -> float:
    return float(sum(matrix[i, i].element for i in range(matrix.shape[0])))


def exact_plain_limit(H: np.ndarray, S: np.ndarray, M: np.ndarray) -> float:
    """tr[S H (2 I - M H)^-1] of the numbers given."""
    h, step = rational(H), rational(M)
    two = rational(2.0 * np.eye(len(H)))
    return trace(rational(S) * h * (two - step * h).inv())


def exact_limit(model: NoisyQuadratic, rule: UpdateRule) -> float:
    """1/2 tr[H (C X C^T + S)] from vec X = (I - F (x) F)^-1 vec Q, all in rationals."""
    F, B, C, _ = (np.asarray(x) for x in rule)
    K = len(F)
    f, s = rational(F), rational(model.noise_covariance)
    q = rational(B) * s * rational(B).transpose()
    pairs = [(i, j) for i in range(K) for j in range(K)]
    system = [
        [QQ(int(p == r)) - f[p[0], r[0]].element * f[p[1], r[1]].element for r in pairs]
        for p in pairs
    ]
    left = DomainMatrix(system, (K * K, K * K), QQ)
    right = DomainMatrix([[q[p].element] for p in pairs], (K * K, 1), QQ)
    solved = left.lu_solve(right)
    X = DomainMatrix(
        [[solved[i * K + j, 0].element for j in range(K)] for i in range(K)], (K, K), QQ
    )
    c = rational(C)
    return trace(rational(model.hessian) * (c * X * c.transpose() + s)) / 2


class Edge(NamedTuple):
    """A rotated H, a covariance, and the step that is `gap` below the end of the stable ones."""

    hessian: np.ndarray
    noise: np.ndarray
    step: float


def edge(seed: int, n: int, gap: float, condition: float = 4.0) -> Edge:
    rng = np.random.default_rng(seed)
    Q, X = rotation(rng, n), rng.standard_normal((n, n))
    H = (Q * np.geomspace(2.0 / condition, 2.0, n)) @ Q.T if n > 1 else np.array([[2.0]])
    return Edge((H + H.T) / 2, X @ X.T, (2 - gap) / 2)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.floats(1.5, 12.5), st.floats(0, 6))
@example(0, 5, 9.0, 0.6)
def test_the_plain_limit_next_to_the_edge_is_right_within_its_error(
    seed: int, n: int, digits: float, log_condition: float
) -> None:
    H, S, alpha = edge(seed, n, 10**-digits, 10**log_condition)
    model = NoisyQuadratic(H, S)
    true = exact_plain_limit(model.hessian, model.noise_covariance, alpha * np.eye(n))
    found = {
        "matrices": limit_loss(model, plain_rule(H, None, alpha)),
        "spectrum": symmetric_limit_loss(model, alpha),
        "check": check(H, None, alpha, noise_covariance=S).limit_loss,
    }
    assert found["check"] == found["spectrum"] or found["spectrum"] is None
    for route, limit in found.items():
        if limit is None or math.isnan(limit.value):
            assert digits > 11, route
            continue
        assert abs(limit.value - true) <= limit.error, route
        if digits < 8 and log_condition < 2:
            assert limit.error < 1e-3 * true, route


@settings(max_examples=40)
@given(
    st.sampled_from(["plain", "heavy_ball", "nesterov", "frozen_adam", "averaged", "delayed"]),
    st.integers(0, 2**32 - 1),
    st.integers(1, 2),
    st.floats(0.3, 8),
)
def test_the_limit_of_any_rule_is_right_within_its_error(
    name: str, seed: int, n: int, digits: float
) -> None:
    """The error covers the rounding of the rule's entries: the exact rule is built in fractions."""
    named, parameters = parse_rule(name)
    limit = named.limit(**parameters) if named.limit else 38.0
    H, S, _ = edge(seed, n, 1.0)
    rng = np.random.default_rng(seed)
    P = np.triu(rng.standard_normal((n, n)), 1) / 10 if named.limit else None
    alpha = limit * (1 - 10**-digits) / 2
    model = NoisyQuadratic(H, S)
    rule = named.build(model.hessian, P, alpha, **parameters)
    if check(H, P, alpha, rule=name).verdict != "stable":
        return
    given_exactly = {k: v if k == "delay" else exact(v) for k, v in parameters.items()}
    meant = named.build(
        exact(model.hessian), None if P is None else exact(P), exact(alpha), **given_exactly
    )
    found = limit_loss(model, rule)
    assert abs(found.value - exact_limit(model, meant)) <= found.error
    if digits < 5:
        assert found.error < 1e-4 * found.value


@pytest.mark.parametrize("gap", [1e-2, 1e-6, 1e-8, 1e-10])
@pytest.mark.parametrize("beta", [0.5, 0.9])
def test_heavy_ball_with_one_parameter_has_the_variance_of_its_autoregression(
    gap: float, beta: float
) -> None:
    """phi is an AR(2) process with variance x s (1+b) / ((1-b)(2(1+b) - x)), x = alpha h."""
    h, s, alpha = 2.0, 3.0, (2 * (1 + beta) - gap) / 2
    b, x = Fraction(beta), Fraction(alpha) * 2
    variance = x * 3 * (1 + b) / ((1 - b) * (2 * (1 + b) - x))
    true = float(variance + 3)  # h/2 (variance + s)
    report = check([[h]], None, alpha, rule=f"heavy_ball:momentum={beta}", noise_covariance=[[s]])
    assert report.verdict == "stable"
    assert abs(report.limit_loss.value - true) <= report.limit_loss.error < 0.01 * true
    moments = limit_moments(NoisyQuadratic([[h]], [[s]]), heavy_ball_rule([[h]], None, alpha, beta))
    assert moments.covariance.item() == pytest.approx(float(variance), rel=1e-3)


@pytest.mark.parametrize("gap", [1e-5, 1e-8, 1e-10])
def test_every_route_to_the_limit_agrees(gap: float) -> None:
    H, S, alpha = edge(3, 6, gap)
    model, rule = NoisyQuadratic(H, S), plain_rule(H, None, alpha)
    limit = limit_loss(model, rule)
    covariance = limit_moments(model, rule).covariance
    far = spectral_loss(model, alpha, horizon=10**18)
    doubled = expected_loss(model, rule, 10**18)
    for value, error in (
        (np.sum(H * (covariance + S)) / 2, limit.error),
        (far.value, far.value * far.relative_error),
        (doubled.value, doubled.value * doubled.relative_error),
        check(model, None, alpha, noise_covariance=S).limit_loss[:2],
    ):
        assert abs(value - limit.value) <= limit.error + error
        assert error < 0.05 * value


@pytest.mark.parametrize("gap", [1e-6, 1e-8, 1e-10])
def test_the_limit_covariance_stays_positive_next_to_the_edge(gap: float) -> None:
    H, _, alpha = edge(0, 12, gap)
    found = limit_moments(NoisyQuadratic(H, np.eye(12)), plain_rule(H, None, alpha))
    # With S = I and P = 0 it is alpha H (2 I - alpha H)^-1.
    h = np.linalg.eigvalsh(H)
    smallest = np.min(alpha * h / (2 - alpha * h))
    assert np.linalg.eigvalsh(found.covariance)[0] == pytest.approx(smallest, rel=1e-4)


def test_an_ill_conditioned_hessian_next_to_the_edge_raises_no_warning() -> None:
    """Warnings are errors in this suite."""
    H, S, alpha = edge(3, 12, 1e-8, 2e8)
    limit = limit_loss(NoisyQuadratic(H, S), plain_rule(H, None, alpha))
    top = np.linalg.eigh(H)[1][:, -1]
    assert limit.value == pytest.approx(2 * (top @ S @ top) / 1e-8, rel=1e-4)


def test_on_the_edge_itself_rounding_hides_the_limit() -> None:
    H, S, _ = edge(1, 6, 1.0)
    limit = limit_loss(NoisyQuadratic(H, S), plain_rule(H, None, 1.0))  # eigenvalue -1, rotated
    assert math.isnan(limit.value)
    assert limit.reason == "spectral radius one to rounding"
    assert check(H, None, 1.0, noise_covariance=S).verdict == "marginal"


@pytest.mark.parametrize(
    "P", [None, np.array([[0.1, 0.2, 0.0], [-0.1, 0.0, 0.1], [0.0, 0.1, 0.2]])]
)
def test_a_singular_hessian_has_the_limit_of_its_range(P: np.ndarray | None) -> None:
    Q, rng = rotation(np.random.default_rng(4), 3), np.random.default_rng(5)
    X = rng.standard_normal((3, 3))
    H, S, m = (Q * [0.0, 0.5, 2.0]) @ Q.T, X @ X.T, rng.standard_normal(3)
    H, alpha = (H + H.T) / 2, 0.3
    U, M = Q[:, 1:], alpha * np.eye(3) + (0 if P is None else P)
    restricted = np.eye(2) - U.T @ M @ U @ np.diag([0.5, 2.0])
    inside = NoisyQuadratic(np.diag([0.5, 2.0]), U.T @ S @ U)
    true = exact_limit(inside, memoryless_rule(restricted))
    for limit in (
        check(H, P, alpha, noise_covariance=S).limit_loss,
        limit_loss(NoisyQuadratic(H, S, m), plain_rule(H, P, alpha)),
    ):
        assert limit.value == pytest.approx(true, rel=1e-10)
        assert limit.reason == "spectral radius below one"


class Bare(NamedTuple):
    hessian: np.ndarray
    noise_covariance: np.ndarray
    initial_mean: np.ndarray
    initial_covariance: np.ndarray


def test_an_indefinite_covariance_is_refused_in_any_model() -> None:
    model = Bare(np.eye(2), np.diag([1.0, -0.5]), np.zeros(2), np.zeros((2, 2)))
    rule = plain_rule(np.eye(2), None, 0.5)
    for function in (limit_loss, limit_moments, lambda m, r: expected_loss(m, r, 3)):
        with pytest.raises(ValueError, match="noise_covariance must be positive semidefinite"):
            function(model, rule)
    right = model._replace(noise_covariance=np.eye(2))
    assert limit_loss(right, rule).value == pytest.approx(2 / 1.5)


def test_the_identity_is_as_good_as_any_covariance() -> None:
    """The shortcut for S = c I gives what the general form gives."""
    H, _, alpha = edge(2, 8, 0.1)
    plain = symmetric_limit_loss(NoisyQuadratic(H, 3 * np.eye(8)), alpha)
    general = symmetric_limit_loss(NoisyQuadratic(H, 3 * np.eye(8)), alpha, np.zeros((8, 8)))
    assert plain is not None
    assert general is not None
    assert plain.value == pytest.approx(general.value, rel=1e-12)
    assert abs(plain.value - general.value) <= min(plain.error, general.error)
