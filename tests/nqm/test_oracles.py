"""The answers of nqm against other programs: SciPy, python-control, and SLICOT where installed.

`pip install slycot control` brings the last two.
"""

import numpy as np
import pytest
import scipy.linalg

import nqm
from nqm.robust.certificates import _best_scaling, scaled_norm
from nqm.robust.family import disturbed_family
from tests.nqm.strategies import hessian
from tests.nqm.test_robust import random_problem

COMPLEX, REAL = 2, 1


def mu_bound(matrix, kind):
    """An upper bound of the structured singular value over diagonal perturbations (AB13MD)."""
    slycot = pytest.importorskip("slycot")
    n = len(matrix)
    return slycot.ab13md(np.asarray(matrix, complex), np.ones(n, int), np.full(n, kind))[0]


def centred(problem):
    """A, B, C with A(d) = A + B diag(delta) C for d = dbar (1 + delta)/2, |delta_i| <= 1.

    diag(delta) touches det(z I - A - B diag(delta) C) = det(z I - A) det(I - G(z) diag(delta)) with
    G(z) = C (z I - A)^-1 B: an eigenvalue reaches z for some such delta where mu(G(z)) >= 1.
    """
    H, P, alpha, bound = problem
    half = np.diag(bound) / 2
    return np.eye(len(H)) - alpha * H - half @ P @ H, -half, P @ H


def response(A, B, C, z):
    return C @ np.linalg.solve(z * np.eye(len(A)) - A, B.astype(complex))


@pytest.mark.parametrize("n", [2, 4, 8])
def test_the_scaling_is_as_good_as_that_of_slicot(n) -> None:
    """For complex diagonal perturbations both minimize |D G D^-1|_2 over positive diagonal D; that
    of nqm stops early, as its certificate holds for any D.
    """
    rng = np.random.default_rng(n)
    for _ in range(4):
        G = rng.standard_normal((n, n)) * np.exp(rng.standard_normal((n, 1)))
        G *= 0.9 / np.linalg.norm(G, 2)
        theta = _best_scaling(np.zeros((n, n)), np.eye(n), G)
        d = np.sqrt(theta)
        ours = np.linalg.norm(d[:, None] * G / d, 2)
        assert 1 - 1e-6 <= ours / mu_bound(G, COMPLEX) <= 1.03


@pytest.mark.parametrize("n", [2, 3, 4])
def test_a_refuted_problem_has_a_structured_singular_value_of_one(n) -> None:
    """On the way from the centre of the box to the witness an eigenvalue meets the circle, at z: so
    mu(G(z)) >= 1, and its upper bound for real perturbations is no smaller.
    """
    refuted = 0
    for seed in range(20):
        problem = random_problem(seed, n)
        report = nqm.robust_stability(*problem, budget=500)
        A, B, C = centred(problem)
        if report.status != "refuted" or np.abs(np.linalg.eigvals(A)).max() >= 1:
            continue
        delta = np.diag(2 * report.witness / problem[3] - 1)
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            inside = np.abs(np.linalg.eigvals(A + middle * B @ delta @ C)).max() < 1
            low, high = (middle, high) if inside else (low, middle)
        values = np.linalg.eigvals(A + low * B @ delta @ C)
        z = values[np.argmax(np.abs(values))]
        assert mu_bound(response(A, B, C, z / abs(z)), REAL) >= 1 - 1e-6
        refuted += 1
    assert refuted >= 3


@pytest.mark.parametrize("n", [3, pytest.param(5, marks=pytest.mark.thorough)])
def test_what_slicot_certifies_is_not_refuted_and_what_scaling_certifies_it_does_too(n) -> None:
    """D-scaling has one D for all z, where mu may take another D, and G, at each."""
    by_scaling = certified = 0
    circle = np.exp(1j * np.linspace(0, np.pi, 46))
    for seed in range(12):
        problem = random_problem(seed, n)
        A, B, C = centred(problem)
        if np.abs(np.linalg.eigvals(A)).max() >= 1:
            continue
        top = max(mu_bound(response(A, B, C, z), COMPLEX) for z in circle)
        if scaled_norm(disturbed_family(*problem)) is not None:
            by_scaling += 1
            assert top < 1
        if top < 0.99:  # the grid is not the circle
            certified += 1
            assert nqm.robust_stability(*problem, budget=500).status != "refuted"
    assert by_scaling
    assert certified


def stable_problem(seed, n=4):
    """A model and a rule, and A, B and the covariance of the limit by SciPy."""
    rng = np.random.default_rng(seed)
    H, root = hessian(rng, n, 1.5), rng.standard_normal((n, n))
    model = nqm.NoisyQuadratic(H, root @ root.T)
    # Stable by Theorem 1': |alpha - 1/h| + |P| < 1/h.
    P, top = rng.standard_normal((n, n)), np.linalg.norm(H, 2)
    rule = nqm.plain_rule(H, 0.2 / top * P / np.linalg.norm(P, 2), 0.7 / top)
    A, B = rule.joint_matrix, rule.noise_matrix
    S = model.noise_covariance
    return model, rule, A, B, scipy.linalg.solve_discrete_lyapunov(A, B @ S @ B.T)


@pytest.mark.parametrize("seed", range(5))
def test_the_limit_is_that_of_the_solver_of_scipy(seed) -> None:
    """X = A X A^T + B S B^T, and the loss is 1/2 tr H (X + S)."""
    model, rule, _, _, X = stable_problem(seed)
    np.testing.assert_allclose(nqm.limit_moments(model, rule).covariance, X, rtol=1e-8)
    exact = np.trace(model.hessian @ (X + model.noise_covariance)) / 2
    assert nqm.limit_loss(model, rule).value == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_the_excess_loss_is_half_a_squared_norm_of_python_control(seed) -> None:
    """The H2 norm from the noise to H^1/2 phi."""
    control = pytest.importorskip("control")
    model, rule, A, B, X = stable_problem(seed)
    S, H = model.noise_covariance, model.hessian
    Q = B @ S @ B.T
    np.testing.assert_allclose(control.dlyap(A, (Q + Q.T) / 2), X, rtol=1e-8)
    root = scipy.linalg.sqrtm(H).real
    system = control.ss(A, B @ np.linalg.cholesky(S), root, 0 * root, True)
    value = control.system_norm(system, 2) ** 2 / 2 + np.trace(H @ S) / 2
    assert nqm.limit_loss(model, rule).value == pytest.approx(value, rel=1e-6)
