"""Krylov factorizations against their defining identities and dense eigenvalues."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lopt.monitor import arnoldi, ritz_values

N = 40
KINDS = ("gauss", "outliers", "triangular", "rotations", "symmetric", "few_values", "low_rank")


def matrix(seed: int, kind: str) -> np.ndarray:
    """Random matrices from normal to far from it, with real, complex and multiple eigenvalues."""
    rng = np.random.default_rng(seed)
    g = rng.standard_normal((N, N)) / np.sqrt(N)
    if kind == "gauss":
        return g
    if kind == "outliers":  # a multiple eigenvalue blurred, and three outside: an update map
        return 0.9 * np.eye(N) + 0.05 * g + (g[:, :3] * [-2.0, 1.0, 0.5]) @ g[:3]
    if kind == "triangular":
        return np.diag(rng.uniform(-1, 1, N)) + 0.3 * np.triu(g, 1) * np.sqrt(N)
    if kind == "rotations":
        q = np.linalg.qr(g)[0]
        return q * rng.uniform(0.5, 1.5)
    if kind == "symmetric":
        return (g + g.T) / 2
    if kind == "few_values":
        q = np.linalg.qr(g)[0]
        return q @ np.diag(np.repeat([1.0, 0.9, -0.5, 2.0], N // 4)) @ q.T
    return g[:, :2] @ g[:2]


@functools.partial(jax.jit, static_argnums=2)
def factor(a, start, vectors):
    return arnoldi(lambda v: a @ v, start, vectors)


def factors(a: np.ndarray, seed: int, vectors: int, dtype: type):
    start = np.random.default_rng(seed + 1).standard_normal(len(a))
    a, start = jnp.asarray(a, dtype), jnp.asarray(start, dtype)
    return factor(a, start, vectors), factor(a.T, start, vectors)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(KINDS), vectors=st.sampled_from([12, N]))
@settings(max_examples=30)
def test_the_arnoldi_identity_and_orthonormality(dtype, seed, kind, vectors) -> None:
    with jax.enable_x64(dtype == np.float64):
        a = matrix(seed, kind).astype(dtype).astype(np.float64)
        f, _ = factors(a, seed, vectors, dtype)
        q, h = np.asarray(f.basis, np.float64), np.asarray(f.projection, np.float64)
        size = int(f.size)
        last = np.zeros((N, vectors))
        last[:, -1] = float(f.coupling) * np.asarray(f.following, np.float64)
        unit = np.finfo(dtype).eps
        assert np.abs(a @ q.T - q.T @ h - last).max() <= 50 * unit * np.linalg.norm(a, 2)
        assert np.abs(q[:size] @ q[:size].T - np.eye(size)).max() <= 20 * unit
        assert not q[size:].any()
        assert np.abs(np.tril(h, -2)).max() == 0
        assert f.coupling >= 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(KINDS), vectors=st.sampled_from([12, N]))
@settings(max_examples=30)
def test_residuals_are_backward_errors_and_converged_values_are_right(
    dtype, seed, kind, vectors
) -> None:
    """sigma_min(A - theta I) <= residual for all; |theta - lambda| <= error for the converged."""
    with jax.enable_x64(dtype == np.float64):
        a = matrix(seed, kind).astype(dtype).astype(np.float64)
        f, left = factors(a, seed, vectors, dtype)
    found = ritz_values(f, left=left, tolerance=1e-2)
    dense = np.linalg.eigvals(a)
    oracle = 1e-12 * np.linalg.norm(a, 2)
    for theta, residual, error, converged in zip(
        found.values, found.residuals, found.errors, found.converged, strict=True
    ):
        smallest = np.linalg.svd(a - theta * np.eye(N), compute_uv=False)[-1]
        assert smallest <= residual + oracle
        if converged:
            condition = max(1.0, error / residual)
            assert np.abs(dense - theta).min() <= error + oracle * condition
    assert found.matvecs == 2 * vectors


@given(seed=st.integers(0, 10**6), vectors=st.sampled_from([12, N]))
@settings(max_examples=20)
def test_symmetric_errors_are_bounds_converged_or_not(seed, vectors) -> None:
    a = matrix(seed, "symmetric").astype(np.float32).astype(np.float64)
    found = ritz_values(factors(a, seed, vectors, np.float32)[0], symmetric=True)
    assert not np.iscomplexobj(found.values)
    dense = np.linalg.eigvalsh(a)
    for theta, error in zip(found.values, found.errors, strict=True):
        assert np.abs(dense - theta).min() <= error
    assert np.abs(found.values).max() <= np.abs(dense).max() + found.errors[0]


def test_values_far_from_the_spectrum_are_flagged() -> None:
    """With a twentieth of the vectors many Ritz values are nowhere near an eigenvalue."""
    wrong = flagged = 0
    for seed in range(10):
        a = matrix(seed, "gauss")
        found = ritz_values(factors(a, seed, 12, np.float32)[0], tolerance=1e-3)
        distance = np.abs(np.linalg.eigvals(a)[:, None] - found.values).min(axis=0)
        off = distance > 1e-3 * np.abs(found.values).max()
        wrong += off.sum()
        flagged += (off & ~found.converged).sum()
    assert wrong > 50
    assert flagged == wrong


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_breakdown_ends_in_an_invariant_subspace_with_exact_values(dtype) -> None:
    with jax.enable_x64(dtype == np.float64):
        near = {"rtol": 50 * np.finfo(dtype).eps, "atol": 50 * np.finfo(dtype).eps}
        for a, expected in [
            (np.eye(N), [1.0]),
            (np.zeros((N, N)), [0.0]),
            (np.diag(np.repeat([2.0, -1.0], N // 2)), [2.0, -1.0]),
        ]:
            found = ritz_values(factors(a, 0, 12, dtype)[0])
            np.testing.assert_allclose(found.values, expected, **near)
            assert found.invariant
            assert found.converged.all()
        # A start inside a two-dimensional invariant subspace, a rotation by 90 degrees.
        a = np.diag(np.arange(1.0, N + 1))
        a[:2, :2] = [[0, 1], [-1, 0]]
        start = jnp.zeros(N, dtype).at[:2].set(jnp.array([3.0, 4.0], dtype))
        f = factor(jnp.asarray(a, dtype), start, 12)
        found = ritz_values(f)
        assert int(f.size) == 2
        np.testing.assert_allclose(sorted(found.values.imag), [-1.0, 1.0], **near)
        np.testing.assert_allclose(found.values.real, 0.0, **near)


def test_a_defective_eigenvalue_is_not_called_converged() -> None:
    """A Jordan block of size N moves by residual^(1/N): a small residual says nothing."""
    a = 0.5 * np.eye(N) + 0.3 * np.eye(N, k=1)
    f, left = factors(a, 0, N, np.float32)
    found = ritz_values(f, left=left)
    assert np.abs(found.values - 0.5).max() > 0.05
    assert found.residuals.max() < 1e-4
    assert not found.converged.any()


def test_overflow_is_a_result() -> None:
    a = jnp.eye(N).at[3, 5].set(jnp.inf)
    found = ritz_values(factor(a, jnp.ones(N), 12))
    assert np.isnan(found.values).all()
    assert not found.converged.any()
    assert np.isnan(found.radius)
    assert found.to_json()["values"][0] is None


def test_a_batch_of_factorizations_equals_them_one_by_one() -> None:
    stack = jnp.asarray(np.stack([matrix(s, "outliers") for s in range(3)]), jnp.float32)
    start = jnp.ones(N)
    together = jax.vmap(lambda a: arnoldi(lambda v: a @ v, start, 12))(stack)
    for i in range(3):
        alone = factor(stack[i], start, 12)
        np.testing.assert_allclose(together.projection[i], alone.projection, atol=1e-4)
