"""Each proved formula on moments and gradients against the nqm function that implements it.

`ties` names the statements and the function; the last test asserts that every statement of the
catalogue is tied to one, here or in the module on stability, or says why it has none.
"""

import importlib
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nqm
from nqm.spectra.lyapunov import stein_solution
from tests.cross.theory_cases import H_AXIS, PROOF_ONLY, RTOL, TIED, Case, formula, ties
from theory.catalogue import BY_NAME, find


@pytest.fixture(params=range(3))
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


@ties("nqm.update_matrix", "eq-6")
@ties("nqm.preconditioned_update_matrix", "eq-12")
@ties("nqm.step_matrix", "eq-a18")
def test_update_matrices(case: Case) -> None:
    place = {"H": case.H, "P": case.skewed, "alpha": case.alpha}
    assert_allclose(formula("eq-6", "update_matrix")(**place), case.A, rtol=RTOL)
    assert_allclose(formula("eq-6", "noise_gain")(**place), case.rule.noise_matrix, atol=1e-14)
    found = formula("eq-12", "update_matrix")(K=case.root, P=case.skewed, alpha=case.alpha)
    expected = nqm.preconditioned_update_matrix(case.H, case.skewed, case.alpha)
    assert_allclose(found, expected, rtol=RTOL, atol=1e-12)
    shift = formula("eq-a18", "eigenvalue")
    shifted = [shift(alpha=case.alpha, p=p) for p in np.linalg.eigvalsh(case.P)]
    assert_allclose(np.linalg.eigvalsh(nqm.step_matrix(case.P, case.alpha)), shifted, rtol=RTOL)


@ties("nqm.cancelled_step_matrix", "eq-14", "eq-18", "eq-19", "cancellation-convex")
@ties("nqm.perturbed_preconditioner", "eq-15")
def test_disturbed_gains(case: Case) -> None:
    one, d, eps = np.ones(H_AXIS), case.rng.uniform(0.1, 1, H_AXIS), 0.3
    exact = nqm.cancelled_step_matrix(case.P, case.alpha, one)
    found = formula("eq-14", "update_matrix")(H=case.H, Pstar=case.P)
    assert_allclose(found, np.eye(H_AXIS) - exact @ case.H, atol=1e-12)
    found = formula("eq-18", "gain")(Delta=np.diag(d), Pstar=case.skewed, alpha=case.alpha)
    assert_allclose(found, nqm.cancelled_step_matrix(case.skewed, case.alpha, d), atol=1e-12)
    uniform = nqm.cancelled_step_matrix(case.P, case.alpha, (1 - eps) * one)
    for name in ("eq-19", "cancellation-convex"):
        assert_allclose(formula(name, "gain")(Pstar=case.P, alpha=case.alpha, epsilon=eps), uniform)
    weight, vertices = formula("eq-15", "weight_factor"), np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    weights = [
        np.prod([weight(k=b, d1=x, dbar1=2.0) for b, x in zip(v, d, strict=False)])
        for v in vertices
    ]
    mean = sum(
        w * nqm.perturbed_preconditioner(case.P[:2, :2], 2.0 * v)
        for w, v in zip(weights, vertices, strict=True)
    )
    assert_allclose(mean, nqm.perturbed_preconditioner(case.P[:2, :2], d[:2]), rtol=RTOL)


@ties("nqm.parameter_moments", "eq-7", "instability-loss", "eq-a4")
def test_moments(case: Case) -> None:
    t = 5
    found = nqm.parameter_moments(case.model, case.rule, t)
    summand, initial = formula("eq-7", "summand"), formula("eq-7", "initial")
    total = initial(A=case.A, S0=case.S0, t=t)
    total = total + sum(summand(A=case.A, S=case.S, t=t, k=k) for k in range(t))
    assert_allclose(found.covariance, total, rtol=RTOL, atol=1e-12)
    values, vectors = np.linalg.eig(case.A)
    power = formula("eq-a4", "power")(V=vectors, L=np.diag(values), t=t)
    assert_allclose(found.mean, (power @ case.m).real, atol=1e-10)
    one = nqm.NoisyQuadratic([[1.0]], [[0.7]])
    line = nqm.parameter_moments(one, nqm.plain_rule(one.hessian, None, 0.4), t)
    expected = formula("instability-loss", "variance")(lamda=0.6, s=0.7, t=t)
    assert_allclose(line.covariance, [[expected]], rtol=RTOL)


@ties(
    "nqm.expected_loss",
    "eq-8",
    "lemma-4",
    "lemma-5",
    "eq-a1",
    "eq-a2",
    "eq-a3",
    "eq-a9",
    "doubling",
)
def test_expected_loss(case: Case) -> None:
    T = 6
    loss = float(nqm.expected_loss(case.model, case.rule, T).value)
    place = {"A": case.A, "H": case.H, "S": case.S, "Pi0": case.Pi0}
    assert_allclose(formula("eq-8", "meta_loss")(**place, T=T), loss, rtol=RTOL)
    quiet = nqm.NoisyQuadratic(case.H, None, case.m, case.S0)
    noisy = nqm.NoisyQuadratic(case.H, case.S)
    deterministic = float(nqm.expected_loss(quiet, case.rule, T).value)
    covariances = [nqm.parameter_moments(noisy, case.rule, t).covariance for t in range(1, T + 1)]
    gaps = [formula("lemma-4", "gap_at_time")(C=c, H=case.H, S=case.S) for c in covariances]
    assert_allclose(loss - deterministic, np.mean(gaps), rtol=RTOL)
    halves = [formula("eq-a9", "at_time")(C=c, H=case.H, S=case.S) / 2 for c in covariances]
    assert_allclose(halves, gaps, rtol=RTOL)
    for name, key, value in (
        ("eq-a1", "deterministic_at_time", deterministic),
        ("eq-a2", "meta_loss_at_time", loss),
    ):
        mean = np.mean(
            [formula(name, key)(**place, C=c, t=t) for t, c in enumerate(covariances, 1)]
        )
        assert_allclose(mean, value, rtol=RTOL)
    Q = case.rule.noise_matrix @ case.S @ case.rule.noise_matrix.T
    summed = sum(
        formula("doubling", "covariance_sum_summand")(A=case.A, Q=Q, T=T, j=j) for j in range(T)
    )
    assert_allclose(sum(covariances), summed, rtol=RTOL, atol=1e-12)


@ties("nqm.limit_loss", "stationary-loss")
@ties("nqm.spectra.lyapunov.stein_solution", "lyapunov")
def test_limits(case: Case) -> None:
    T, n = 9, np.eye(H_AXIS)
    X = stein_solution(case.A, case.H)
    assert X is not None
    assert_allclose(formula("lyapunov", "residual")(A=case.A, X=X), case.H, atol=1e-10)
    Q = (n - case.A) @ case.S @ (n - case.A).T
    first = case.A @ case.Pi0 @ case.A.T + Q
    last = first
    for _ in range(T):
        last = case.A @ last @ case.A.T + Q
    place = {"H": case.H, "Q": Q, "S": case.S, "X": X}
    losses = nqm.expected_loss(case.model, case.rule, [1, T, 1000]).value
    closed = formula("lemma-5", "meta_loss")(**place, C=last, Pi=first, T=T)
    assert_allclose(closed, losses[1], rtol=RTOL)
    assert np.all(losses <= formula("eq-a3", "bound")(**place, Pi=first) * (1 + RTOL))
    limit = nqm.limit_loss(case.model, case.rule).value
    assert_allclose(formula("lemma-5", "limit")(**place), limit, rtol=1e-8)
    symmetric = nqm.limit_loss(case.model, nqm.plain_rule(case.H, case.P, case.alpha)).value
    M = case.alpha * n + case.P
    assert_allclose(
        formula("stationary-loss", "limit")(H=case.H, M=M, S=case.S), symmetric, rtol=1e-8
    )


@ties("nqm.spectral_loss", "modal-loss", "footnote-3")
def test_modes(case: Case) -> None:
    T = 7
    modes = nqm.loss_spectrum(case.model, case.alpha, case.P)
    meta_loss = formula("modal-loss", "meta_loss")
    parts = [
        meta_loss(lamda=l, s=s, z2=z, T=T)
        for l, s, z in zip(modes.eigenvalues, modes.noise, modes.signal, strict=True)
    ]
    found = nqm.spectral_loss(case.model, case.alpha, case.P, horizon=T).value
    assert_allclose(sum(parts), found, rtol=1e-8)
    edge = nqm.NoisyQuadratic([[2.0]], [[0.5]], [3.0])
    value = nqm.spectral_loss(edge, 1.0, horizon=T).value
    assert_allclose(
        formula("footnote-3", "meta_loss")(h=2.0, pi_0=9.0, s=0.5, T=T), value, rtol=RTOL
    )
    assert_allclose(formula("modal-loss", "at_minus_one")(s=1.0, z2=18.0, T=T), value, rtol=RTOL)


@ties("nqm.NoisyQuadratic.with_gradient_noise", "footnote-1")
def test_noise_conventions(case: Case) -> None:
    model = nqm.NoisyQuadratic.with_gradient_noise(case.H, case.S)
    found = formula("footnote-1", "noise_covariance")(H=case.H, S_g=case.S)
    assert_allclose(model.noise_covariance, found, rtol=1e-7)
    frozen = nqm.plain_rule(case.H, None, 0.0)
    start = 0.5 * np.trace(case.H @ case.Pi0)
    extra = float(nqm.expected_loss(case.model, frozen, 3).value) - start
    assert_allclose(formula("footnote-1", "extra")(H=case.H, S=case.S), extra, rtol=1e-8)


@ties("nqm.expected_meta_gradient", "expected-gradient")
def test_expected_gradient(case: Case) -> None:
    T, adjoint, total = 4, case.H, np.zeros((H_AXIS, H_AXIS))
    Q = case.rule.noise_matrix @ case.S @ case.rule.noise_matrix.T
    states = [case.Pi0]
    for _ in range(T - 1):
        states.append(case.A @ states[-1] @ case.A.T + Q)
    for state in reversed(states):
        total += formula("expected-gradient", "summand")(
            A=case.A, H=case.H, Pi=state, S=case.S, Y=adjoint
        )
        adjoint = formula("expected-gradient", "adjoint")(A=case.A, H=case.H, Y=adjoint)
    found = nqm.expected_meta_gradient(case.model, case.alpha, case.skewed, horizon=T)
    assert_allclose(total / T, found.preconditioner, rtol=1e-8, atol=1e-10)
    assert_allclose(np.trace(total) / T, found.nominal_step, rtol=1e-8)


@ties("nqm.meta_gradient_variance", "gradient-variance")
@pytest.mark.parametrize("entry", [(0, 1), (1, 0), None])
def test_gradient_variance(entry: tuple[int, int] | None) -> None:
    case, T, n = Case(4, 2), 5, 2
    E = np.eye(n)
    if entry:
        E = np.zeros((n, n))
        E[entry] = 1
    zero = np.zeros((n, n))
    F = np.block([[case.A, zero], [-E @ case.H, case.A]])
    B, read = np.vstack([case.M @ case.H, E @ case.H]), np.vstack([zero, case.H])
    cost = np.block([[zero, case.H], [case.H, zero]]) / 2
    states = [np.block([[case.Pi0, zero], [zero, zero]])]
    for _ in range(T):
        states.append(F @ states[-1] @ F.T + B @ case.S @ B.T)
    forms = find("gradient-variance").numeric(size=n)
    value, total = np.zeros((4, 4)), 0.0
    for t in range(T, -1, -1):
        L = forms["gain"](B=B, C_x=read * (t > 0), F=F, K_t=value)
        W = forms["curvature"](B=B, K_t=value)
        total += forms["step_variance"](L_t=L, Px=states[t], S=case.S, W_t=W)
        value = cost * (t > 0) + F.T @ value @ F
    total += forms["initial_variance"](S0=case.S0, k_0=value[:n, :n], m=case.m[:, None])
    found = nqm.meta_gradient_variance(case.model, case.alpha, case.skewed, horizon=T)
    expected = found.preconditioner[entry] if entry else found.nominal_step
    assert_allclose(total / T**2, expected, rtol=1e-8)


def test_every_statement_is_tied_or_says_why_not() -> None:
    importlib.import_module("tests.cross.test_theory_nqm_stability")  # it ties the others
    excused = {name for names in PROOF_ONLY.values() for name in names}
    assert not excused & set(TIED)
    assert set(TIED) | excused == set(BY_NAME)


def test_the_functions_exist() -> None:
    importlib.import_module("tests.cross.test_theory_nqm_stability")
    for function in set(TIED.values()):
        found: Any = nqm
        for part in function.split(".")[1:]:
            found = getattr(found, part)
        assert callable(found)
