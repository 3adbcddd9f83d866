"""The dense spectra of small problems, and the exact ones of linear optimizers on quadratics."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nqm
from lopt.monitor import Probe, ProbeSettings, QuadraticProbe
from lopt.monitor.krylov.eigenvalues import dense_eigenvalues

H = np.array([[2.0, 1.0], [1.0, 2.0]])
ENTRIES = st.floats(-2, 2, width=32)
PRECONDITIONERS = st.lists(ENTRIES, min_size=4, max_size=4).map(lambda x: np.reshape(x, (2, 2)))


@given(P=PRECONDITIONERS, alpha=st.floats(-1, 1))
def test_the_exact_probe_is_the_update_matrix(P, alpha) -> None:
    report = QuadraticProbe(nqm.NoisyQuadratic(H), alpha).measure(P)
    (point,) = report.points
    A = np.eye(2) - (alpha * np.eye(2) + P) @ H
    exact = np.linalg.eigvals(A)
    assert report.verdict == nqm.check(H, P, alpha).verdict
    assert np.isclose(np.abs(point.joint.values).max(), np.abs(exact).max(), atol=1e-7)
    for value, error, sure in zip(
        point.joint.values, point.joint.errors, point.joint.converged, strict=True
    ):
        if sure:
            assert np.abs(exact - value).min() <= 2 * error + 1e-15
    np.testing.assert_allclose(np.sort(point.hessian.values), [1.0, 3.0], rtol=1e-14)


@pytest.mark.parametrize(
    ("alpha", "verdict", "direction"),
    [(0.5, "stable", ""), (0.75, "unstable", "oscillation"), (-0.25, "unstable", "ascent")],
)
def test_the_exact_probe_says_which_way(alpha, verdict, direction) -> None:
    """Without P the eigenvalues are 1 - alpha and 1 - 3 alpha."""
    report = QuadraticProbe(nqm.NoisyQuadratic(H), alpha).measure(np.zeros((2, 2)))
    assert (report.verdict, report.direction) == (verdict, direction)
    radius = max(abs(1 - alpha), abs(1 - 3 * alpha))
    assert report.points[0].judgement.radius == pytest.approx(radius, rel=1e-14)
    assert f"{radius:.3f}" in report.text()


def test_the_edge_itself_is_marginal() -> None:
    report = QuadraticProbe(nqm.NoisyQuadratic(H), 0.0).measure(np.zeros((2, 2)))
    assert (report.verdict, report.direction) == ("marginal", "")


def test_lost_meta_parameters_are_a_result() -> None:
    report = QuadraticProbe(nqm.NoisyQuadratic(H), 0.1).measure(np.full((2, 2), np.nan))
    assert report.verdict == "diverged"
    assert not report.points[0].joint.converged.any()


@given(seed=st.integers(0, 10**6))
@settings(max_examples=50)
def test_dense_errors_cover_an_uncertain_matrix(seed) -> None:
    """First-order errors, so perturbations small against them: of norm unit |A| each."""
    rng = np.random.default_rng(seed)
    A, E = rng.standard_normal((2, 5, 5))
    unit = 1e-12
    found = dense_eigenvalues(A, unit)
    moved = np.linalg.eigvals(A + unit * np.linalg.norm(A, 2) * E / np.linalg.norm(E, 2))
    for value, error in zip(found.values, found.errors, strict=True):
        assert np.abs(moved - value).min() <= error


def test_a_defective_eigenvalue_has_not_converged() -> None:
    found = dense_eigenvalues(np.array([[1.0, 1.0], [0.0, 1.0]]), 1e-16)
    assert not found.converged.any()


def wave(params, batch):
    """Not convex, with a gradient that depends on every entry."""
    return jnp.sum(jnp.cos(batch @ params)) + 0.1 * jnp.sum(params**2)


@functools.cache
def both() -> tuple[Probe, Probe]:
    """The same probe of heavy ball on six parameters, dense and by Krylov spaces."""
    rng = np.random.default_rng(3)
    batch = jnp.asarray(rng.standard_normal((8, 6)), jnp.float32)
    start = jnp.asarray(rng.standard_normal(6), jnp.float32)
    make = functools.partial(optax.sgd, momentum=0.8)
    dense, krylov = (
        Probe(make, wave, start, batch[None], batch, (3, 9), ProbeSettings(dense_up_to=most))
        for most in (300, 0)
    )
    return dense, krylov


@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_dense_and_krylov_agree(rate) -> None:
    for exact, found in zip(*(p.measure(jnp.float32(rate)).points for p in both()), strict=True):
        assert exact.judgement.verdict == found.judgement.verdict
        assert exact.judgement.direction == found.judgement.direction
        for name in ("joint", "frozen", "hessian"):
            ours, other = getattr(exact, name), getattr(found, name)
            assert ours.invariant
            for value, error, sure in zip(other.values, other.errors, other.converged, strict=True):
                if sure:
                    nearest = np.abs(ours.values - value).argmin()
                    assert abs(ours.values[nearest] - value) <= error + ours.errors[nearest]
        assert exact.sharpness == pytest.approx(found.sharpness, rel=1e-4)


def test_the_dense_joint_map_of_heavy_ball() -> None:
    """On a bowl of curvature c phi' = phi - a v', v' = b v + c phi: trace 1 + b - a c, det b."""
    a, b, c = 0.5, 0.8, 1.5
    probe = Probe(
        functools.partial(optax.sgd, momentum=b),
        lambda p, curvature: jnp.sum(curvature * p**2) / 2,
        jnp.ones(1),
        jnp.full((1,), c),
        jnp.float32(c),
        (2,),
    )
    (point,) = probe.measure(jnp.float32(a)).points
    np.testing.assert_allclose(np.sum(point.joint.values), 1 + b - a * c, atol=1e-6)
    np.testing.assert_allclose(np.prod(point.joint.values), b, atol=1e-6)
    np.testing.assert_allclose(point.frozen.values, 1 - a * c, atol=1e-6)
    assert point.curvatures == pytest.approx([c])
    assert jax.tree.leaves(point.hessian.values)[0] == pytest.approx(c)
