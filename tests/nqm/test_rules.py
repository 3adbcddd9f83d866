"""Update rules: the maps against the recursions they stand for, the limits against eigenvalues."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nqm import (
    UpdateRule,
    aggmo_limit,
    aggmo_rule,
    aggregated_momentum_rule,
    averaged_rule,
    cancellation_rule,
    check,
    delay_limit,
    delayed_rule,
    exponential_average_limit,
    exponential_average_rule,
    frozen_adam_rule,
    heavy_ball_ellipse,
    heavy_ball_limit,
    heavy_ball_rule,
    momentum_condition,
    nesterov_limit,
    nesterov_rule,
    nominal_momentum_rule,
    parse_rule,
    perturbed_rule,
    plain_rule,
    preconditioned_update_matrix,
    spectral_radius,
)
from nqm.problem import pose
from nqm.rules.table import RULES
from nqm.verdict.decision import analyse
from tests.nqm.strategies import hessian

BETA, STEPS = 0.7, 7
RNG = np.random.default_rng(5)
H = hessian(RNG, 3, 1.0)
H = H / np.linalg.eigvalsh(H)[-1]
P = RNG.standard_normal((3, 3)) * 0.3
M = 0.2 * np.eye(3) + P
PHI0, XI = RNG.standard_normal(3), RNG.standard_normal((STEPS, 3))


def follow(rule: UpdateRule) -> np.ndarray:
    """phi_1 ... phi_T by the linear map."""
    x, path = rule.lift @ PHI0, []
    for xi in XI:
        x = rule.joint_matrix @ x + rule.noise_matrix @ xi
        path.append(rule.readout @ x)
    return np.array(path)


def recursion(name: str) -> np.ndarray:
    """phi_1 ... phi_T by the rule's own words."""
    phi, v, w = PHI0.copy(), np.zeros(3), np.zeros(3)
    mean, past, path = PHI0.copy(), [PHI0, PHI0, PHI0], []
    for xi in XI:
        g = H @ (phi - xi)
        if name == "heavy_ball":
            v = BETA * v + g
            phi = phi - M @ v
        elif name == "exponential_average":
            v = BETA * v + (1 - BETA) * g
            phi = phi - M @ v
        elif name == "aggmo":
            v, w = g + 0 * v, 0.9 * w + g
            phi = phi - M @ (v + w) / 2
        elif name == "nesterov":
            v = BETA * v + g
            phi = phi - M @ (g + BETA * v)
        elif name == "nesterov_lookahead":
            v = BETA * v + H @ (phi - BETA * M @ v - xi)
            phi = phi - M @ v
        elif name == "frozen_adam":
            v = BETA * v + (1 - BETA) * g
            phi = phi - 0.2 * 0.5 * phi - 0.2 * P @ v
        elif name == "nominal_momentum":
            v = BETA * v + g
            phi = phi - 0.2 * v - P @ g
        elif name == "delayed":
            phi = phi - M @ H @ (past[-3] - xi)
            past.append(phi)
        elif name == "averaged":
            phi = phi - M @ g
            mean = BETA * mean + (1 - BETA) * phi
        path.append(mean if name == "averaged" else phi)
    return np.array(path)


MADE = {
    "plain": plain_rule(H, P, 0.2),
    "heavy_ball": heavy_ball_rule(H, P, 0.2, BETA),
    "exponential_average": exponential_average_rule(H, P, 0.2, BETA),
    "aggmo": aggmo_rule(H, P, 0.2, [0.0, 0.9]),
    "nesterov": nesterov_rule(H, P, 0.2, BETA),
    "nesterov_lookahead": nesterov_rule(H, P, 0.2, BETA, lookahead=True),
    "frozen_adam": frozen_adam_rule(H, P, 0.2, BETA, 0.5),
    "nominal_momentum": nominal_momentum_rule(H, P, 0.2, BETA),
    "delayed": delayed_rule(H, P, 0.2, 2),
    "averaged": averaged_rule(plain_rule(H, P, 0.2), BETA),
}


@pytest.mark.parametrize("name", [n for n in MADE if n != "plain"])
def test_the_map_is_the_recursion(name: str) -> None:
    rule = MADE[name]
    assert np.allclose(rule.readout @ rule.lift, np.eye(3))
    assert np.allclose(follow(rule), recursion(name))


@pytest.mark.parametrize("name", MADE)
def test_the_minimum_is_a_fixed_point_without_weight_decay(name: str) -> None:
    """Started on the noise and fed the same noise for ever, the parameters stay."""
    rule = MADE[name] if name != "frozen_adam" else frozen_adam_rule(H, P, 0.2, BETA)
    xi = np.array([1.0, -2.0, 3.0])
    x = rule.lift @ xi
    assert np.allclose(rule.joint_matrix @ x + rule.noise_matrix @ xi, x)


def test_the_disturbed_rules_follow_their_equations() -> None:
    d, eps = np.array([0.5, 1.0, 2.0]), 0.3
    A = np.eye(3) - (0.2 * np.eye(3) + np.diag(d) @ P) @ H
    assert np.allclose(perturbed_rule(H, P, 0.2, d).joint_matrix, A)
    A = np.eye(3) - (0.2 * (np.eye(3) - np.diag(d)) + np.diag(d) @ P) @ H
    assert np.allclose(cancellation_rule(H, P, 0.2, d).joint_matrix, A)
    A = np.eye(3) - 0.2 * eps * H - (1 - eps) * P @ H  # the matrix that follows (19)
    assert np.allclose(cancellation_rule(H, P, 0.2, 1 - eps).joint_matrix, A)


def test_only_a_negative_eps_destabilizes_a_stable_target() -> None:
    assert float(spectral_radius(cancellation_rule([[1.0]], [[0.0]], 1.0, 1.5).joint_matrix)) == 1.5
    target = 0.5 * np.linalg.inv(H)
    step = 1.0 / np.linalg.eigvalsh(H)[-1]
    for eps in np.linspace(0, 0.99, 12):
        rule = cancellation_rule(H, target, step, 1 - eps)
        assert float(spectral_radius(rule.joint_matrix)) < 1


def test_the_preconditioned_matrix_inverts_the_root() -> None:
    A = preconditioned_update_matrix(H, P, 0.2)
    root = np.linalg.cholesky(H)  # any root: compare H^-1/2 M H through its square
    whitened = np.eye(3) - A
    assert np.allclose(H @ whitened @ np.linalg.inv(H) @ whitened, _twice(M), atol=1e-10)
    assert root.shape == (3, 3)


def _twice(step: np.ndarray) -> np.ndarray:
    h, Q = np.linalg.eigh(H)
    half = (Q * np.sqrt(h)) @ Q.T
    return half @ step @ np.linalg.inv(half) @ step @ H


LIMITS = {
    "plain": 2.0,
    "heavy_ball:momentum=0.9": 2 * 1.9,
    "heavy_ball:momentum=-0.5": 2 * 0.5,
    "exponential_average:momentum=0.9": 38.0,
    "nesterov:momentum=0.9": 2 * 1.9 / 2.8,
    "nesterov_lookahead:momentum=0.9": 2 * 1.9 / 2.8,
    "aggmo:dampings=0/0.9/0.99": 2.95737,
    "delayed:delay=1": 1.0,
    "delayed:delay=3": 2 * np.sin(np.pi / 14),
    "averaged:averaging=0.99": 2.0,
}


@pytest.mark.parametrize("spec", LIMITS)
def test_the_limit_is_where_stability_ends(spec: str) -> None:
    rule, parameters = parse_rule(spec)
    assert rule.limit is not None
    limit = rule.limit(**parameters)
    assert limit == pytest.approx(LIMITS[spec], rel=1e-5)
    for factor, stable in ((0.999, True), (1.001, False), (-0.001, False), (0.001, True)):
        F = rule.build([[2.0]], None, factor * limit / 2, **parameters).joint_matrix
        assert (float(spectral_radius(F)) < 1) == stable


@pytest.mark.parametrize("spec", [*LIMITS, "frozen_adam:momentum=0.9,weight_decay=0.1"])
def test_check_finds_the_interval_of_every_rule(spec: str) -> None:
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    S = (Q * [0.03, 0.15, 0.3]) @ Q.T
    S = (S + S.T) / 2
    report = check(H, S, 0.05, rule=spec)
    assert report.nominal_step_interval is not None
    low, high = report.nominal_step_interval
    width = high - low
    rule, parameters = parse_rule(spec)
    for alpha, stable in (
        (low + 1e-4 * width, True),
        (high - 1e-4 * width, True),
        (high + 1e-4 * width, False),
        (low - 1e-4 * width, False),
    ):
        F = rule.build(H, S, alpha, **parameters).joint_matrix
        assert (float(spectral_radius(F)) < 1) == stable, alpha
        assert check(H, S, alpha, rule=spec).verdict == ("stable" if stable else "unstable")


def test_frozen_adam_limits() -> None:
    """lr lambda < 2 (1+b1)/(1-b1), with weight decay (2 - lr w)(1+b1)/(1-b1)."""
    for w in (0.0, 0.3):
        lr = 2 * 19 / (1 + w * 19)
        assert lr * 1.0 == pytest.approx((2 - lr * w) * 19)
        for factor, stable in ((0.999, True), (1.001, False)):
            F = frozen_adam_rule([[1.0]], None, factor * lr, 0.9, w).joint_matrix
            assert (float(spectral_radius(F)) < 1) == stable


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 3))
def test_the_momentum_condition_is_exact(seed: int, n: int, count: int) -> None:
    """Random semidefinite M_k that do not commute, scaled to either side of the boundary."""
    rng = np.random.default_rng(seed)
    G = hessian(rng, n, 2.0)
    factors = [rng.standard_normal((n, rng.integers(1, n + 1))) for _ in range(count)]
    matrices = [X @ X.T for X in factors]
    matrices[0] = matrices[0] + 0.1 * np.eye(n)
    betas = list(rng.uniform(-0.9, 0.95, count))
    found = momentum_condition(G, matrices, betas)
    assert found.applies
    for factor in (0.3, 0.99, 1.01, 3.0):
        scaled = [factor * 2 / found.largest * X for X in matrices]
        again = momentum_condition(G, scaled, betas)
        radius = float(spectral_radius(aggregated_momentum_rule(G, scaled, betas).joint_matrix))
        assert again.holds == (factor < 1)
        assert (radius < 1) == (factor < 1)


@given(
    st.floats(-0.95, 0.95),
    st.floats(-1, 5, allow_nan=False),
    st.floats(-3, 3, allow_nan=False),
)
def test_the_heavy_ball_ellipse(beta: float, real: float, imaginary: float) -> None:
    """z^2 - (1 + beta - x) z + beta = 0 for a complex x."""
    x = complex(real, imaginary)
    value = float(heavy_ball_ellipse(x, beta))
    roots = np.roots([1, -(1 + beta - x), beta])
    if abs(value - 1) > 1e-6:
        assert (np.max(np.abs(roots)) < 1) == (value < 1)


def test_momentum_does_not_improve_every_margin() -> None:
    x = 1 + 0.5j
    R = np.array([[x.real, -x.imag], [x.imag, x.real]])
    assert check(np.eye(2), R, 0.0).verdict == "stable"
    assert check(np.eye(2), R, 0.0, rule="heavy_ball:momentum=0.9").verdict == "unstable"


def test_nominal_momentum_with_p_on_the_raw_gradient() -> None:
    """alpha I/(1+beta) + P < 2 H^-1 for P >= 0."""
    S = 0.3 * np.diag([1.0, 0.2, 0.0])
    upper = 1.9 * np.linalg.eigvalsh(2 * np.linalg.inv(H) - S)[0]
    report = check(H, S, 0.01, rule="nominal_momentum:momentum=0.9")
    assert report.nominal_step_interval == pytest.approx((0, upper))
    for factor, stable in ((0.999, True), (1.001, False)):
        F = nominal_momentum_rule(H, S, factor * upper, 0.9).joint_matrix
        assert (float(spectral_radius(F)) < 1) == stable


def test_a_user_adds_a_rule() -> None:
    def sign_flip(G: np.ndarray, Q: np.ndarray | None, alpha: float) -> UpdateRule:
        identity = np.eye(len(G))
        return UpdateRule(-identity + alpha * G, 0 * identity, identity, identity)

    report = check(np.diag([1.0, 2.0]), None, 0.5, rule=sign_flip)
    assert np.allclose(sorted(report.spectrum.eigenvalues.real), [-0.5, 0.0])
    assert report.verdict == "stable"
    assert report.rule == "custom"


@pytest.mark.parametrize(
    "spec",
    [
        "heavy",
        "heavy_ball:momentum=1",
        "heavy_ball:momentum=-1",
        "heavy_ball:beta=0.9",
        "heavy_ball:momentum=x",
        "nesterov:momentum=-0.1",
        "aggmo:dampings=0/1.5",
        "aggmo:dampings=",
        "delayed:delay=-1",
        "delayed:delay=0.5",
        "averaged:averaging=1",
        "frozen_adam:momentum=2",
        "cancelled:disturbance=0",
        "plain:momentum=0.9",
    ],
)
def test_bad_rules_are_refused(spec: str) -> None:
    with pytest.raises(ValueError, match=r"rule|momentum|damping|delay|averaging|disturbance"):
        parse_rule(spec)


def test_every_rule_of_the_table_is_checked() -> None:
    for name, rule in RULES.items():
        built = rule.build(H, P, 0.05, **rule.parameters)
        report = check(H, P, 0.05, rule=name)
        expected = float(spectral_radius(built.joint_matrix))
        assert report.spectrum.spectral_radius == pytest.approx(expected)
        assert report.rule == name


@pytest.mark.parametrize("name", RULES)
def test_symmetric_routes_agree_with_the_joint_matrix(name: str) -> None:
    S = (P + P.T) / 8
    built = RULES[name].build(H, S, 0.4, **RULES[name].parameters)
    report = check(H, S, 0.4, rule=name)
    ours = np.sort_complex(np.round(report.spectrum.eigenvalues, 9))
    theirs = np.sort_complex(np.round(np.linalg.eigvals(built.joint_matrix), 9))
    assert np.allclose(np.sort(abs(ours)), np.sort(abs(theirs)), atol=1e-6)


def test_limits_reject_what_they_do_not_cover() -> None:
    for function in (heavy_ball_limit, exponential_average_limit, nesterov_limit):
        with pytest.raises(ValueError, match="momentum"):
            function(1.0)
    with pytest.raises(ValueError, match="dampings"):
        aggmo_limit([])
    with pytest.raises(ValueError, match="delay"):
        delay_limit(-1)
    assert not momentum_condition(np.eye(1), [-np.eye(1)], [0.5]).applies
    assert not momentum_condition(np.eye(2), [np.array([[1.0, 1.0], [0.0, 1.0]])], [0.5]).applies


@pytest.mark.parametrize("delay", [1001, 1e6, 1e100])
def test_a_delay_that_no_memory_holds_is_refused(delay: float) -> None:
    with pytest.raises(ValueError, match="delay must be a nonnegative integer of at most 1000"):
        delayed_rule(np.eye(1), None, 0.1, delay)  # type: ignore[arg-type]


def test_a_joint_matrix_that_no_memory_holds_is_refused_before_it_is_made() -> None:
    with pytest.raises(ValueError, match="at most 16384 numbers; it has 20020"):
        delayed_rule(np.eye(20), None, 0.1, 1000)


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.family])
def test_the_momentum_family_of_a_rule_is_that_rule(name: str) -> None:
    rule = RULES[name]
    assert rule.family is not None
    H, P = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[0.3, 0.1], [0.2, 0.4]])
    family = rule.family(H, P, 0.2, **rule.parameters)
    assert family is not None
    F = aggregated_momentum_rule(H, *family).joint_matrix
    built = rule.build(H, P, 0.2, **rule.parameters).joint_matrix
    # A velocity without effect adds the eigenvalues beta or 0 and changes nothing else.
    for value in np.linalg.eigvals(built):
        assert np.min(np.abs(np.linalg.eigvals(F) - value)) <= 1e-8
    assert np.isclose(spectral_radius(F), spectral_radius(built))


def test_a_rule_outside_the_table_brings_its_limit_and_its_family() -> None:
    mine = replace(RULES["heavy_ball"], name="mine")
    H = np.array([[2.0, 1.0], [1.0, 2.0]])
    found = analyse(pose(H, None, 0.5), mine, {"momentum": 0.5})
    (interval,) = found.intervals
    assert interval == pytest.approx((0.0, 2 * 1.5 / 3))
    (condition,) = found.conditions
    assert (condition.name, condition.holds) == ("momentum", True)
    assert condition.largest == pytest.approx(0.5 * 3 / 1.5)
