"""Proofs: exact at the edge, silent where they cannot know, never wrong."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nqm import check, heavy_ball_rule, parse_rule, prove_matrix, prove_stability
from nqm.cli import main
from nqm.namespace import exact
from nqm.rules.table import RULES
from nqm.spectra.elimination import definiteness
from tests.nqm.strategies import SYMMETRIC, Drawn, problems

pytest.importorskip("flint")


@given(st.integers(1, 5), st.integers(0, 2**32 - 1), st.integers(0, 5))
def test_definiteness_of_exact_matrices(n: int, seed: int, rank: int) -> None:
    """B D B^T with integer B of full rank and integer signs D: Sylvester's law of inertia."""
    rng = np.random.default_rng(seed)
    B = np.tril(rng.integers(-3, 4, (n, n)), -1) + np.eye(n, dtype=int)
    D = rng.integers(0 if rank else -1, 2, n) if rank < 5 else np.ones(n, dtype=int)
    entries = B @ np.diag(D) @ B.T
    expected = "indefinite" if (D < 0).any() else "semidefinite" if (D == 0).any() else "positive"
    assert definiteness([[Fraction(int(x), 7) for x in row] for row in entries]) == expected


@pytest.mark.parametrize(
    ("alpha", "status"),
    [
        (2.0, "undecided"),
        (np.nextafter(2.0, 0.0), "proved_stable"),
        (np.nextafter(2.0, 3.0), "proved_unstable"),
        (0.0, "undecided"),
        (5e-324, "proved_stable"),
        (-5e-324, "proved_unstable"),
    ],
)
def test_the_edge_is_settled_to_the_last_bit(alpha: float, status: str) -> None:
    H = np.array([[0.75, 0.25], [0.25, 0.75]])  # eigenvalues 1/2 and 1, exact in binary
    found = prove_stability(H, None, alpha)
    assert found.status == status
    if status == "undecided":
        assert "exactly 1" in found.by
    assert check(H, None, alpha).verdict == "marginal"  # floating point cannot tell


@settings(max_examples=60)
@given(problems(kinds=SYMMETRIC, max_log_condition=8))
def test_a_proof_is_found_wherever_the_verdict_is_clear(p: Drawn) -> None:
    report = check(p.hessian, p.preconditioner, p.nominal_step, rigorous=True)
    if report.verdict == "stable":
        assert report.proof.status == "proved_stable"
    if report.verdict == "unstable":
        assert report.proof.status == "proved_unstable"


@settings(max_examples=40)
@given(problems(kinds=("any", "normal", "skew", "nilpotent"), max_log_condition=3))
def test_stein_certificates_agree_with_enclosed_eigenvalues(p: Drawn) -> None:
    """The two routes for P that is not symmetric, each on the same matrix."""
    import flint

    from nqm.spectra import proofs as rigorous

    A = np.eye(len(p.hessian)) - (p.nominal_step * np.eye(len(p.hessian)) + p.preconditioner) @ (
        p.hessian
    )
    with rigorous._precision(flint):
        ball = flint.arb_mat(A.tolist())
        first, _, bounds = rigorous._eigenvalue_proof(flint, ball)
        second, _ = rigorous._stein_proof(flint, ball, A)
    assert {first, second} != {"proved_stable", "proved_unstable"}
    radius = np.max(np.abs(np.linalg.eigvals(A)))
    # A nearly defective matrix has eigenvalues that cannot be enclosed one by one, and Stein
    # equations whose solutions are as large as its powers.
    sound = np.linalg.norm(A) < 100 and np.linalg.cond(np.linalg.eig(A)[1]) < 1e8
    if abs(radius - 1) > 1e-3 and sound:
        assert first == second != "undecided"
    if bounds is not None:
        assert bounds[0] <= bounds[1]


def test_a_large_matrix_is_proved_by_a_certificate() -> None:
    rng = np.random.default_rng(0)
    A = rng.standard_normal((60, 60))
    A = A / np.max(np.abs(np.linalg.eigvals(A)))
    for radius, status in ((0.99, "proved_stable"), (1.01, "proved_unstable")):
        found = prove_matrix(radius * A)
        assert found.status == status
        assert "balls" in found.by or "ball arithmetic" in found.by


def test_a_jordan_block_on_the_circle_is_undecided() -> None:
    assert prove_matrix([[1.0, 1.0], [0.0, 1.0]]).status == "undecided"


def test_a_singular_hessian_is_undecided() -> None:
    found = prove_stability(np.diag([1.0, 0.0]), None, 0.5)
    assert found.status == "undecided"
    assert "hessian" in found.by


@pytest.mark.parametrize(("step", "status"), [(0.9, "proved_stable"), (1.1, "proved_unstable")])
def test_with_a_root_a_singular_hessian_is_judged_on_its_range(step: float, status: str) -> None:
    """There (12) is 1 - sqrt(4) alpha; H^-1/2 of the whole of H is infinite."""
    proof = check(
        np.diag([4.0, 0.0]), nominal_step=step, rule="preconditioned", rigorous=True
    ).proof
    assert proof is not None
    assert (proof.status, "range" in proof.about) == (status, True)


def test_momentum_is_proved_about_the_numbers_given() -> None:
    H, limit = np.diag([1.0, 0.5]), 2 * (1 + 0.95)
    rule = heavy_ball_rule(H, None, 1.001 * limit, 0.95)
    assert prove_matrix(rule.joint_matrix).status == "proved_unstable"
    report = check(H, None, 0.999 * limit, rule="heavy_ball:momentum=0.95", rigorous=True)
    assert report.proof.status == "proved_stable"
    assert report.proof.about == "heavy_ball with exactly these numbers"


@settings(max_examples=60)
@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 99), st.integers(-3, 3), st.booleans()
)
def test_a_momentum_proof_never_contradicts_jury(
    tenths: int, h_tenths: int, hundredths: int, ulps: int, at_the_edge: bool
) -> None:
    """x^2 - (1 + b - a h) x + b is stable iff 0 < a h < 2 (1 + b), in exact arithmetic."""
    h, b, a = h_tenths / 10, hundredths / 100, tenths / 10
    if at_the_edge:
        a = 2 * (1 + b) / h
        for _ in range(abs(ulps)):
            a = float(np.nextafter(a, np.inf if ulps > 0 else 0.0))
    x, limit = Fraction(a) * Fraction(h), 2 * (1 + Fraction(b))
    proof = check([[h]], None, a, rule=f"heavy_ball:momentum={b}", rigorous=True).proof
    expected = "undecided" if x == limit else "proved_stable" if x < limit else "proved_unstable"
    assert proof.status == expected


RULES_OF_POLYNOMIALS = sorted(set(RULES) - {"preconditioned"})


@pytest.mark.parametrize("name", RULES_OF_POLYNOMIALS)
def test_every_rule_without_a_root_is_built_from_its_exact_numbers(name: str) -> None:
    H, P = np.array([[0.7, 0.1], [0.1, 0.3]]), np.array([[0.1, 0.2], [0.0, 0.3]])
    named, parameters = parse_rule(name)
    numbers = {k: v if k == "delay" else exact(v) for k, v in parameters.items()}
    F = named.build(exact(H), exact(P), exact(0.3), **numbers).joint_matrix
    rounded = named.build(H, P, 0.3, **parameters).joint_matrix
    np.testing.assert_allclose(F.astype(float), rounded, rtol=1e-15, atol=1e-16)
    assert all(isinstance(x, int | Fraction) for x in F.flat)
    report = check(H, P, 0.3, rule=name, rigorous=True)
    assert report.proof.status == f"proved_{report.verdict}"
    assert "rounded" not in report.proof.about + report.text()


def test_a_proof_about_a_rounded_matrix_says_so() -> None:
    H = np.array([[0.7, 0.1], [0.1, 0.3]])
    for rule in ("preconditioned", lambda H, P, a: heavy_ball_rule(H, P, a, 0.5)):
        report = check(H, None, 0.3, rule=rule, rigorous=True)
        assert report.proof.status == "proved_stable"
        assert "about the joint matrix, as rounded to float64" in report.text()
        assert "rounded" in report.as_dict()["rigorous_proof"]["about"]


def test_too_large_is_undecided() -> None:
    assert prove_matrix(np.eye(401)).status == "undecided"
    assert "400 rows" in prove_stability(np.eye(401), None, 0.5).by


def test_without_flint_it_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "flint", None)
    assert main(["check", "--hessian", "paper", "--rigorous"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "nqm-lopt[rigorous]" in captured.err
