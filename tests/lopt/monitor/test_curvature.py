"""The Hessian over batches: both errors, the density, tensors, selections; against dense ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from lopt.monitor import Density, curvature

# Of the population: E[x x^T].
VARIANCES = np.array([5.0, 2.0, 1.0, 0.5, 0.1])


def squares(p, x):
    return jnp.mean((x @ p) ** 2) / 2


def test_two_errors_hold_the_eigenvalue_of_the_population() -> None:
    """200 problems of 15 batches with 40 examples each; the population's largest eigenvalue is 5,
    its smallest 0.1.
    """
    rng, hits, biases = np.random.default_rng(0), [], []
    for seed in range(200):
        data = rng.normal(size=(15, 40, 5)) * np.sqrt(VARIANCES)
        batches = list(jnp.asarray(data, jnp.float32))
        found = curvature(squares, jnp.zeros(5), batches, vectors=5, seed=seed)
        for value, true in ((found.largest, 5.0), (found.smallest, 0.1)):
            low, high = value.interval
            hits.append(low <= true <= high)
            biases.append(value.bias)
    share = np.array(hits).reshape(-1, 2).mean(axis=0)
    assert (share >= 0.90).all(), share
    assert (share <= 0.99).all(), share
    upward, downward = np.array(biases).reshape(-1, 2).mean(axis=0)
    assert upward > 0 > downward


def network(params, batch):
    x, y = batch
    hidden = jnp.tanh(x @ params["first"]["kernel"] + params["first"]["bias"])
    return jnp.mean((hidden @ params["last"] - y) ** 2)


@pytest.fixture(scope="module")
def problem():
    """281 parameters, batches of unequal size, and the dense Hessian of the mean over examples."""
    rng = np.random.default_rng(1)
    params = jax.tree.map(
        lambda shape: jnp.asarray(0.4 * rng.normal(size=shape), jnp.float32),
        {"first": {"kernel": (12, 20), "bias": (20,)}, "last": (20, 1)},
        is_leaf=lambda x: isinstance(x, tuple),
    )
    batches = [
        tuple(jnp.asarray(rng.normal(size=(n, k)), jnp.float32) for k in (12, 1))
        for n in (64, 64, 32)
    ]
    flat, unravel = ravel_pytree(params)
    whole = tuple(jnp.concatenate(parts) for parts in zip(*batches, strict=True))
    dense = jax.jit(jax.hessian(lambda v: network(unravel(v), whole)))(flat)
    return params, batches, np.asarray(dense, np.float64)


@pytest.fixture(scope="module")
def found(problem):
    params, batches, _ = problem
    return curvature(network, params, batches, vectors=40, probes=12, tensors=True)


def test_unequal_batches_have_the_hessian_of_all_examples(problem, found) -> None:
    values = np.linalg.eigvalsh(problem[2])
    for value, exact in ((found.largest, values[-1]), (found.smallest, values[0])):
        assert value.measured.converged
        assert abs(value.measured.value - exact) <= value.measured.error + 1e-5


def test_tensors_have_the_eigenvalues_of_their_blocks(problem, found) -> None:
    params, _, dense = problem
    sizes = [leaf.size for leaf in jax.tree.leaves(params)]
    ends = np.cumsum([0, *sizes])
    assert list(found.tensors) == ["first/bias", "first/kernel", "last"]
    for value, a, b in zip(found.tensors.values(), ends[:-1], ends[1:], strict=True):
        exact = np.linalg.eigvalsh(dense[a:b, a:b])[-1]
        assert abs(value.measured.value - exact) <= value.measured.error + 1e-5
        assert value.sampling > 0


def test_the_density_is_that_of_the_dense_matrix(problem, found) -> None:
    values = np.linalg.eigvalsh(problem[2])
    grid, width = np.linspace(values[0], values[-1], 60), (values[-1] - values[0]) / 30
    exact = np.exp(-0.5 * ((grid[:, None] - values) / width) ** 2).mean(axis=1)
    exact /= width * np.sqrt(2 * np.pi)
    middle, error = found.density.pdf(grid, width)
    assert (np.abs(middle - exact) <= 4 * error + 1e-3 * exact.max()).all()
    trace = found.density.trace
    assert abs(trace.value - values.sum()) <= 4 * trace.error
    for threshold in (0.0, 0.1, 1.0):
        count = found.density.count_above(threshold)
        assert abs(count.value - (values > threshold).sum()) <= 4 * count.error


def test_quadrature_bounds_a_count_whatever_the_spectrum() -> None:
    """One vector with equal parts in all eigenvalues: its measure is the spectrum itself, so that
    only the quadrature is in error, which the inequalities bound.
    """
    rng = np.random.default_rng(2)
    for size in (30, 61):
        values = np.sort(rng.exponential(size=size))
        basis, below, diagonal = [np.full(size, size**-0.5)], [], []
        for _ in range(6):
            rest = values * basis[-1]
            diagonal.append(basis[-1] @ rest)
            for q in (*basis, *basis):
                rest = rest - (q @ rest) * q
            below.append(np.linalg.norm(rest))
            basis.append(rest / below[-1])
        T = np.diag(diagonal) + np.diag(below[:-1], 1) + np.diag(below[:-1], -1)
        nodes, vectors = np.linalg.eigh(T)
        density = Density((nodes,) * 2, (vectors[0] ** 2,) * 2, size)
        for threshold in np.linspace(-0.5, values[-1] + 1, 200):
            count = density.count_above(threshold)
            assert abs(count.value - (values > threshold).sum()) <= count.error + 1e-9


def test_a_selection_is_the_block_of_its_tensors(problem) -> None:
    params, batches, dense = problem
    found = curvature(network, params, batches, select=lambda path: "first" in path, vectors=40)
    assert found.dimension == 260
    exact = np.linalg.eigvalsh(dense[:260, :260])[-1]
    assert abs(found.largest.measured.value - exact) <= found.largest.measured.error + 1e-5


def test_a_scale_gives_the_eigenvalues_of_the_preconditioned_hessian(problem) -> None:
    params, batches, dense = problem
    rng = np.random.default_rng(3)
    scale = jax.tree.map(lambda p: jnp.asarray(rng.uniform(0.1, 3, p.shape), p.dtype), params)
    M = np.diag(np.asarray(ravel_pytree(scale)[0], np.float64))
    exact = np.linalg.eigvals(M @ dense).real.max()
    found = curvature(network, params, batches, scale=scale, vectors=40)
    assert abs(found.largest.measured.value - exact) <= found.largest.measured.error + 1e-4


def test_one_batch_says_that_its_error_is_not_the_batchs(problem) -> None:
    params, batches, _ = problem
    found = curvature(network, params, batches[:1], vectors=5)
    assert "one batch says nothing of the error that comes from the choice" in found.text()
    assert np.isnan(found.largest.sampling)
    assert found.to_json()["largest"]["sampling"] is None


def test_the_text_and_the_picture_show_both_errors(found) -> None:
    assert "(numerical) ±" in found.text()
    assert "(batches)" in found.text()
    axes = found.plot(threshold=2.0)
    assert axes.get_yscale() == "log"
    assert len(axes.lines) >= 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"select": lambda path: False}, "select must take at least one of first/bias"),
        ({"vectors": 0}, "vectors must be at least 1"),
        ({"probes": 1}, "probes must be 0 or at least 2"),
        ({"batches": iter([1])}, "batches must be readable more than once"),
        ({"batches": []}, "batches must hold at least one batch"),
        ({"scale": -1.0}, "scale must be non-negative"),
    ],
)
def test_what_is_wrong_is_said(problem, options: dict, says: str) -> None:
    params, batches, _ = problem
    if "scale" in options:
        options = {"scale": jax.tree.map(lambda p: -jnp.ones_like(p), params)}
    given = {"batches": batches, **options}
    with pytest.raises(ValueError, match=says):
        curvature(network, params, given.pop("batches"), **given)


def test_what_has_no_density_cannot_be_drawn(problem) -> None:
    params, batches, _ = problem
    with pytest.raises(ValueError, match="call curvature with probes=10"):
        curvature(network, params, batches[:1], vectors=2).plot()
