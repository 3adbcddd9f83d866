"""Each proved formula on stability against the nqm function that implements it."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nqm
from nqm.conditions.intervals import Interval, best_step
from nqm.problem import pose
from nqm.robust.certificates import small_gain
from nqm.robust.family import disturbed_family, jury
from tests.cross.theory_cases import H_AXIS, RTOL, Case, formula, largest, smallest, ties
from theory.catalogue import find


@pytest.fixture(params=range(3))
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


@ties("nqm.theorem1", "theorem-1", "eq-9", "eq-10")
@ties("nqm.lemma2", "lemma-2", "eq-13")
@ties("nqm.lemma3", "lemma-3", "eq-16", "eq-17")
def test_the_papers_bounds(case: Case) -> None:
    place = {"alpha": case.alpha, "h": case.h}
    dbar = case.rng.uniform(0.5, 2, H_AXIS)
    robust = nqm.lemma3(case.H, np.diag(np.diag(case.P)), case.alpha, dbar)
    conditions = (
        (nqm.theorem1(case.H, case.P, case.alpha), ("theorem-1", "eq-9", "eq-10"), {}),
        (nqm.lemma2(case.H, case.P, case.alpha), ("lemma-2", "eq-13"), {}),
        (robust, ("lemma-3", "eq-16", "eq-17"), {"dbar": dbar.max()}),
    )
    for condition, names, more in conditions:
        assert condition.applies
        for name in names:
            for key in {"lower", "upper"} & set(find(name).formulas):
                needed = {k: v for k, v in (place | more).items() if key == "upper" or k != "h"}
                assert_allclose(getattr(condition, key), formula(name, key)(**needed), rtol=RTOL)


@ties("nqm.symmetric_eigenvalues", "symmetric-exact", "eq-a15", "eq-a16", "eq-a14")
@ties("nqm.nominal_step_interval", "symmetric-interval", "preconditioned-exact")
@ties("nqm.conditions.intervals.best_step", "best-step")
def test_symmetric(case: Case) -> None:
    values = nqm.symmetric_eigenvalues(case.H, case.P, case.alpha)
    rho = np.abs(values).max()
    margins = formula("eq-a15", "margin")(lamda=1 - values)
    assert_allclose(1 - margins.min(), rho**2, rtol=RTOL)
    top = largest(case.alpha * np.eye(H_AXIS) + case.P)
    assert 1 - values.min() <= formula("eq-a16", "bound")(m=top, h=case.h) * (1 + RTOL)
    power = np.linalg.matrix_power(nqm.update_matrix(case.H, case.P, case.alpha), 5)
    bound = formula("eq-a14", "bound")(h_max=case.h, h_min=smallest(case.H), r=rho**10)
    assert np.linalg.norm(power, 2) ** 2 <= bound * (1 + RTOL)
    low, high = nqm.nominal_step_interval(case.H, case.P)
    for alpha, inside in (
        (low + 1e-6, True),
        (low - 1e-6, False),
        (high - 1e-6, True),
        (high + 1e-6, False),
    ):
        below = formula("symmetric-exact", "room_below")(P=case.P, alpha=alpha)
        above = formula("symmetric-exact", "room_above")(H=case.H, P=case.P, alpha=alpha)
        assert (min(smallest(below), smallest(above)) >= 0) == inside
        assert (np.abs(nqm.symmetric_eigenvalues(case.H, case.P, alpha)).max() <= 1) == inside
    pencil = formula("symmetric-interval", "pencil")(H=case.H, K=case.root, P=case.P, lamda=high)
    inverted = formula("symmetric-interval", "inverted")(H=case.H, P=case.P, lamda=high)
    assert_allclose([smallest(pencil), smallest(inverted)], 0, atol=1e-8)
    root = nqm.nominal_step_interval(case.root, case.P).upper
    room = formula("preconditioned-exact", "room_above")(K=case.root, P=case.P, alpha=root)
    assert_allclose(smallest(room), 0, atol=1e-8)
    answer = best_step(pose(case.H, None, case.alpha), Interval(0.0, 2 / case.h))
    ends = {"h_max": case.h, "h_min": smallest(case.H)}
    assert_allclose(
        answer, [formula("best-step", k)(**ends) for k in ("step", "radius")], rtol=1e-8
    )


@ties("nqm.descent", "monotone-loss")
@ties("nqm.theorem1_prime", "theorem-1-prime", "theorem-1-prime-necessary")
@ties("nqm.eigenvector_condition", "eigenvector-condition")
@pytest.mark.parametrize("scale", [0.5, 1, 2, 4, 8])
def test_general_preconditioners(case: Case, scale: float) -> None:
    P, n = scale * case.skewed, np.eye(H_AXIS)
    M, place = case.alpha * n + P, {"alpha": case.alpha, "h": case.h}
    room = formula("monotone-loss", "room")(H=case.H, M=M)
    assert nqm.descent(case.H, P, case.alpha).holds == (smallest(room) >= 0)
    center, radius = (
        formula("theorem-1-prime", "center")(**place),
        formula("theorem-1-prime", "radius")(h=case.h),
    )
    found = nqm.theorem1_prime(case.H, P, case.alpha)
    assert_allclose(
        [found.upper, found.largest], [radius, np.linalg.norm(P - center * n, 2)], rtol=RTOL
    )
    kappa = np.linalg.cond(np.linalg.eig(P)[1])
    condition = nqm.eigenvector_condition(case.H, P, case.alpha)
    assert_allclose(
        condition.upper,
        formula("eigenvector-condition", "radius")(h=case.h, kappa=kappa),
        rtol=1e-8,
    )
    gain = np.array([[1.0, -2.0], [0.0, 1.0]])
    assert not nqm.theorem1_prime(np.eye(2), gain, 0.0).holds
    hessian = case.H[:2, :2] / largest(case.H[:2, :2])
    assert nqm.spectral_radius(nqm.update_matrix(hessian, gain, 0.0)) <= 1 + RTOL


@ties(
    "nqm.numerical_radius",
    "all-hessians-hermitian",
    "all-hessians-strict",
    "robust-all-hessians",
    "numerical-radius",
)
@ties(
    "nqm.every_hessian_stability",
    "all-hessians-space",
    "all-hessians-bound",
    "all-hessians-real",
    "all-hessians-plane",
)
def test_every_hessian(case: Case) -> None:
    offset = case.skewed[:3, :3] / nqm.numerical_radius(case.skewed[:3, :3])[1]
    gain = (np.eye(3) - offset) / case.h  # w(h M - I) = 1
    scaled = case.H[:3, :3] * (case.h / largest(case.H[:3, :3]))
    assert nqm.spectral_radius(np.eye(3) - gain @ scaled) <= 1 + RTOL
    powers = [np.linalg.norm(np.linalg.matrix_power(offset, t), 2) for t in range(1, 30)]
    assert max(powers) <= formula("numerical-radius", "power_bound")() * (1 + RTOL)
    form = formula("robust-all-hessians", "offset", 3)
    points = [form(D=np.diag(d), Ptilde=gain, alpha=0.1, h=case.h) for d in np.eye(3)]
    mixed = form(D=np.eye(3) / 3, Ptilde=gain, alpha=0.1, h=case.h)
    assert nqm.numerical_radius(mixed)[0] <= max(nqm.numerical_radius(x)[1] for x in points)
    entries = {f"z{i + 1}{j + 1}": offset[i, j] for i in range(3) for j in range(3)}
    cofactors = formula("all-hessians-space", "cofactors")(**entries)
    compound = nqm.conditions.intervals.second_compound(offset)
    assert_allclose(largest(np.asarray(cofactors)), largest(compound), rtol=1e-8, atol=1e-12)
    gauge = nqm.every_hessian_stability(np.eye(3) - offset, 1.0).upper
    ends = np.linalg.eigvalsh((offset + offset.T) / 2)
    squares = max(largest(np.asarray(cofactors)), *(ends**2))
    assert_allclose(gauge**2, squares, rtol=1e-8)
    plane = case.skewed[:2, :2]
    entries = {f"m{i + 1}{j + 1}": plane[i, j] for i in range(2) for j in range(2)}
    determinant = float(nqm.conditions.intervals.second_compound(plane)[0, 0])
    for name, key in (("all-hessians-plane", "room"), ("all-hessians-real", "plane_room")):
        assert_allclose(
            formula(name, key)(**entries, h=case.h), np.trace(plane) - case.h * determinant
        )
    pluecker = np.asarray(formula("all-hessians-bound", "pluecker")())
    frame = case.rng.normal(size=(4, 4))
    bivector = nqm.second_compound(frame)[:, 0]  # of the first two columns
    assert_allclose(bivector @ pluecker @ bivector, 0, atol=1e-12)
    distance = formula("all-hessians-strict", "distance")
    assert_allclose(
        distance(u=1.0, v=1.4), nqm.numerical_radius([[-1.0, 1.4], [-1.4, 1.0]])[0], rtol=1e-3
    )


@ties("nqm.robust.certificates.small_gain", "small-gain")
@ties("nqm.robust.family.jury", "vertices-2")
@ties("nqm.robust.family.disturbed_family", "d-scaling")
def test_disturbances(case: Case) -> None:
    dbar = case.rng.uniform(0.5, 2, H_AXIS)
    radius = formula("small-gain", "radius")(alpha=case.alpha, dbar=1.0, h=case.h)
    scale = radius / np.linalg.norm(dbar[:, None] * case.skewed, 2)
    for factor, expected in ((0.999, True), (1.001, False)):
        family = disturbed_family(case.H, factor * scale * case.skewed, case.alpha, dbar)
        assert small_gain(family) == expected
    small = case.A[:2, :2]
    place = {"trace": np.trace(small), "determinant": np.linalg.det(small)}
    forms = find("vertices-2").numeric()
    needed = {"product": ("determinant",)}
    found = [
        forms[key](**{k: place[k] for k in needed.get(key, ("trace", "determinant"))})
        for key in ("product", "at_minus_one", "at_one")
    ]
    assert_allclose([float(x) for x in jury(small.tolist())], found, rtol=1e-9)
    family = disturbed_family(case.H, case.skewed, case.alpha, dbar)
    delta = case.rng.uniform(-1, 1, H_AXIS)
    parts = {"D": np.diag(dbar), "H": case.H, "Ptilde": case.skewed, "alpha": case.alpha}
    forms = find("d-scaling").numeric(size=H_AXIS)
    values = [
        forms["center"](**parts),
        forms["input"](D=parts["D"]),
        forms["output"](H=case.H, Ptilde=case.skewed),
    ]
    modelled = values[0] + values[1] @ np.diag(delta) @ values[2]
    disturbed = family.base - family.left @ np.diag(dbar * (1 + delta) / 2) @ family.right
    assert_allclose(np.poly(modelled), np.poly(disturbed), rtol=1e-7, atol=1e-10)


@ties("nqm.robust_stability", "diagonal-exact", "vertices-3", "congruence")
def test_robust_answers(case: Case) -> None:
    p, dbar = case.rng.uniform(-2, 2, H_AXIS) / case.h, np.ones(H_AXIS)
    forms = find("diagonal-exact").numeric()
    least, most = (
        np.array([forms[k](alpha=case.alpha, dbar_i=1.0, p=x) for x in p])
        for k in ("least", "largest")
    )
    stable = least.min() >= 0 and smallest(2 * np.linalg.inv(case.H) - np.diag(most)) >= 0
    report = nqm.robust_stability(case.H, np.diag(p), case.alpha, dbar)
    assert report.status == ("certified" if stable else "refuted")
    witness = find("vertices-3").witness
    P = np.array(witness["P~"].tolist(), dtype=float)
    assert nqm.robust_stability(np.eye(3), P, 1 / 20, np.ones(3)).status == "refuted"
    bounds = find("congruence").numeric()
    low, high = (
        bounds["lower"](alpha=case.alpha, dbar=1.0),
        bounds["upper"](alpha=case.alpha, dbar=1.0, h=case.h),
    )
    basis = np.linalg.eigh(case.P)[1]
    inner = basis @ np.diag(case.rng.uniform(low, high, H_AXIS)) @ basis.T
    root = np.diag(np.sqrt(case.rng.uniform(0, 1, H_AXIS)))
    assert (
        np.abs(nqm.symmetric_eigenvalues(case.H, root @ inner @ root, case.alpha)).max() <= 1 + RTOL
    )


@ties("nqm.momentum_condition", "momentum")
@ties("nqm.heavy_ball_limit", "heavy-ball")
@ties("nqm.exponential_average_limit", "ema-momentum")
@ties("nqm.nesterov_limit", "nesterov")
@ties("nqm.aggmo_limit", "aggmo")
@ties("nqm.heavy_ball_ellipse", "heavy-ball-complex")
@ties("nqm.nominal_momentum_rule", "heavy-ball-nominal")
@ties("nqm.frozen_adam_rule", "adam-frozen")
@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
def test_momentum(case: Case, beta: float) -> None:
    for function, name in (
        (nqm.heavy_ball_limit, "heavy-ball"),
        (nqm.exponential_average_limit, "ema-momentum"),
        (nqm.nesterov_limit, "nesterov"),
    ):
        assert_allclose(function(beta), formula(name, "bound")(beta=beta), rtol=RTOL)
    triple = (beta, 0.3, 0.99)
    bound = formula("aggmo", "bound")(**{f"beta{i + 1}": b for i, b in enumerate(triple)})
    assert_allclose(nqm.aggmo_limit(triple), bound, rtol=RTOL)
    x = complex(*case.rng.uniform(0, 2, 2))
    ellipse = formula("heavy-ball-complex", "ellipse")(u=x.real, v=x.imag, beta=beta)
    assert_allclose(nqm.heavy_ball_ellipse(x, beta), ellipse, rtol=RTOL)
    weight = formula("momentum", "weight")
    gains = [case.S, case.S0]
    total = weight(beta=beta) * gains[0] + weight(beta=0.3) * gains[1]
    condition = nqm.momentum_condition(case.H, gains, [beta, 0.3])
    assert_allclose(condition.largest, largest(case.root @ total @ case.root), rtol=1e-8)
    room = formula("heavy-ball-nominal", "room")(H=case.H, P=case.S, alpha=0.0, beta=beta)
    edge = (1 + beta) * np.linalg.eigvalsh(room)[0]  # the alpha at which the room vanishes
    if edge > 0:
        rule = nqm.nominal_momentum_rule(case.H, case.S, edge, beta)
        assert_allclose(nqm.spectral_radius(rule.joint_matrix), 1, rtol=1e-6)
    limit = formula("adam-frozen", "bound")(beta=beta, w=0.1) / largest(
        case.root @ case.S @ case.root
    )
    rule = nqm.frozen_adam_rule(case.H, case.S, limit, beta, 0.1 / limit)
    assert_allclose(nqm.spectral_radius(rule.joint_matrix), 1, rtol=1e-6)


@ties("nqm.delay_limit", "delay")
@ties("nqm.averaged_rule", "averaging")
@ties("nqm.second_moment_step", "mean-square")
@ties("nqm.transient_growth", "transient")
def test_beyond_one_matrix(case: Case) -> None:
    for tau in range(6):
        assert_allclose(nqm.delay_limit(tau), formula("delay", "bound")(tau=tau), rtol=RTOL)
    joint = nqm.averaged_rule(case.rule, 0.7).joint_matrix
    z = 0.3 + 0.4j
    factor = formula("averaging", "factor")(gamma=0.7, z=z) ** H_AXIS
    found = np.linalg.det(z * np.eye(2 * H_AXIS) - joint)
    assert_allclose(found, np.linalg.det(z * np.eye(H_AXIS) - case.A) * factor, rtol=1e-8)
    step, n = 0.1, np.eye(H_AXIS)
    second = formula("mean-square", "second_moment")(B=5.0, H=case.H, X=case.S)
    plain = case.S - step * (case.H @ case.S + case.S @ case.H)
    assert_allclose(
        nqm.second_moment_step(case.H, step * n, 5.0, case.S), plain + step**2 * second, atol=1e-12
    )
    modes = np.linalg.eigvalsh(case.H)
    limit = nqm.minibatch_step_limit(case.H, 5.0)
    total = sum(formula("mean-square", "summand")(B=5.0, alpha=limit, h_i=mode) for mode in modes)
    assert_allclose(total, 1, rtol=1e-8)
    growth = nqm.transient_growth(np.array([[0.5, -1000.0], [0.0, 0.5]]))
    corner = formula("transient", "corner")(c=1000.0, lamda=0.5, t=growth.peak_step)
    assert_allclose(growth.peak, corner, rtol=1e-3)


@ties(
    "nqm.normalized_limit",
    *("normalized-limit", "normalized-dimension-one", "normalized-schedule"),
)
@pytest.mark.parametrize("eta", [1e-4, 0.3])
def test_normalized_steps(case: Case, eta: float) -> None:
    found = nqm.normalized_limit(case.model, eta)
    h, vectors = np.linalg.eigh(case.H)
    place = {"alpha": found.step, "h_i": h, "s_i": np.diag(vectors.T @ case.S @ vectors)}
    power = formula("normalized-limit", "power")(**place)
    assert_allclose(found.step**2 * power.sum(), eta**2 * H_AXIS, rtol=1e-8)
    variance = formula("normalized-limit", "variance")(**place)
    assert_allclose(found.excess, (h * variance).sum() / 2, rtol=1e-8)
    still = nqm.normalized_limit(nqm.NoisyQuadratic(case.H), eta).excess
    edge = formula("normalized-limit", "edge_loss")(n=H_AXIS, eta=eta, h=case.h)
    assert_allclose(still, edge, rtol=1e-8)
    ends = {"h": case.h, "c": smallest(case.H)}
    level = formula("normalized-schedule", "level")(n=H_AXIS, eta=eta, **ends)
    assert still <= level * (1 + 1e-8)
    # In one dimension the modulus of the gradient varies most: 4/3 without noise, sqrt(pi/2) in it.
    one, place = nqm.NoisyQuadratic([[case.h]]), {"eta": eta, "h": case.h}
    cycle = formula("normalized-dimension-one", "cycle_loss")(**place)
    assert_allclose(cycle, 4 / 3 * nqm.normalized_limit(one, eta).excess, rtol=1e-8)
    drift = formula("normalized-dimension-one", "drift")(x=1.0, sigma=np.sqrt(0.5))
    assert_allclose(drift, math.erf(1.0), rtol=RTOL)
    noisy = one.with_noise([[100.0]])
    excess = formula("normalized-dimension-one", "excess")(sigma=10.0, **place)
    limit = nqm.normalized_limit(noisy, eta).excess
    assert_allclose(excess / limit, np.sqrt(np.pi / 2), rtol=eta)
