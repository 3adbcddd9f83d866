"""A step of fixed root mean square: where it settles, and which schedules lead to the minimum."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nqm
from nqm import NoisyQuadratic, normalized_limit

H = np.array([[2.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]])
S = np.array([[1.0, 0.2, 0.0], [0.2, 0.5, 0.1], [0.0, 0.1, 2.0]])
TOP = np.linalg.eigvalsh(H)[-1]


def excesses(hessian, noise, etas, start, seeds, rng):
    """1/2 phi^T H phi after each step phi' = phi - eta g/rms(g), g = H (phi - xi); [T, seeds]."""
    n = len(hessian)
    phi, seen = np.broadcast_to(start, (seeds, n)).copy(), []
    root = np.linalg.cholesky(noise) if np.any(noise) else noise
    for eta in etas:
        g = (phi - rng.standard_normal((seeds, n)) @ root.T) @ hessian
        length = np.sqrt(np.mean(g**2, axis=1, keepdims=True))
        phi = phi - eta * g / np.where(length > 0, length, 1.0)
        seen.append(np.einsum("si,ij,sj->s", phi, hessian, phi) / 2)
    return np.array(seen)


@pytest.mark.parametrize("eta", [1e-6, 1e-2, 1.0, 100.0])
def test_it_is_sgd_with_the_step_in_effect(eta) -> None:
    """Its limit is that of SGD at alpha, where eta/alpha is the root mean square of H(phi - xi)."""
    model = NoisyQuadratic(H, S)
    found = normalized_limit(model, eta)
    assert 0 < found.step < 2 / TOP
    rule = nqm.plain_rule(H, None, found.step)
    assert_allclose(found.loss, nqm.limit_loss(model, rule).value, rtol=1e-6)
    assert_allclose(found.loss - found.excess, np.trace(H @ S) / 2, rtol=1e-6)
    second = nqm.limit_moments(model, rule).covariance + S
    assert_allclose(found.step**2 * np.trace(H @ second @ H) / 3, eta**2, rtol=1e-6)


@pytest.mark.parametrize("eta", [1e-3, 2.0])
def test_without_noise_it_alternates_at_the_edge_of_stability(eta) -> None:
    """phi = +-(eta sqrt(N)/2) x on the top eigenvector x: each step leads to the other."""
    found = normalized_limit(NoisyQuadratic(H), eta)
    assert_allclose(found.step, 2 / TOP, rtol=1e-12)
    phi = eta * math.sqrt(3) / 2 * np.linalg.eigh(H)[1][:, -1]
    g = H @ phi
    assert_allclose(phi - eta * g / np.sqrt(np.mean(g**2)), -phi, rtol=1e-9)
    assert_allclose(found.excess, phi @ H @ phi / 2, rtol=1e-9)
    assert found.loss == found.excess


def test_the_limit_does_not_jump_where_the_noise_vanishes() -> None:
    still = normalized_limit(NoisyQuadratic(H), 0.1)
    for size in (1e-10, 1e-20, 1e-200):
        seen = normalized_limit(NoisyQuadratic(H, size * S), 0.1)
        assert_allclose(seen, still, rtol=1e-4 if size == 1e-10 else 1e-8)


def test_noise_that_misses_the_top_eigenvector() -> None:
    """It bounds the step until eta^2 N exceeds what it makes of the gradient at alpha = 2/h_max."""
    model = NoisyQuadratic(np.diag([1.0, 2.0]), np.diag([1.0, 0.0]))
    small, large = normalized_limit(model, 0.1), normalized_limit(model, 3.0)
    alpha = small.step
    assert_allclose(small.excess, alpha / (2 - alpha) / 2, rtol=1e-9)
    assert_allclose(alpha**2 * 2 / (2 - alpha) / 2, 0.01, rtol=1e-9)
    # At alpha = 1: v_1 = 1, and eta^2 N = v_1 + s_1 + 4 v_2.
    assert_allclose(large.step, 1.0, rtol=1e-9)
    assert_allclose(large.excess, (1 + 2 * (18 - 2) / 4) / 2, rtol=1e-6)


def test_a_singular_hessian_divides_by_all_coordinates() -> None:
    """The null space has no gradient, but counts in the mean."""
    seen = normalized_limit(NoisyQuadratic(np.diag([0.0, 2.0]), np.eye(2)), 0.1)
    alone = normalized_limit(NoisyQuadratic([[2.0]], [[1.0]]), 0.1 * math.sqrt(2))
    assert_allclose(seen.excess, alone.excess, rtol=1e-9)


@pytest.mark.parametrize("n", [2, 8, 32])
def test_simulated_in_noise(n) -> None:
    """For H = I, S = I the excess is eta N^(3/2)/(4 E chi_N) to first order in eta."""
    eta, seeds, steps = 0.02, max(200, 1600 // n), 600
    rng = np.random.default_rng(n)
    chi = math.sqrt(2) * math.exp(math.lgamma((n + 1) / 2) - math.lgamma(n / 2))
    exact = eta * n**1.5 / (4 * chi)
    start = math.sqrt(2 * exact / n) * rng.standard_normal((seeds, n))
    seen = excesses(np.eye(n), np.eye(n), [eta] * steps, start, seeds, rng)[steps // 2 :]
    per_run = seen.mean(axis=0)
    error = 5 * per_run.std() / math.sqrt(seeds)
    assert error < 0.12 * exact
    assert abs(per_run.mean() - exact) <= error + 0.02 * exact
    limit = normalized_limit(NoisyQuadratic(np.eye(n), np.eye(n)), eta).excess
    assert_allclose(limit / exact, chi / math.sqrt(n), rtol=0.02)


def test_simulated_without_noise() -> None:
    """The excess lies between that of the symmetric cycle and twice it, in any dimension."""
    rng = np.random.default_rng(0)
    hessian = np.diag(np.linspace(0.2, 2.0, 10))
    start = rng.standard_normal((20, 10))
    seen = excesses(hessian, np.zeros((10, 10)), [0.05] * 4000, start, 20, rng)[-100:].mean()
    least = normalized_limit(NoisyQuadratic(hessian), 0.05).excess
    assert 0.999 * least <= seen <= 2 * least


def test_the_excess_grows_with_the_step_and_its_square() -> None:
    """Proportional to eta in noise and to eta^2 without."""
    for noise, power in ((S, 1), (1e-12 * S, 2)):
        small, large = (normalized_limit(NoisyQuadratic(H, noise), e).excess for e in (1e-4, 2e-4))
        assert_allclose(large / small, 2**power, rtol=1e-3)


SCHEDULES = {
    "constant": np.full(4000, 0.02),
    "root": 0.5 / np.sqrt(np.arange(1, 4001)),
    "harmonic": 1.0 / np.arange(1, 4001),
    "cosine": 0.02 * (1 + np.cos(np.pi * np.arange(4000) / 4000)),
    "summable": 0.5 * 0.5 ** np.arange(4000),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_which_schedules_lead_to_the_minimum(name) -> None:
    """In one dimension |phi'| <= max(|phi| - eta, eta), so that |phi_T| is at most the largest of
    |phi_0| minus all steps and of each step minus the later ones: it vanishes if the steps do and
    their sum is infinite.
    """
    etas, rng = SCHEDULES[name], np.random.default_rng(1)
    seen = excesses(np.eye(1), np.zeros((1, 1)), etas, np.full(1, 3.013), 1, rng)[-1, 0]
    final, later = math.sqrt(2 * seen), etas.sum() - np.cumsum(etas)
    bound = max(3.013 - etas.sum(), float(np.max(etas - later)))
    assert final <= bound + 1e-9
    if name == "summable":
        assert final == pytest.approx(2.013)
    elif name == "constant":
        assert final > 0.006  # no multiple of the step leads from 3.013 nearer to 0
    else:
        assert final <= 0.01


def test_in_noise_the_excess_follows_the_schedule() -> None:
    """Steps a hundredth as long at the end leave a hundredth of the excess, a cosine still less."""
    rng, n, steps = np.random.default_rng(2), 8, 6000
    start, eye = np.zeros((50, n)), np.eye(n)
    runs = {
        "constant": np.full(steps, 0.1),
        "root": 0.1 / np.sqrt(1 + np.arange(steps) * 99 / steps),
        "cosine": 0.05 * (1 + np.cos(np.pi * np.arange(steps) / steps)),
    }
    final = {k: excesses(eye, eye, e, start, 50, rng)[-1].mean() for k, e in runs.items()}
    assert 0.07 < final["root"] / final["constant"] < 0.14
    assert final["cosine"] < 0.03 * final["constant"]


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), "fast"])
def test_a_step_that_is_none_is_refused(step) -> None:
    with pytest.raises(ValueError, match="step must be "):
        normalized_limit(NoisyQuadratic(H), step)
