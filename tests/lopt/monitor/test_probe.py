"""The probe end to end: verdicts where the answer is known, compilation, failure as data."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lopt.monitor import (
    EigenEstimate,
    Enclosure,
    InspectSettings,
    Probe,
    ProbeSettings,
    VerdictRule,
    judge,
)

CURVATURES = jnp.array([0.1, 0.5, 1.0, 2.5, 4.0])
TRACES: list[int] = []


def bowl(params, curvatures):
    """Sum of c p^2 / 2; counts how often it is traced."""
    TRACES.append(1)
    return jnp.sum(curvatures * params**2) / 2


@pytest.fixture(scope="module")
def descent() -> Probe:
    """Plain gradient descent with theta = (step, sign) on a quadratic."""
    return Probe(
        lambda theta: optax.sgd(theta["step"] * theta["sign"]),
        bowl,
        jnp.ones(5),
        batches=CURVATURES[None],
        batch=CURVATURES,
        steps=(1, 4),
    )


def theta(step: float, sign: float = 1.0) -> dict[str, jax.Array]:
    return {"step": jnp.asarray(step), "sign": jnp.asarray(sign)}


def test_a_second_measurement_does_not_compile(descent) -> None:
    descent.measure(theta(0.1))
    before = len(TRACES)
    first, second = descent.measure(theta(0.2)), descent.measure(theta(0.2))
    assert len(TRACES) == before
    assert first.to_json() == second.to_json()


@given(distance=st.floats(0.002, 0.3), above=st.booleans())
@settings(max_examples=30)
def test_the_verdict_flips_at_two_over_the_sharpness(descent, distance, above) -> None:
    """rho = |1 - lr lambda_max| = 1 +- distance, beyond the band of 1e-3."""
    lr = (2 + distance if above else 2 - distance) / 4.0
    report = descent.measure(theta(lr))
    assert report.verdict == ("unstable" if above else "stable")
    for point in report.points:
        judgement = point.judgement
        assert judgement.direction == ("oscillation" if above else "")
        assert abs(judgement.oscillatory_radius - (4.0 * lr - 1)) <= judgement.error < 1e-3
        assert abs(point.sharpness - 4.0) < 1e-4
        assert abs(point.preconditioned_sharpness - 4.0 * lr) < 1e-4


def test_inside_the_band_it_is_marginal(descent) -> None:
    report = descent.measure(theta(0.5))
    assert (report.verdict, report.direction) == ("marginal", "oscillation")


@given(lr=st.floats(0.002, 0.1))
@settings(max_examples=10)
def test_climbing_a_bowl_is_ascent(descent, lr) -> None:
    """Gradient *ascent*: real eigenvalues 1 + lr c, no oscillation, and yet the loss grows."""
    report = descent.measure(theta(lr, -1.0))
    assert (report.verdict, report.direction) == ("unstable", "ascent")
    assert abs(report.worst.judgement.ascent_radius - (1 + 4.0 * lr)) < 1e-4


def test_leaving_a_saddle_is_no_instability() -> None:
    """Same eigenvalue 1.3 as an ascent has, but the loss curves downwards along its direction."""
    saddle = jnp.array([1.0, 2.0, -3.0])
    probe = Probe(optax.sgd, bowl, jnp.ones(3), saddle[None], saddle, steps=(0,), loss_ceiling=9.0)
    judgement = probe.measure(0.1).points[0].judgement
    assert judgement.verdict == "stable"
    assert abs(judgement.growth - 1.3) < 1e-5
    assert np.isnan(judgement.ascent_radius)


def test_divergence_is_a_verdict(descent) -> None:
    overflow = descent.measure(theta(1e30))
    assert overflow.verdict == "diverged"
    assert overflow.finite_steps < 4
    assert overflow.text().startswith("diverged")
    high = descent.measure(theta(2.0))  # 1 - 2 * 4 = -7, four times: finite, and far above
    assert high.verdict == "diverged"
    assert high.finite_steps == 4


def test_the_json_is_plain_and_complete(descent) -> None:
    for report in (descent.measure(theta(0.3)), descent.measure(theta(1e30))):
        again = json.loads(json.dumps(report.to_json(), allow_nan=False))
        assert again["verdict"] == report.verdict
        assert [p["inner_step"] for p in again["points"]] == [1, 4]
        for point in again["points"]:
            assert {"radius", "oscillatory_radius", "ascent_radius", "growth"} <= point.keys()
            for name in ("joint", "frozen", "hessian"):
                columns = point[name]
                lengths = {len(columns[c]) for c in ("values", "residuals", "errors", "converged")}
                assert len(lengths) == 1
    assert all(np.iscomplexobj(v) for v in descent.measure(theta(0.3)).eigenvalues())


def network(params, batch):
    inputs, labels = batch
    hidden = jax.nn.relu(inputs @ params["w1"])
    logits = hidden @ params["w2"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


@pytest.fixture(scope="module")
def classifier() -> Probe:
    """Adam on a ReLU network with a black pixel: no gradient, no second moment, ever."""
    rng = np.random.default_rng(0)
    inputs = np.maximum(rng.standard_normal((20, 32, 12)), 0).astype(np.float32)
    inputs[..., 0] = 0.0
    labels = np.argmax(inputs @ rng.standard_normal((12, 4)), axis=-1)
    params = {
        "w1": rng.standard_normal((12, 10)).astype(np.float32) / 3,
        "w2": rng.standard_normal((10, 4)).astype(np.float32) / 3,
    }
    batch = (inputs.reshape(-1, 12), labels.reshape(-1))
    budget = ProbeSettings(vectors=30, hessian_vectors=12, dense_up_to=0)
    return Probe(optax.adam, network, params, (inputs, labels), batch, (10, 100), budget)


def test_healthy_training_of_a_network_is_stable(classifier) -> None:
    report = classifier.measure(3e-3)
    assert report.verdict == "stable"
    assert report.points[1].loss < 0.8 * report.points[0].loss
    assert all(p.held == 0 for p in report.points)
    assert all(p.joint.converged.sum() >= 5 for p in report.points)
    # Adam's momentum of 0.9: complex pairs at modulus near sqrt(0.9), inside.
    assert all(p.judgement.radius < 1.5 for p in report.points)
    assert report.points[1].inner_step == 100


def test_too_few_vectors_leave_it_unresolved() -> None:
    """Five distinct eigenvalues cannot converge in a space of two vectors, and it says so."""
    budget = ProbeSettings(vectors=2, hessian_vectors=2, tolerance=1e-3, dense_up_to=0)
    probe = Probe(optax.sgd, bowl, jnp.ones(5), CURVATURES[None], CURVATURES, (0,), budget)
    report = probe.measure(0.1)
    assert report.verdict == "unresolved"
    assert not report.points[0].joint.converged.any()
    assert np.isnan(report.points[0].sharpness)


BAD_PROBES = [
    ({"steps": ()}, "steps must be increasing inner steps"),
    ({"steps": (5, 5)}, "steps must be increasing inner steps"),
    ({"steps": (-1,)}, "steps must be increasing inner steps"),
    ({"batches": (jnp.ones((2, 3)), jnp.ones((4, 3)))}, "batches must share one leading axis"),
    ({"batches": jnp.asarray(1.0)}, "batches must share one leading axis"),
    ({"batches": ()}, "batches must share one leading axis"),
]


@pytest.mark.parametrize(("change", "message"), BAD_PROBES)
def test_bad_probes_are_refused(change, message) -> None:
    arguments = {"batches": jnp.ones((1, 3)), "batch": jnp.ones(3), "steps": (1,)} | change
    with pytest.raises(ValueError, match=message):
        Probe(optax.sgd, bowl, jnp.ones(3), **arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vectors": 0}, "vectors must be at least 1; it is 0"),
        ({"hessian_vectors": 0}, "hessian_vectors must be at least 1"),
        ({"sweeps": -1}, "sweeps must be at least 0"),
        ({"tolerance": float("nan")}, "tolerance must be positive"),
    ],
)
def test_bad_settings_are_refused(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        ProbeSettings(**change)


def test_settings_keep_the_order_of_their_arguments() -> None:
    assert ProbeSettings(7, 5, 0) == ProbeSettings(vectors=7, hessian_vectors=5, sweeps=0)
    assert InspectSettings(7, 5, 2) == InspectSettings(hessian_vectors=7, vectors=5, sweeps=2)


def estimate(values, errors, converged) -> EigenEstimate:
    values, errors = np.asarray(values, complex), np.asarray(errors, float)
    return EigenEstimate(
        values, errors, errors, np.asarray(converged), np.eye(len(values)), 9, invariant=False
    )


@given(
    modulus=st.floats(0.5, 1.9),
    angle=st.floats(0.3, np.pi),
    error=st.floats(0, 0.2),
    sure=st.booleans(),
)
def test_the_rule_for_an_oscillating_pair(modulus, angle, error, sure) -> None:
    pair = modulus * np.exp([1j * angle, -1j * angle])
    joint = estimate([*pair, 1.0, 1.05], [error, error, 0, 0], [sure, sure, True, True])
    found = judge(joint, joint, np.full(4, -1.0), VerdictRule())
    if sure and modulus - error > 1.001:
        expected = "unstable"
    elif not sure and np.abs(pair[0]) > 1.001:
        expected = "unresolved"
    elif sure and abs(np.abs(pair[0]) - 1) <= max(error, 1e-3):
        expected = "marginal"
    elif sure and modulus > 1:
        return  # between the band and the reach of its error: either neighbour
    else:
        expected = "stable"
    assert found.verdict == expected
    assert found.growth == 1.05
    if sure:
        assert found.oscillatory_radius == pytest.approx(modulus)
    else:
        assert np.isnan(found.oscillatory_radius)


@given(growth=st.floats(1.01, 4.0))
def test_the_rule_for_growth(growth) -> None:
    joint = estimate([growth, 0.5], [0.0, 0.0], [True, True])
    calm = estimate([0.5], [0.0], [True])
    found = judge(joint, calm, np.array([1.0]), VerdictRule())
    assert found.verdict == ("unstable" if growth > 2.0 else "stable")
    assert found.direction == ("growth" if growth > 2.0 else "")


def test_a_judgement_tells_what_decided_and_how_far_out_a_missed_one_may_lie() -> None:
    """Ritz values 0.5 and -0.5, and an enclosure (x - 1/2)(x + 1/2) <= 2: as far as 3/2."""
    joint = estimate([0.5, -0.5], [0.0, 0.0], [True, True])
    joint = replace(joint, enclosure=Enclosure(joint.values, np.log(2.0), real=True))
    calm = judge(joint, joint, np.full(2, -1.0), VerdictRule())
    assert (calm.verdict, calm.radius) == ("stable", 0.5)
    assert calm.bound == pytest.approx(1.5)
    climbing = estimate([1.2, 0.1], [0.01, 0.0], [True, True])
    found = judge(joint, climbing, np.ones(2), VerdictRule())
    assert (found.verdict, found.direction, found.eigenvalue) == ("unstable", "ascent", 1.2)
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert plain["eigenvalue"] == [1.2, 0.0]
    assert plain["bound"] == pytest.approx(1.5)
    lost = judge(joint.unsure(), joint.unsure(), np.ones(2), VerdictRule())
    assert lost.verdict == "unresolved"
    assert lost.to_json()["bound"] is None
