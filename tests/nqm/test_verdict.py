"""The verdict against brute force: powers of the matrix, and eigenvalues in ball arithmetic."""

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from nqm import check, judge, loss_norm_matrix, prove_stability, symmetric_eigenvalues
from tests.nqm.strategies import SYMMETRIC, Drawn, problems, rotation

flint = pytest.importorskip("flint")


def true_radius(p: Drawn) -> tuple[float, float]:
    """Enclosure of rho(I - (alpha I + P) H) for exactly these numbers, in 400 bits."""
    before, flint.ctx.prec = flint.ctx.prec, 400
    try:
        identity = flint.arb_mat(np.eye(p.hessian.shape[0]).tolist())
        M = identity * flint.arb(p.nominal_step) + flint.arb_mat(p.preconditioner.tolist())
        A = identity - M * flint.arb_mat(p.hessian.tolist())
        moduli = [abs(z) for z in flint.acb_mat(A).eig(multiple=True)]
        return max(float(m.lower()) for m in moduli), max(float(m.upper()) for m in moduli)
    except ValueError:  # not isolated: nothing to compare with
        reject()
    finally:
        flint.ctx.prec = before


def growth(J: np.ndarray, doublings: int = 20) -> float:
    """log |J^T| / T at T = 2^doublings, scaled at every squaring."""
    power, log = J, 0.0
    for _ in range(doublings):
        norm = float(np.linalg.norm(power))
        if norm == 0.0:
            return -np.inf
        power = (power / norm) @ (power / norm)
        log = 2 * (log + np.log(norm))
    norm = float(np.linalg.norm(power))
    return -np.inf if norm == 0.0 else (log + np.log(norm)) / 2**doublings


@given(problems())
def test_the_enclosure_holds_the_true_radius(p: Drawn) -> None:
    low, high = true_radius(p)
    spectrum = check(p.hessian, p.preconditioner, p.nominal_step).spectrum
    assert spectrum.lower <= np.nextafter(high, 2 * high)  # unstable by less than a float tells
    assert low <= spectrum.upper
    assert spectrum.lower <= spectrum.spectral_radius <= spectrum.upper


@given(problems(max_log_condition=6))
def test_the_verdict_agrees_with_powers(p: Drawn) -> None:
    report = check(p.hessian, p.preconditioner, p.nominal_step)
    rate = growth(loss_norm_matrix(p.hessian, p.preconditioner, p.nominal_step))
    if report.verdict == "stable" and report.spectrum.upper < 1 - 1e-3:
        assert rate < 0
    if report.verdict == "unstable" and report.spectrum.lower > 1 + 1e-3:
        assert rate > 0


@given(problems(kinds=SYMMETRIC))
def test_symmetric_problems_of_condition_1e10_are_seldom_marginal(p: Drawn) -> None:
    report = check(p.hessian, p.preconditioner, p.nominal_step)
    row = np.sum(np.abs(p.preconditioner), axis=1).max() + abs(p.nominal_step)
    scale = 1 + row * np.sum(np.abs(p.hessian), axis=1).max()
    if abs(report.spectrum.spectral_radius - 1) > 1e-10 * scale:
        assert report.verdict != "marginal"


@settings(max_examples=60)
@given(problems())
def test_a_proof_agrees_with_the_true_radius(p: Drawn) -> None:
    low, high = true_radius(p)
    status = prove_stability(p.hessian, p.preconditioner, p.nominal_step).status
    if status == "proved_stable":
        assert low <= 1
    elif status == "proved_unstable":
        assert high >= 1
    else:
        assert low <= 1 + 1e-9
        assert high >= 1 - 1e-9


@given(problems(max_log_condition=6), st.integers(0, 2**32 - 1), st.floats(-3, 3))
def test_rotation_and_scaling_change_nothing(p: Drawn, seed: int, log_scale: float) -> None:
    """phi -> Q phi turns H and P alike; H -> c H with M -> M / c leaves M H."""
    Q, c = rotation(np.random.default_rng(seed), p.hessian.shape[0]), 10**log_scale
    H = c * Q @ p.hessian @ Q.T
    turned = (H + H.T) / 2, Q @ p.preconditioner @ Q.T / c, p.nominal_step / c
    before = check(p.hessian, p.preconditioner, p.nominal_step).spectrum
    after = check(*turned).spectrum
    # The turned matrices are rounded themselves, by an amount the enclosures are built for.
    assert after.lower <= before.upper + 10 * before.uncertainty
    assert before.lower <= after.upper + 10 * after.uncertainty
    assert {before.verdict, after.verdict} != {"stable", "unstable"}


@given(problems(kinds=SYMMETRIC, max_log_condition=6), st.floats(-2, 2), st.floats(-2, 2))
def test_the_radius_is_convex_in_the_step(p: Drawn, a: float, b: float) -> None:
    h = np.linalg.eigvalsh(p.hessian)[-1]

    def radius(alpha: float) -> float:
        return float(np.abs(symmetric_eigenvalues(p.hessian, p.preconditioner, alpha / h)).max())

    size = np.linalg.norm(p.preconditioner) * h + abs(a) + abs(b) + 1
    assert radius((a + b) / 2) <= (radius(a) + radius(b)) / 2 + 1e-14 * size


@pytest.mark.parametrize("value", [0.5, 0.9, 1.5])
@pytest.mark.parametrize("size", [2, 3, 5])
def test_jordan_blocks_away_from_the_circle_are_decided(value: float, size: int) -> None:
    """The eigenvalues of a perturbed Jordan block move by eps^(1/size): the verdict may not."""
    block = value * np.eye(size) + np.diag(np.ones(size - 1), 1)
    found = judge(block)
    assert found.verdict == ("stable" if value < 1 else "unstable")
    assert found.lower <= value <= found.upper


def test_a_nilpotent_matrix_is_stable_and_warns_of_nothing() -> None:
    """rho = 0 exactly, every eigenvector the same: the certificates overflow on the way."""
    found = judge(np.triu(np.full((8, 8), 3.0), 1))
    assert found.verdict == "stable"
    assert found.spectral_radius == 0.0


@pytest.mark.parametrize("size", [2, 3])
def test_a_jordan_block_on_the_circle_is_marginal(size: int) -> None:
    assert judge(np.eye(size) + np.diag(np.ones(size - 1), 1)).verdict == "marginal"


@pytest.mark.parametrize(("radius", "verdict"), [(0.98, "stable"), (1.02, "unstable")])
def test_large_matrices_take_the_dominant_eigenvalue(radius: float, verdict: str) -> None:
    rng = np.random.default_rng(3)
    n = 220
    P = rng.standard_normal((n, n))
    A = np.eye(n) - P
    P = np.eye(n) - A * radius / np.max(np.abs(np.linalg.eigvals(A)))
    report = check(np.eye(n), P, 0.0)
    assert report.verdict == verdict
    assert "first order" in report.spectrum.method
    assert abs(report.spectrum.spectral_radius - radius) <= report.spectrum.uncertainty
    skipped = [c for c in report.conditions if "not evaluated" in c.reason]
    assert len(skipped) == 4
