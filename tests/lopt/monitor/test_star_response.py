"""STAR's derivative by hand against the program's, and inspections that use it against matrices."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree

import lopt
from lopt.monitor import InspectSettings, inspect, star_blackbox
from lopt.monitor.inspection import star as learned
from lopt.optimizers.star_response import star_response
from tests.lopt.monitor.test_inspect import (
    CONFIG,
    OPTIMIZERS,
    THETA,
    close,
    dense,
    matrices,
    network_loss,
    task,
)

# A matrix, a vector, a convolution's kernel, a number. Compiling a tensor takes ten seconds, so
# that by default STAR, Blackbox and the normalized update have one each.
ALL = {"w": (5, 4), "b": (4,), "c": (2, 3, 4), "s": ()}
SHAPES = {
    "star": {"c": ALL["c"]},
    "blackbox": {"w": ALL["w"]},
    "no network": ALL,
    "all of star": ALL,
    "all of blackbox": ALL,
    "normalized": {"b": ALL["b"]},
    # Without the number: its normalized update is a sign, of which only rounding is left.
    "normalized nominal term": {"w": ALL["w"]},
}
CONFIGS = {
    "star": lopt.StarConfig(nominal_step=0.02, blackbox_step=2e-4, nominal_exponent=0.1),
    "blackbox": lopt.BLACKBOX,
    "no network": lopt.StarConfig(blackbox_term=False, nominal_controller=False),
}
CONFIGS["all of star"], CONFIGS["all of blackbox"] = CONFIGS["star"], CONFIGS["blackbox"]
CONFIGS["normalized"], CONFIGS["normalized nominal term"] = (
    dataclasses.replace(CONFIGS[name], normalize_update=True, normalized_step=0.5)
    for name in ("star", "no network")
)


@functools.partial(jax.jit, static_argnums=0)
def both(name, seed):
    """The derivative at a random point after three updates: by the program, and by hand."""
    shapes, config, keys = SHAPES[name], CONFIGS[name], jax.random.split(jax.random.key(seed), 7)
    theta = lopt.init_meta_parameters(keys[0], config)
    moved = jax.tree.map(lambda x: x + 0.3 * jax.random.normal(keys[1], x.shape), theta.network)
    theta = theta._replace(network=moved)

    def tree(key, scale):
        return {
            name: scale * jax.random.normal(jax.random.fold_in(key, i), shape)
            for i, (name, shape) in enumerate(shapes.items())
        }

    params, optimizer = tree(keys[2], 1.0), lopt.star(theta, config, fused=False)
    state, blackbox = optimizer.init(params), star_blackbox(theta, config)
    step = lambda state, key: (optimizer.update(tree(key, 0.1), state, params)[1], None)  # noqa: E731
    state, _ = jax.lax.scan(step, state, keys[3:6])
    gradient = tree(keys[6], 0.1)
    point, unravel = ravel_pytree((params, gradient))

    def program(vector):
        p, g = unravel(vector)
        updates = optimizer.update(g, state, p)[0]
        part = blackbox.update(g, state, p)[0] if blackbox else jax.tree.map(jnp.zeros_like, g)
        return ravel_pytree((updates, part))[0]

    response = star_response(theta, config, params, gradient, state)

    def by_hand(vector):
        p, g = unravel(vector)
        return ravel_pytree(tuple(response(g, p)))[0]

    def without_params(vector):
        return ravel_pytree(tuple(response(unravel(vector)[1])))[0]

    eye = jnp.eye(point.size)
    n = point.size // 2
    return (
        jax.jacfwd(program)(point),
        jax.vmap(by_hand, out_axes=1)(eye),
        jax.vmap(without_params, out_axes=1)(eye)[:, n:],
        ravel_pytree(tuple(response.elementwise()))[0],
        jax.tree.map(
            lambda part: ravel_pytree(part)[0],
            response.by_parameters(),
            is_leaf=lambda part: isinstance(part, dict),
        ),
    )


@pytest.mark.parametrize(
    "name",
    [
        *("star", "blackbox", "no network", "normalized", "normalized nominal term"),
        pytest.param("all of star", marks=pytest.mark.thorough),
        pytest.param("all of blackbox", marks=pytest.mark.thorough),
    ],
)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=3)
def test_the_derivative_by_hand_is_that_of_the_program(name, seed) -> None:
    program, by_hand, without, diagonal, (a, pairs) = jax.device_get(both(name, seed))
    n = len(diagonal) // 2
    for columns in (slice(0, n), slice(n, 2 * n)):
        size = np.abs(program[:, columns]).max()
        np.testing.assert_allclose(by_hand[:, columns], program[:, columns], atol=4e-6 * size)
    np.testing.assert_allclose(without, by_hand[:, n:], atol=4e-6 * np.abs(without).max())
    shapes = SHAPES[name]
    tensor = np.repeat(np.arange(len(shapes)), [int(np.prod(shapes[k])) for k in sorted(shapes)])
    ranks = sum(np.outer(b, c) for b, c in pairs)
    by_params = np.diag(a) + np.where(tensor[:, None] == tensor, ranks, 0.0)
    size = np.abs(by_params).max()
    np.testing.assert_allclose(by_params, program[:n, :n], atol=4e-6 * size)
    # What is left of the diagonal is by means over a tensor, of a number's of itself.
    own = np.concatenate([np.diag(program[:n, n:]), np.diag(program[n:, n:])])
    if not CONFIGS[name].heads:
        np.testing.assert_allclose(diagonal, own, atol=4e-6 * np.abs(own).max())


@pytest.mark.parametrize("name", [pytest.param("star", marks=pytest.mark.thorough), "blackbox"])
@given(seed=st.integers(0, 10**6))
@settings(max_examples=6)
def test_what_has_converged_is_within_its_error_of_the_matrices(name, seed) -> None:
    agrees(name, seed, InspectSettings(vectors=20, hessian_vectors=16))


@pytest.mark.parametrize("seed", [0, 1])
def test_so_it_is_where_vectors_are_spared(seed, monkeypatch) -> None:
    """As with a million parameters; by other settings than above, for what is compiled is kept."""
    monkeypatch.setattr(learned, "LARGE_BASIS", 100)
    seen = agrees("star", seed, InspectSettings(vectors=16, hessian_vectors=16))
    assert seen.product.matvecs == 16 + 8
    assert seen.preconditioned_sharpness.converged


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(3))
def test_so_it_is_where_the_update_is_normalized(seed, monkeypatch) -> None:
    config = dataclasses.replace(CONFIG, normalize_update=True, normalized_step=0.05)
    pair = lopt.star(THETA, config, fused=False), star_blackbox(THETA, config)
    monkeypatch.setitem(OPTIMIZERS, "normalized", pair)
    agrees("normalized", seed, InspectSettings(vectors=20, hessian_vectors=16))


@functools.cache
def silent():
    """A Blackbox whose last layer is zero, which answers nothing to any gradient."""
    config = dataclasses.replace(lopt.BLACKBOX, initial_head_scale=0.0)
    return lopt.star(lopt.init_meta_parameters(jax.random.key(0), config), config)


def test_an_optimizer_that_stands_still_has_a_response_of_zero() -> None:
    params, batch = task(0)
    seen = inspect(silent(), network_loss, params, silent().init(params), batch)
    assert seen.response.largest.value == seen.blackbox.smallest.value == 0.0
    assert seen.preconditioned_sharpness.value == 0.0
    assert seen.frozen_radius.value == pytest.approx(1.0)


def test_a_tensor_without_entries_changes_no_response() -> None:
    config = CONFIGS["no network"]
    theta = lopt.init_meta_parameters(jax.random.key(0), config)
    full = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]])}

    def moved(params):
        state = lopt.star(theta, config, fused=False).init(params)
        response = star_response(theta, config, params, params, state)
        return response(params, params).update

    both = moved({**full, "empty": jnp.zeros((0, 3))})
    assert both["empty"].shape == (0, 3)
    np.testing.assert_array_equal(both["w"], moved(full)["w"])


def test_a_state_that_has_diverged_is_a_result() -> None:
    params, batch = task(0)
    params = jax.tree.map(lambda x: x * jnp.nan, params)
    seen = inspect(silent(), network_loss, params, silent().init(params), batch)
    assert "not measured" in seen.text()
    assert not seen.product.converged.any()


def test_parameters_of_half_precision_are_named() -> None:
    params, batch = task(0)
    params = {**params, "w": params["w"].astype(jnp.bfloat16)}
    with pytest.raises(ValueError, match=r"leaf \['w'\] is bfloat16, of which .* Convert it"):
        inspect(silent(), network_loss, params, silent().init(params), batch)


def agrees(name, seed, settings):
    """The inspection, every converged number of it within its error of a dense one."""
    transformation, _ = OPTIMIZERS[name]
    start, batch = task(seed)
    (params, state), hessian, derivative = jax.device_get(dense(name, start, batch, 6))
    H = hessian.astype(np.float64)
    J, M, P = matrices(H, derivative)
    n, unit = len(H), 16 * np.finfo(np.float32).eps
    seen = inspect(transformation, network_loss, params, state, batch, settings=settings)
    h = np.linalg.eigvalsh((H + H.T) / 2)
    close(seen.sharpness, h[-1], unit * np.abs(h).max())
    for found, matrix in ((seen.response, M), (seen.blackbox, P)):
        size = unit * np.linalg.norm(matrix, 2)
        extremes = np.linalg.eigvalsh((matrix + matrix.T) / 2)
        # An eigenvalue is within the error; which one it is nobody can say of few products.
        for value in (found.smallest, found.largest):
            if value.converged:
                assert np.abs(extremes - value.value).min() <= value.error + size
        asymmetry = np.linalg.svd((matrix - matrix.T) / 2, compute_uv=False)
        if found.asymmetry.converged:
            assert np.abs(asymmetry - found.asymmetry.value).min() <= found.asymmetry.error + size
    for found, matrix in ((seen.product, M @ H), (seen.frozen, J[:n, :n])):
        exact = np.linalg.eigvals(matrix)
        for theta, error, sure in zip(found.values, found.errors, found.converged, strict=True):
            if sure:
                slack = unit * np.linalg.norm(M, 2) * np.linalg.norm(H, 2) + unit
                assert np.abs(exact - theta).min() <= 4 * (error + slack)
    assert seen.joint is None
    return seen
