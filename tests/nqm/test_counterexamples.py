"""The counterexamples and check values of the corrected theory, by name."""

import numpy as np
import pytest

from nqm import check, eigenvalues, example, theorem1, update_matrix


def spectrum_of(name: str) -> np.ndarray:
    shown = example(name)
    assert shown.nominal_step is not None
    A = update_matrix(shown.hessian, shown.preconditioner, shown.nominal_step)
    return np.sort_complex(eigenvalues(A))


def test_theorem1_as_printed_fails_for_real_eigenvalues() -> None:
    shown = example("theorem1-real-eigenvalues")
    assert np.allclose(np.sort(np.linalg.eigvals(shown.preconditioner)), [0, 0.5])
    bound = 2 / np.linalg.eigvalsh(shown.hessian)[-1]
    assert np.isclose(bound, 2 / 3)
    assert bound > 0.5  # (9) and (10) hold on the eigenvalues of P
    assert np.allclose(spectrum_of(shown.name), [-2, 1])
    report = check(shown.hessian, shown.preconditioner, shown.nominal_step)
    assert report.verdict == "unstable"
    condition = theorem1(shown.hessian, shown.preconditioner, 0.0)
    assert not condition.applies
    assert not condition.holds
    assert "not symmetric" in condition.reason


def test_theorem1_eigenvalues_need_not_be_real() -> None:
    root = np.sqrt(6) / 4
    assert np.allclose(spectrum_of("theorem1-complex-spectrum"), [1 - 1j * root, 1 + 1j * root])
    shown = example("theorem1-complex-spectrum")
    p = np.linalg.eigvals(shown.preconditioner).real
    assert min(p) > -0.25
    assert max(p) < 2 / 3 - 0.25
    report = check(shown.hessian, shown.preconditioner, shown.nominal_step)
    assert report.verdict == "unstable"


def test_theorem1_interval_can_be_empty_where_the_exact_one_is_zero_to_two() -> None:
    shown = example("theorem1-conservative")
    report = check(shown.hessian, shown.preconditioner, 1.0)
    assert report.verdict == "stable"
    assert report.nominal_step_interval == pytest.approx((0, 2))
    (condition,) = [c for c in report.conditions if c.name == "Theorem 1"]
    assert condition.applies
    assert not condition.holds


def test_the_inverse_hessian_has_radius_zero_and_is_uncertified() -> None:
    shown = example("ill-conditioned")
    report = check(shown.hessian, shown.preconditioner, 0.0)
    assert report.spectrum.spectral_radius < 1e-12
    assert report.nominal_step_interval == pytest.approx((-1, 1))
    assert not report.conditions[0].holds


def test_a_defective_eigenvalue_at_one_half_is_stable() -> None:
    shown = example("transient")
    report = check(shown.hessian, shown.preconditioner, shown.nominal_step)
    assert report.verdict == "stable"


def test_the_best_step_of_plain_gradient_descent() -> None:
    H = example("paper").hessian
    low, high = np.linalg.eigvalsh(H)
    best = check(H, nominal_step=0.1).best_nominal_step
    assert best == pytest.approx((2 / (low + high), (high - low) / (high + low)))


def test_a_singular_hessian_is_judged_on_its_range() -> None:
    H = np.diag([1.0, 0.0, 2.0])
    P = np.array([[0.0, 7.0, 0.1], [3.0, 9.0, -4.0], [0.0, 1.0, 0.0]])
    report = check(H, P, 0.5)
    assert report.rank == 2
    block = np.ix_([0, 2], [0, 2])
    expected = np.linalg.eigvals(update_matrix(H, P, 0.5)[block])
    assert np.allclose(np.sort_complex(report.spectrum.eigenvalues), np.sort_complex(expected))
    assert report.verdict == "stable"


def test_noise_at_minus_one_adds_up() -> None:
    shown = example("noise-at-minus-one")
    report = check(shown.hessian, None, shown.nominal_step)
    assert report.verdict == "marginal"
    assert "grow without bound" in report.text()
    A, Q, covariance = -1.0, 4.0, 0.0
    for t in range(1, 6):
        covariance = A * covariance * A + Q
        assert covariance == 4 * t
