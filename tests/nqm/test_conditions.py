"""Every sufficient condition implies the exact one, and says how much of it it sees."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nqm import (
    Condition,
    check,
    descent,
    eigenvector_condition,
    judge,
    lemma2,
    lemma3,
    nominal_step_interval,
    nominal_step_intervals,
    numerical_radius,
    numerical_radius_condition,
    spectral_radius,
    step_matrix,
    theorem1,
    theorem1_interval,
    theorem1_prime,
    update_matrix,
)
from tests.nqm.strategies import SYMMETRIC, Drawn, hessian, problems

GENERAL = ("real eigenvalues", "normal", "skew", "any", "nilpotent")


@settings(max_examples=10 * settings().max_examples)
@given(problems())
def test_a_condition_that_holds_is_never_refuted(p: Drawn) -> None:
    report = check(p.hessian, p.preconditioner, p.nominal_step)
    for condition in report.conditions:
        if not condition.holds:
            continue
        numbers = [condition.lower, condition.upper, condition.smallest, condition.largest]
        scale = np.nanmax(np.abs(numbers))
        # At the very edge the numbers compared are themselves rounded.
        assert report.spectrum.lower <= 1 + (0 if condition.margin > 1e-13 * scale else 1e-12)
        if condition.exact_margin > 1e-9 * scale:
            assert condition.conservatism <= 1 + 1e-4, condition


@settings(max_examples=5 * settings().max_examples)
@given(problems(kinds=GENERAL, max_log_condition=3), st.floats(0, 1))
def test_scaled_until_a_condition_holds(p: Drawn, amount: float) -> None:
    """Shrink P until Theorem 1' is just satisfied, so that the test bites at every draw."""
    h = np.linalg.eigvalsh(p.hessian)[-1]
    norm = np.linalg.norm(p.preconditioner, 2)
    P = amount * p.preconditioner / (h * norm) if norm else p.preconditioner
    condition = theorem1_prime(p.hessian, P, 1 / h)
    assert condition.margin >= -1e-12 / h
    for smaller in (1, 0.5, 0.01):  # it holds for every 0 < H <= h I at once
        assert judge(update_matrix(smaller * p.hessian, P, 1 / h)).lower <= 1


@given(problems(kinds=SYMMETRIC, max_log_condition=6))
def test_theorem1_and_theorem1_prime_agree_for_symmetric_p(p: Drawn) -> None:
    first = theorem1(p.hessian, p.preconditioner, p.nominal_step)
    prime = theorem1_prime(p.hessian, p.preconditioner, p.nominal_step)
    scale = abs(prime.largest) + prime.upper
    assert first.applies
    assert prime.margin == pytest.approx(first.margin, abs=1e-12 * scale)


@given(problems(kinds=SYMMETRIC, max_log_condition=6))
def test_theorem1_interval_lies_in_the_exact_one(p: Drawn) -> None:
    """The same lower end; the upper end is never larger (Weyl)."""
    low, high = theorem1_interval(p.hessian, p.preconditioner)
    exact = nominal_step_interval(p.hessian, p.preconditioner)
    scale = np.linalg.norm(p.preconditioner, 2) + 2 / np.linalg.eigvalsh(p.hessian)[-1]
    assert low == pytest.approx(exact.lower, abs=1e-12 * scale)
    assert high <= exact.upper + 1e-11 * scale


@given(problems(kinds=SYMMETRIC, max_log_condition=6))
def test_the_exact_interval_ends_where_the_radius_is_one(p: Drawn) -> None:
    found = check(p.hessian, p.preconditioner, p.nominal_step)
    if found.nominal_step_interval is None:
        for alpha in np.linspace(-3, 3, 13) / np.linalg.eigvalsh(p.hessian)[-1]:
            assert check(p.hessian, p.preconditioner, alpha).spectrum.upper >= 1
        return
    low, high = found.nominal_step_interval
    inside = check(p.hessian, p.preconditioner, (low + high) / 2).spectrum
    assert inside.lower <= 1
    for end in (low, high):
        at_end = check(p.hessian, p.preconditioner, end).spectrum
        slack = found.interval_uncertainty * np.linalg.eigvalsh(p.hessian)[-1]
        assert abs(at_end.spectral_radius - 1) <= at_end.uncertainty + slack
    width = high - low
    for outside in (low - width - 1e-3 * abs(low), high + width + 1e-3 * abs(high)):
        if width > 0:
            assert check(p.hessian, p.preconditioner, outside).spectrum.upper >= 1
    both = nominal_step_interval(p.hessian, p.preconditioner)
    scale = np.linalg.norm(p.preconditioner, 2) + 2 / np.linalg.eigvalsh(p.hessian)[-1]
    assert (low, high) == pytest.approx(tuple(map(float, both)), abs=1e-8 * scale)


@given(problems(kinds=SYMMETRIC, max_log_condition=4), st.integers(0, 2**32 - 1))
def test_the_interval_is_monotone_in_p_and_h(p: Drawn, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = p.hessian.shape[0]
    more = rng.standard_normal((n, n)) / n
    more = more @ more.T
    scale = np.linalg.norm(p.preconditioner, 2) + 2 / np.linalg.eigvalsh(p.hessian)[-1]
    plain = nominal_step_interval(p.hessian, p.preconditioner)
    larger_p = nominal_step_interval(p.hessian, p.preconditioner + scale * more)
    assert larger_p.lower <= plain.lower + 1e-9 * scale
    assert larger_p.upper <= plain.upper + 1e-9 * scale * (1 + np.linalg.norm(more))
    larger_h = nominal_step_interval(p.hessian + more, p.preconditioner)
    assert larger_h.upper <= plain.upper + 1e-8 * scale


@settings(max_examples=40)
@given(problems(kinds=GENERAL, max_size=4, max_log_condition=2))
def test_intervals_for_any_p_agree_with_a_dense_scan(p: Drawn) -> None:
    found = nominal_step_intervals(p.hessian, p.preconditioner)
    h = np.linalg.eigvalsh(p.hessian)
    reach = 2 / h[0] + 2 * np.linalg.norm(p.preconditioner, 2)
    for alpha in np.linspace(-reach, reach, 400):
        radius = float(spectral_radius(update_matrix(p.hessian, p.preconditioner, alpha)))
        inside = any(i.lower <= alpha <= i.upper for i in found)
        if abs(radius - 1) > 1e-6:
            assert inside == (radius < 1), (alpha, radius, found)


@given(problems(max_log_condition=3))
def test_descent_is_the_loewner_inequality(p: Drawn) -> None:
    M = step_matrix(p.preconditioner, p.nominal_step)
    gap = M + M.T - M.T @ p.hessian @ M
    smallest = np.linalg.eigvalsh((gap + gap.T) / 2)[0]
    condition = descent(p.hessian, p.preconditioner, p.nominal_step)
    scale = np.linalg.norm(M, 2) * (1 + np.linalg.norm(p.hessian, 2) * np.linalg.norm(M, 2))
    if smallest > 1e-9 * scale and smallest * np.linalg.eigvalsh(p.hessian)[0] > 1e-12:
        assert condition.holds
    if smallest < -1e-9 * scale:
        assert condition.margin < 1e-9


@given(problems(kinds=SYMMETRIC, max_log_condition=6))
def test_lemma2_implies_stability_of_the_preconditioned_rule(p: Drawn) -> None:
    condition = lemma2(p.hessian, p.preconditioner, p.nominal_step)
    report = check(p.hessian, p.preconditioner, p.nominal_step, rule="preconditioned")
    if condition.holds:
        assert report.spectrum.lower <= 1
    (listed,) = [c for c in report.conditions if c.name == "Lemma 2"]
    scale = abs(condition.largest) + abs(condition.smallest) + abs(condition.upper)
    assert listed.margin == pytest.approx(condition.margin, abs=1e-9 * scale)


def test_lemma2_as_printed_fails() -> None:
    H, P = np.array([[5.0, 4.0], [4.0, 5.0]]), np.array([[0.0, 2.0], [0.0, 0.5]])
    assert max(np.linalg.eigvals(P).real) < 2 / np.sqrt(9)
    condition = lemma2(H, P, 0.0)
    assert not condition.applies
    assert check(H, P, 0.0, rule="preconditioned").verdict == "unstable"


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_lemma3_implies_stability_over_the_whole_box(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    H = hessian(rng, n, 3.0)
    h = np.linalg.eigvalsh(H)[-1]
    P, dbar = np.diag(rng.standard_normal(n)) / h, rng.uniform(0.1, 2, n)
    condition = lemma3(H, P, rng.uniform(0, 2) / h, dbar)
    alpha = -condition.lower * dbar.max()
    if condition.holds:
        for _ in range(20):
            d = dbar * (1 - rng.random(n))
            assert check(H, np.diag(d) @ P, alpha).spectrum.lower <= 1
        assert condition.conservatism <= 1 + 1e-9


def test_lemma3_without_commutation_does_not_apply() -> None:
    H = np.array([[11.0, -20.0], [-20.0, 41.0]]) / 10
    P = 3 / 40 * np.array([[1.0, 2.0], [2.0, 4.0]])
    p = np.linalg.eigvalsh(P)
    h = np.linalg.eigvalsh(H)[-1]
    assert p[0] + 1e-15 >= -0.01  # (16)
    assert p[1] <= 2 / h - 0.01  # (17)
    A = update_matrix(H, np.diag([1, 0.01]) @ P, 0.01)
    assert np.allclose(sorted(np.linalg.eigvals(A)), [1.0029, 1.1533], atol=5e-5)
    assert not lemma3(H, P, 0.01, [1.0, 1.0]).applies


def test_the_eigenvector_bound_sees_what_theorem1_wrongly_promises() -> None:
    H, P = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[0.0, 2.0], [0.0, 0.5]])
    condition = eigenvector_condition(H, P, 0.0)
    assert condition.applies
    assert not condition.holds
    V = np.linalg.eig(P)[1]
    assert condition.upper == pytest.approx(1 / (3 * np.linalg.cond(V)))


@given(problems(max_size=5, max_log_condition=2), st.integers(0, 2**32 - 1))
def test_the_numerical_radius_bounds_every_quotient(p: Drawn, seed: int) -> None:
    rng = np.random.default_rng(seed)
    J = update_matrix(np.eye(p.hessian.shape[0]), p.preconditioner, p.nominal_step)
    low, high = numerical_radius(J)
    x = rng.standard_normal((50, 2, J.shape[0]))
    x = x[:, 0] + 1j * x[:, 1]
    quotients = np.abs(np.einsum("ki,ij,kj->k", x.conj(), J, x)) / np.sum(np.abs(x) ** 2, axis=1)
    assert quotients.max() <= high * (1 + 1e-12)
    assert float(spectral_radius(J)) <= high * (1 + 1e-12)
    assert np.linalg.norm(J, 2) / 2 <= high * (1 + 1e-12)
    assert low <= np.linalg.norm(J, 2) * (1 + 1e-12)


def test_berger_bounds_the_powers_by_two() -> None:
    H, P = np.eye(2), np.array([[1.0, 1.99], [0.0, 1.0]])
    assert numerical_radius_condition(H, P, 0.0).holds
    J = update_matrix(H, P, 0.0)
    assert 1.9 < max(np.linalg.norm(np.linalg.matrix_power(J, t), 2) for t in range(9)) <= 2


def test_the_margin_can_be_smaller_by_the_condition_number() -> None:
    """P = H^-1, alpha = 0: rho = 0 but Theorem 1 fails once kappa > 2."""
    for kappa in (1.5, 3.0, 1e6):
        H = np.diag([1.0, 1 / kappa])
        assert theorem1(H, np.linalg.inv(H), 0.0).holds == (kappa <= 2)
        assert check(H, np.linalg.inv(H), 0.0).spectrum.spectral_radius < 1e-9


PAPER = {"plain": ("Theorem 1", theorem1), "preconditioned": ("Lemma 2", lemma2)}


@pytest.mark.parametrize("rule", PAPER)
@given(p=problems(max_log_condition=6))
def test_check_lists_what_the_functions_say(rule: str, p: Drawn) -> None:
    name, function = PAPER[rule]
    report = check(p.hessian, p.preconditioner, p.nominal_step, rule=rule)
    listed = {c.name: c for c in report.conditions}
    own = function(p.hessian, p.preconditioner, p.nominal_step)
    fields = ("applies", "reason", "lower", "upper", "smallest", "largest", "holds")
    for field in fields:
        np.testing.assert_equal(getattr(listed[name], field), getattr(own, field))
    if rule == "plain":
        prime = theorem1_prime(p.hessian, p.preconditioner, p.nominal_step)
        assert (listed["Theorem 1'"].upper, listed["Theorem 1'"].largest) == (
            prime.upper,
            prime.largest,
        )


@pytest.mark.parametrize(
    "function", [theorem1, lemma2, theorem1_prime, descent, eigenvector_condition]
)
def test_a_singular_hessian_is_judged_on_its_range(function: Callable[..., Condition]) -> None:
    whole = function([[2.0, 0.0], [0.0, 0.0]], [[0.1, 0.0], [0.0, 9.0]], 0.25)
    part = function([[2.0]], [[0.1]], 0.25)
    assert whole.holds
    assert whole.margin == pytest.approx(part.margin)


def test_lemma3_takes_one_bound_for_all_and_does_not_apply_to_a_singular_hessian() -> None:
    P = np.diag([-0.2, 0.3])
    assert lemma3(np.eye(2), P, 0.5, 2.0) == lemma3(np.eye(2), P, 0.5, [2.0, 2.0])
    singular = lemma3(np.diag([1.0, 0.0]), P, 0.5, 2.0)
    assert not singular.applies
    assert "singular" in singular.reason
