"""What makes an inspection of a large network cheap: recurrence, hashed signs, samples."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lopt.monitor import ritz_values
from lopt.monitor.derivatives.joint import random_signs, random_uniform
from lopt.monitor.inspection.step_sizes import sample_steps, summarize_steps
from lopt.monitor.krylov import lanczos as module
from lopt.monitor.krylov.lanczos import lanczos, symmetric_factorization

SIZE, VECTORS, EPS = 60, 40, np.finfo(np.float32).eps


@jax.jit
def recurrence(matrix, start):
    return lanczos(lambda v: jnp.matmul(matrix, v, precision="highest"), start, VECTORS)


@given(seed=st.integers(0, 10**6), outlier=st.floats(2.0, 100.0))
@settings(max_examples=20)
def test_errors_hold_where_orthogonality_is_lost(seed, outlier) -> None:
    """An outlier converges within a few products; the recurrence then finds it again."""
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.standard_normal((SIZE, SIZE)))[0]
    matrix = ((q * np.append(np.linspace(-1, 1, SIZE - 1), outlier)) @ q.T).astype(np.float32)
    matrix = (matrix + matrix.T) / 2
    exact = np.linalg.eigvalsh(matrix.astype(float))
    start = rng.standard_normal(SIZE).astype(np.float32)
    found = ritz_values(jax.device_get(recurrence(matrix, start)), symmetric=True)
    distance = np.abs(found.values[:, None] - exact[None, :]).min(axis=1)
    assert (distance <= found.errors + VECTORS * EPS * outlier).all()
    top = found.values.argmax()
    assert found.converged[top]
    assert abs(found.values[top] - exact[-1]) <= found.errors[top] + VECTORS * EPS * outlier


def test_the_recurrence_ends_in_an_invariant_space() -> None:
    matrix = jnp.diag(jnp.where(jnp.arange(SIZE) < 5, 2.0, 0.0))
    start = jnp.where(jnp.arange(SIZE) < 5, 1.0, 0.0)
    found = ritz_values(jax.device_get(recurrence(matrix, start)), symmetric=True)
    assert found.invariant
    np.testing.assert_allclose(found.values, [2.0], rtol=4 * EPS)


def test_a_matrix_that_is_not_finite_is_a_result() -> None:
    found = ritz_values(
        jax.device_get(recurrence(jnp.full((SIZE, SIZE), jnp.nan), jnp.ones(SIZE))), symmetric=True
    )
    assert not found.converged.any()


def test_a_large_basis_is_never_built(monkeypatch) -> None:
    diagonal = jnp.linspace(0.0, 1.0, 30)
    values = []
    for limit in (module.LARGE_BASIS, 30 * 5 - 1):
        monkeypatch.setattr(module, "LARGE_BASIS", limit)
        run = jax.jit(lambda v: symmetric_factorization(lambda x: diagonal * x, v, 5))
        assert ("f32[6,30]" in str(jax.make_jaxpr(run)(diagonal + 1))) == (limit > 150)
        values.append(ritz_values(jax.device_get(run(diagonal + 1)), symmetric=True).values)
    np.testing.assert_allclose(*values, atol=1e-5)


def test_hashed_numbers_are_as_independent_as_random_ones() -> None:
    """Moments, and correlations between keys and between neighbours, in four standard errors."""
    count = 2**16

    @jax.jit
    def draw(seed):
        keys = jax.random.split(jax.random.key(seed), 3)
        like = jnp.zeros(count)
        return (
            random_signs(keys[0], like),
            random_signs(keys[1], like),
            random_uniform(keys[2], like),
        )

    for seed in range(4):
        a, b, u = (np.asarray(x, float) for x in draw(seed))
        slack = 4 / np.sqrt(count)
        assert set(a) == {-1.0, 1.0}
        for product in (a, b, a * b, u * np.sqrt(3), a * u * np.sqrt(3)):
            assert abs(product.mean()) < slack
        for lag in (1, 2, 10, 256, 784):
            assert abs((a[lag:] * a[:-lag]).mean()) < 4 / np.sqrt(count - lag)
        assert -1 <= u.min() < -0.999
        assert 0.999 < u.max() < 1
        assert abs((3 * u**2).mean() - 1) < 4 * np.sqrt(0.8 / count)


def test_quantiles_of_many_values_are_those_of_levels_nearby() -> None:
    values = np.random.default_rng(3).standard_normal(200_000).astype(np.float32) ** 3
    params = {"a": np.zeros(150_000), "b": np.zeros(50_000)}
    found = summarize_steps(sample_steps(jnp.asarray(values), params), 0.0, params)
    assert found.quantiles[0.0] == values.min()
    assert found.quantiles[1.0] == values.max()
    for level in (0.05, 0.25, 0.5, 0.75, 0.95):
        slack = 4 * np.sqrt(level * (1 - level) / 2**16)
        low, high = np.quantile(values, [level - slack, level + slack])
        assert low <= found.quantiles[level] <= high
    low, high = np.quantile(values[150_000:], [0.5 - 2 / 2**7, 0.5 + 2 / 2**7])
    assert low <= found.tensors["['b']"] <= high
