"""A P that changes at every step: the updates, the sets, the rules and the answers."""

import json
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nqm import (
    joint_spectral_radius,
    parse_rule,
    preconditioner_box,
    robust_stability,
    spectral_radius,
    switched,
    update_matrix,
)
from nqm.namespace import exact
from nqm.rules.table import RULES
from nqm.switching.updates import NOT_AFFINE
from tests.nqm.strategies import hessian

H2 = np.array([[2.0, 1.0], [1.0, 2.0]])
# I - P H with H = I: either one alone is nilpotent but for alpha, both in turn are not.
ALTERNATING = np.array([[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]])


def grown(matrices: np.ndarray, letters: np.ndarray) -> float:
    """rho of the product, averaged over its length."""
    result = np.eye(matrices.shape[1])
    for i in letters:
        result = matrices[i] @ result
    return float(np.max(np.abs(np.linalg.eigvals(result)))) ** (1 / len(letters))


def test_two_that_are_stable_alone_and_not_in_turn() -> None:
    """At alpha = 1 the updates are -c N and -c N^T, whose product has the eigenvalue c^2."""
    for c, verdict in ((0.99, "stable"), (1.01, "unstable")):
        report = switched(np.eye(2), c * ALTERNATING, 1.0)
        assert report.verdict == verdict
        assert report.bounds.lower <= c <= report.bounds.upper
        assert report.bounds.gap < 1e-9
        assert report.bounds.word == (0, 1)
        assert report.single_spectral_radius == 0
    at_one = switched(np.eye(2), ALTERNATING, 1.0)
    assert (at_one.verdict, at_one.bounds.status, at_one.exit_code) == ("marginal", "certified", 3)


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_the_updates_are_those_of_the_matrices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    H = hessian(rng, 3, 2.0)
    P = rng.standard_normal((2, 3, 3)) / np.linalg.eigvalsh(H)[-1] / 3
    alpha = 1 / np.linalg.eigvalsh(H)[-1]
    report = switched(H, P, alpha)
    direct = joint_spectral_radius(np.array([update_matrix(H, X, alpha) for X in P]))
    assert report.bounds.lower <= direct.upper * (1 + 1e-12)
    assert direct.lower <= report.bounds.upper * (1 + 1e-12)
    assert report.hull
    for _ in range(5):  # any P of the segment, another one at every step
        weights = rng.random(40)
        mixed = [update_matrix(H, P[0] + w * (P[1] - P[0]), alpha) for w in weights]
        assert grown(np.array(mixed), np.arange(40)) <= report.bounds.upper * (1 + 1e-12)


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_symmetric_ones_share_the_norm_of_the_loss(seed: int) -> None:
    """For symmetric P all I - G are symmetric: the joint spectral radius is the largest rho."""
    rng = np.random.default_rng(seed)
    H = hessian(rng, 3, 3.0)
    X = rng.standard_normal((3, 3, 3))
    P = (X + np.swapaxes(X, 1, 2)) * rng.uniform(0.1, 1) / np.linalg.eigvalsh(H)[-1]
    report = switched(H, P, 0.1)
    single = max(float(spectral_radius(update_matrix(H, Y, 0.1))) for Y in P)
    assert report.bounds.lower <= single * (1 + 1e-9)
    assert report.bounds.upper >= single * (1 - 1e-9)
    assert report.bounds.gap <= 1e-6 * single
    assert np.isclose(report.single_spectral_radius, single, rtol=1e-9)


def test_symmetric_ones_at_the_edge_never_raise_the_loss() -> None:
    """0 <= M <= 2 H^-1 with both ends attained: bounded, decided in rational numbers."""
    H = np.diag([1.0, 4.0])
    report = switched(H, [np.diag([2.0, 0.0]), np.diag([0.5, 0.5]), np.zeros((2, 2))])
    assert report.bounds.status == "certified"
    assert report.bounds.upper == 1
    assert "loss" in report.bounds.by
    assert report.verdict == "marginal"
    beyond = switched(H, [np.diag([2.0, 0.0]), np.diag([0.5, 0.5 + 2.0**-50])])
    assert beyond.verdict == "unstable"


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_the_set_15_with_a_delta_that_changes(seed: int) -> None:
    """Refuted for a fixed Delta is refuted here; certified here is certified for a fixed one."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 4))
    H = hessian(rng, n, 2.0)
    top = np.linalg.eigvalsh(H)[-1]
    alpha, bound = rng.uniform(0.1, 1.5) / top, 10 ** rng.uniform(-0.5, 0.5, n)
    P = rng.standard_normal((n, n)) * rng.uniform(0.1, 1) * min(alpha, 2 / top - alpha)
    report = switched(H, P, alpha, disturbance_bound=bound, budget=3000)
    fixed = robust_stability(H, P, alpha, bound, budget=500)
    assert fixed.worst_spectral_radius <= report.bounds.upper * (1 + 1e-9)
    if fixed.status == "refuted":
        assert report.bounds.status != "certified"
    if report.bounds.status == "certified":
        assert fixed.status != "refuted"
    assert len(report.preconditioners) == 2**n
    for i in report.bounds.word:
        d = report.disturbances[i]
        np.testing.assert_array_equal(report.preconditioners[i], np.diag(d) @ P)
        assert np.all((d == 0) | (d == bound))
    if report.bounds.status == "refuted":  # within the open set, beside its corners
        inside = [
            update_matrix(H, np.diag(np.maximum(d, bound * 2.0**-50)) @ P, alpha)
            for d in report.disturbances
        ]
        assert grown(np.array(inside), np.array(report.bounds.word)) > 1 - 1e-9
    for _ in range(5):
        d = rng.uniform(0, 1, (30, n)) * bound
        steps = np.array([update_matrix(H, np.diag(x) @ P, alpha) for x in d])
        assert grown(steps, np.arange(30)) <= report.bounds.upper * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_small_gain_holds_for_a_delta_that_changes(seed: int) -> None:
    """||P~|| max dbar < min(alpha, 2/h - alpha) keeps |A|_H < 1 for every Delta: the loss falls."""
    rng = np.random.default_rng(seed)
    H = hessian(rng, 3, 1.0)
    top = np.linalg.eigvalsh(H)[-1]
    alpha = rng.uniform(0.2, 1.8) / top
    P = rng.standard_normal((3, 3))
    P *= 0.95 * min(alpha, 2 / top - alpha) / np.linalg.norm(P, 2)
    report = switched(H, P, alpha, disturbance_bound=1.0)
    assert report.verdict == "stable"


def test_a_box_has_the_vertices_that_vary() -> None:
    lower, upper = np.array([[0.0, -1.0], [2.0, 3.0]]), np.array([[1.0, -1.0], [4.0, 3.0]])
    vertices = preconditioner_box(lower, upper)
    expected = {(a, -1.0, b, 3.0) for a, b in product((0.0, 1.0), (2.0, 4.0))}
    assert {tuple(v) for v in vertices.reshape(-1, 4).tolist()} == expected
    assert preconditioner_box(lower, lower).shape == (1, 2, 2)


# The rule `preconditioned` takes a root of H; it is affine as the plain rule of H^1/2 is.
@pytest.mark.parametrize("name", [name for name in RULES if name != "preconditioned"])
def test_which_rules_are_affine_in_the_preconditioner(name: str) -> None:
    """In rational numbers: F(P) + F(Q) = F(P + Q) + F(0), but for the rules named otherwise."""
    named, parameters = parse_rule(name)
    words = {k: v if k == "delay" else exact(v) for k, v in parameters.items()}
    P, Q = np.array([[1.0, 2.0], [-3.0, 5.0]]), np.array([[0.5, 0.0], [1.0, -2.0]])
    F = {
        key: named.build(exact(H2), exact(X), exact(Fraction(1, 3)), **words)[0]
        for key, X in (("P", P), ("Q", Q), ("sum", P + Q), ("zero", 0 * P))
    }
    affine = bool(np.all(F["P"] + F["Q"] == F["sum"] + F["zero"]))
    assert affine == (name not in NOT_AFFINE)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_bounded_by_its_own_joint_matrices(name: str) -> None:
    P = 0.1 * np.array([[[1.0, 0.5], [-0.5, 1.0]], [[1.0, -2.0], [0.0, 0.5]]])
    named, parameters = parse_rule(name)
    report = switched(H2, P, 0.1, rule=name, budget=2000)
    F = np.array([named.build(H2, X, 0.1, **parameters)[0] for X in P])
    assert grown(F, np.array([0])) <= report.bounds.upper * (1 + 1e-9)
    rng = np.random.default_rng(0)
    for length in (1, 2, 3, 20):
        word = rng.integers(0, 2, length)
        assert grown(F, word) <= report.bounds.upper * (1 + 1e-9)
    assert np.isclose(grown(F, np.array(report.bounds.word)), report.bounds.word_radius, rtol=1e-6)
    assert report.hull == (name not in NOT_AFFINE)
    assert report.rule_parameters == parameters


def test_more_rows_than_are_exact() -> None:
    """Ten parameters, symmetric P: the largest single rho, though by floats alone."""
    rng = np.random.default_rng(0)
    H = hessian(rng, 10, 1.0)
    X = rng.standard_normal((2, 10, 10)) / np.linalg.eigvalsh(H)[-1] / 10
    P = X + np.swapaxes(X, 1, 2)
    report = switched(H, P, 0.5 / np.linalg.eigvalsh(H)[-1])
    assert report.bounds.lower <= report.single_spectral_radius * (1 + 1e-9)
    assert report.bounds.upper >= report.single_spectral_radius * (1 - 1e-9)
    assert report.bounds.gap < 1e-3


def test_a_singular_hessian_is_judged_on_its_range() -> None:
    H = np.array([[1.0, 1.0], [1.0, 1.0]])
    P = np.array([[[0.0, 0.3], [0.2, 0.1]], [[0.4, 0.0], [0.0, -0.1]]])
    report = switched(H, P, 0.2)
    along = np.array([1.0, 1.0]) / 2**0.5  # one dimension: 1 - 2 v^T M v
    values = [abs(1 - 2 * (0.2 + along @ X @ along)) for X in P]
    assert report.rank == 1
    assert report.bounds.lower <= max(values) * (1 + 1e-12)
    assert report.bounds.upper >= max(values) * (1 - 1e-12)
    assert report.bounds.gap < 1e-9
    assert "rank 1 of 2" in report.text()


def test_the_report_says_what_it_found() -> None:
    stable = switched(np.eye(2), 0.9 * ALTERNATING, 1.0)
    text = stable.text()
    assert text.startswith("STABLE: the joint spectral radius of the 2 updates is 0.9")
    assert "convex hull" in text
    unstable = switched(np.eye(2), 2 * ALTERNATING, 1.0)
    assert str(unstable).startswith("UNSTABLE: ")
    assert "P 0, P 1, repeated" in unstable.text()
    assert unstable.exit_code == 1
    at_one = switched(np.eye(2), ALTERNATING, 1.0).text()
    assert "stays bounded" in at_one
    assert "need not die out" in at_one
    found = json.loads(stable.to_json())
    assert found["joint_spectral_radius_bounds"] == [stable.bounds.lower, stable.bounds.upper]
    assert found["word"] == [0, 1]
    assert found["preconditioners"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preconditioners": np.zeros((2, 3, 3))}, "2 x 2 like the hessian"),
        ({"preconditioners": np.zeros((2, 2, 3))}, "stack of square matrices"),
        ({"preconditioners": np.zeros(3)}, "stack of square matrices"),
        ({"preconditioners": [[[np.inf, 0], [0, 0]]]}, "finite"),
        ({"preconditioners": [[[1e100, 0], [0, 0]]]}, "times hessian must be at most"),
        ({"preconditioners": np.zeros((5000, 2, 2))}, "at most 4096"),
        ({"rule": "none"}, "is not one of"),
        ({"disturbance_bound": [1.0, -1.0]}, "must be positive"),
        ({"disturbance_bound": 1.0, "rule": "nesterov_lookahead"}, "affine in P"),
        ({"nominal_step": "x"}, "one real number"),
    ],
)
def test_bad_input_is_one_line(arguments: dict, message: str) -> None:
    call = {"hessian": H2, "preconditioners": ALTERNATING, **arguments}
    with pytest.raises(ValueError, match=message) as error:
        switched(**call)
    assert "\n" not in str(error.value)


def test_a_bad_box_is_one_line() -> None:
    with pytest.raises(ValueError, match="lower must not exceed upper"):
        preconditioner_box(np.eye(2), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="same shape"):
        preconditioner_box(np.eye(2), np.eye(3))
    with pytest.raises(ValueError, match="at most 12 entries"):
        preconditioner_box(np.zeros((4, 4)), np.ones((4, 4)))
    with pytest.raises(ValueError, match="2\\^13 vertices"):
        switched(np.eye(13), np.zeros((13, 13)), disturbance_bound=1.0)
