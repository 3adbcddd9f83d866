"""What a Krylov space has missed: it lies in the enclosure as often as stated."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lopt.monitor import arnoldi, inspect, ritz_values
from lopt.monitor.inspection.conditions import theorem_margins
from lopt.monitor.krylov.enclosure import CONFIDENCE, Enclosure
from lopt.monitor.krylov.lanczos import lanczos
from lopt.monitor.krylov.values import Value, extreme, radius

N, STARTS = 60, 150
# Misses that four standard errors above the stated rate allow.
ALLOWED = STARTS * (1 - CONFIDENCE) + 4 * np.sqrt(STARTS * (1 - CONFIDENCE))
BULK = np.linspace(0.0, 1.0, N - 1)


def rotated(values: np.ndarray, *, normal: bool) -> np.ndarray:
    """A matrix with these eigenvalues, symmetric or far from normal."""
    rng = np.random.default_rng(5)
    q = np.linalg.qr(rng.standard_normal((N, N)))[0]
    if normal:
        return (q * values) @ q.T
    upper = np.diag(values) + 0.3 * np.triu(rng.standard_normal((N, N)), 1) / np.sqrt(N)
    return q @ upper @ q.T


@functools.partial(jax.jit, static_argnums=3)
def factorizations(matrix, starts, fixed, vectors):
    """One for each row of starts, tilted to `fixed` by as much as the row is long."""

    def one(start):
        length = jnp.linalg.norm(start)
        product = lambda v: jnp.matmul(matrix, v, precision="highest")  # noqa: E731
        return arnoldi(product, start + length * fixed, vectors, length)

    return jax.lax.map(one, starts)


def estimates(matrix, vectors, *, symmetric, fixed=None):
    starts = np.random.default_rng(7).uniform(-1, 1, (STARTS, N)).astype(np.float32)
    fixed = np.zeros(N) if fixed is None else fixed
    found = jax.device_get(factorizations(*map(np.float32, (matrix, starts, fixed)), vectors))
    for i in range(STARTS):
        yield ritz_values(jax.tree.map(lambda leaf, i=i: leaf[i], found), symmetric=symmetric)


@pytest.mark.parametrize("tilted", [False, True])
@pytest.mark.parametrize("clustered", [False, True])
def test_both_ends_of_a_symmetric_spectrum_are_enclosed_as_often_as_stated(
    clustered, tilted
) -> None:
    """With an eigenvalue below the others that a start may have hardly any part of; and where the
    start leans the other way.
    """
    values = np.append(-0.2, np.round(BULK) if clustered else BULK)
    vectors = 2 if clustered else 8
    matrix = rotated(values, normal=True)
    away = np.linalg.eigh(matrix)[1][:, -5:].sum(axis=1)
    missed = {True: 0, False: 0}
    unseen = 0
    for found in estimates(matrix, vectors, symmetric=True, fixed=away if tilted else None):
        for largest, exact in ((False, values.min()), (True, values.max())):
            value = extreme(found, largest=largest)
            missed[largest] += abs(value.value - exact) > value.error + 1e-5
        lowest = found.values.argmin()
        unseen += found.values[lowest] - values.min() > found.errors[lowest]
    assert max(missed.values()) <= ALLOWED
    # The distance to the nearest eigenvalue is no substitute.
    assert unseen > STARTS / 2 or not clustered


@pytest.mark.parametrize("pair", [1.2j, 1.3])
def test_the_radius_of_a_matrix_far_from_normal_is_enclosed_as_often_as_stated(pair) -> None:
    exact = abs(pair)
    blocks = rotated(np.append(exact, BULK), normal=False)
    if np.iscomplexobj(pair):  # a rotation by a right angle in the last two coordinates
        upper = np.diag(np.append(BULK[:-1], [0.0, 0.0]))
        upper[-2:, -2:] = [[0.0, exact], [-exact, 0.0]]
        q = np.linalg.qr(np.random.default_rng(2).standard_normal((N, N)))[0]
        blocks = q @ (upper + np.triu(0.2 * np.ones((N, N)) / N, 2)) @ q.T
    exact = np.abs(np.linalg.eigvals(blocks)).max()
    rightmost = np.linalg.eigvals(blocks).real.max()
    missed, right = 0, 0
    for found in estimates(blocks, 6, symmetric=False):
        missed += radius(found).value + radius(found).error < exact - 1e-5
        right += found.largest_bound < rightmost - 1e-5
    assert missed <= ALLOWED
    assert right <= ALLOWED


def test_an_enclosure_is_where_the_polynomial_is_small() -> None:
    """|lambda^2 + 1| <= 3: out to 2i on the imaginary axis, to sqrt(2) on the real one."""
    found = Enclosure(np.array([1j, -1j]), np.log(3.0), real=False)
    assert found.modulus == pytest.approx(2.0, rel=1e-9)
    assert found.largest == pytest.approx(np.sqrt(3.0), rel=1e-9)  # by real parts alone, x^2 = 3
    assert found.reflected(1.0, 0.25).smallest == pytest.approx(1 - np.sqrt(3.0) - 0.25, rel=1e-9)
    tight = Enclosure(np.array([1.0, 2.0]), -np.inf, real=True)
    assert (tight.smallest, tight.largest, tight.modulus) == (1.0, 2.0, 2.0)


def test_nothing_is_missed_by_a_space_that_is_the_whole() -> None:
    matrix = rotated(np.append(-0.2, BULK), normal=True)
    found = next(iter(estimates(matrix, N, symmetric=True)))
    value = extreme(found, largest=False)
    assert value.converged
    # Equal but for the rounding of a difference of values.
    assert value.error == pytest.approx(found.errors[found.values.argmin()], rel=1e-9)
    assert found.enclosure is None


OUTLIERS = [100.0, 50.0, 20.0]
DIAGONAL = np.append(OUTLIERS, np.linspace(0.0, 1.0, 3000)).astype(np.float32)


@jax.jit
def recurrence(start):
    return lanczos(lambda x: DIAGONAL * x, start, 50)


@pytest.mark.parametrize("seed", range(3))
def test_a_recurrence_lists_every_eigenvalue_once_at_every_length(seed) -> None:
    outliers, longest = OUTLIERS, 50
    start = np.random.default_rng(seed).uniform(-1, 1, len(DIAGONAL)).astype(np.float32)
    whole = jax.device_get(recurrence(start))
    again = 0
    for length in range(8, longest):
        cut = whole._replace(
            projection=whole.projection[:length, :length],
            coupling=2.5 * whole.projection[length, length - 1],
            size=np.int32(length),
        )
        found = ritz_values(cut, symmetric=True)
        near = np.abs(found.values[:, None] / outliers - 1) < 1e-2
        assert near.sum(axis=0).tolist() == [1, 1, 1]
        assert not (found.converged & ~near.any(axis=1) & (found.values > 1.5)).any()
        kept = ritz_values(cut._replace(orthogonal=np.True_), symmetric=True).values
        again += (np.abs(kept[:, None] / outliers - 1) < 1e-2).sum() > len(outliers)
    assert again > 20  # without the test they come again


def test_descent_on_a_hidden_saddle_is_not_vouched_for() -> None:
    """One curvature of -0.01 among a thousand from 0 to 1: ten products do not see it."""
    curvature = jnp.append(-0.01, jnp.linspace(0.0, 1.0, 999))
    optimizer, params = optax.sgd(0.5), jnp.ones(1000)
    found = inspect(
        optimizer,
        lambda p, c: jnp.sum(c * p**2) / 2,
        params,
        optimizer.init(params),
        curvature,
    )
    assert found.smallest_curvature.value > -0.005
    for value, exact in (
        (found.smallest_curvature, -0.01),
        (found.sharpness, 1.0),
        (found.preconditioned_sharpness, 0.5),
        (found.frozen_radius, 1.005),
    ):
        assert abs(value.value - exact) <= value.error
    assert not found.frozen_radius.converged
    for margin in (found.theorem1, found.theorem1_prime):
        assert not margin.condition.holds
        assert "unknown: smallest curvature" in margin.text()


def margins(low: tuple[float, float], top: float = 1.0, error: float = 0.0):
    """Theorem 1 and Theorem 1' for M = top * I and curvatures from `low` to 1."""

    def exact(value: float, error: float = 0.0) -> Value:
        return Value(value, error, error, converged=True)

    return theorem_margins(
        exact(1.0), exact(*low), exact(top), exact(top, error), exact(0.0),
        exact(abs(top - 1.0), error), alpha=top,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("low", "top", "error", "text"),
    [
        ((0.1, 0.0), 1.0, 0.0, "holds, margin 1 ± 0"),
        ((0.0009, 0.02), 1.0, 0.0, "unknown: smallest curvature 0.0009 ± 0.02"),
        ((-0.003, 0.03), 1.0, 0.0, "does not apply: the Hessian has the negative eigenvalue"),
        ((0.1, 0.0), 1.9, 0.2, "unknown: margin 0.1 ± 0.2"),
        ((0.1, 0.0), 2.5, 0.1, "fails, margin -0.5 ± 0.1"),
        ((0.1, 0.0), 1.0, float("nan"), "unknown: margin 1 ± nan"),
        ((float("nan"), 0.0), 1.0, 0.0, "unknown: the curvature is not measured"),
    ],
)
def test_a_condition_holds_only_where_its_errors_leave_no_doubt(low, top, error, text) -> None:
    first, prime = margins(low, top, error)
    assert text in first.text()
    assert text in prime.text()
    assert first.condition.holds == prime.condition.holds == text.startswith("holds")
    assert first.to_json()["applies"] == text.startswith(("holds", "fails"))
