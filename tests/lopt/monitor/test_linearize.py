"""The linearized maps against dense Jacobians and closed forms."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree

from lopt.monitor import (
    arnoldi,
    balance,
    hessian_operator,
    joint_operator,
    ritz_values,
    update_map,
)


class Velocities(NamedTuple):
    velocity: list
    count: jax.Array


def aggmo(step: float, decays: tuple[float, ...]) -> optax.GradientTransformation:
    """v_k' = beta_k v_k + g, phi' = phi - step mean_k v_k'."""

    def init(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return Velocities([zeros for _ in decays], jnp.zeros((), jnp.int32))

    def update(grads, state, params=None):
        velocity = [
            jax.tree.map(lambda v, g, b=b: b * v + g, v, grads)
            for b, v in zip(decays, state.velocity, strict=True)
        ]
        updates = jax.tree.map(lambda *v: -step * sum(v) / len(decays), *velocity)
        return updates, Velocities(velocity, state.count + 1)

    return optax.GradientTransformation(init, update)


OPTIMIZERS = {
    "sgd": optax.sgd,
    "momentum": lambda lr: optax.sgd(lr, 0.9),
    "nesterov": lambda lr: optax.sgd(lr, 0.9, nesterov=True),
    "adam": lambda lr: optax.adam(0.1 * lr),
    "aggmo": lambda lr: aggmo(0.3 * lr, (0.0, 0.9, 0.99)),
}


def network_loss(params, batch):
    inputs, targets = batch
    hidden = jnp.tanh(inputs @ params["w1"] + params["b1"])
    return jnp.mean((hidden @ params["w2"] - targets) ** 2)


def task(seed, dtype):
    """A 4-6-3 tanh network on random data: 48 parameters, a loss with negative curvature."""
    keys = jax.random.split(jax.random.key(seed), 5)
    shapes = {"w1": (4, 6), "b1": (6,), "w2": (6, 3)}
    params = {
        name: jax.random.normal(key, shape, jnp.float32).astype(dtype)
        for key, (name, shape) in zip(keys, shapes.items(), strict=False)
    }
    batch = tuple(
        jax.random.normal(k, (16, d), jnp.float32).astype(dtype)
        for k, d in zip(keys[3:], (4, 3), strict=True)
    )
    return params, batch


def joint_map(transformation, loss, batch, params, state):
    """F on one flat vector of parameters and float state, written independently; with its point."""
    leaves, structure = jax.tree.flatten(state)
    floats = [x for x in leaves if jnp.issubdtype(x.dtype, jnp.floating)]
    point, unravel = ravel_pytree((params, floats))

    def step(vector):
        at, values = unravel(vector)
        values = iter(values)
        merged = [next(values) if jnp.issubdtype(x.dtype, jnp.floating) else x for x in leaves]
        at, new = update_map(transformation, loss, batch)(at, jax.tree.unflatten(structure, merged))
        kept = [x for x in jax.tree.leaves(new) if jnp.issubdtype(x.dtype, jnp.floating)]
        return ravel_pytree((at, kept))[0]

    return step, point


@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def examine(name, seed, lr, steps, vectors, dtype):
    """After `steps` steps: factorizations of the joint map and its dense Jacobian."""
    transformation = OPTIMIZERS[name](lr)
    params, batch = task(seed, dtype)
    step = update_map(transformation, network_loss, batch)
    carry = (params, transformation.init(params))
    params, state = jax.lax.fori_loop(0, steps, lambda _, c: step(*c), carry)
    operator = joint_operator(transformation, network_loss, params, state, batch)
    start = jax.random.normal(jax.random.key(1), operator.scale.shape, dtype)
    flat_map, point = joint_map(transformation, network_loss, batch, params, state)
    return (
        arnoldi(operator.apply, start, vectors),
        arnoldi(operator.transpose, start, vectors),
        operator.scale,
        jax.jacfwd(flat_map)(point),
    )


CASES = [(name, "float32") for name in OPTIMIZERS] + [("adam", "float64")]


@pytest.mark.parametrize(("name", "dtype"), CASES)
@given(
    seed=st.integers(0, 10**6),
    lr=st.sampled_from([0.03, 0.1, 0.5]),
    steps=st.integers(2, 20),
)
@settings(max_examples=8)
def test_converged_eigenvalues_lie_within_their_error_of_dense_ones(
    name, dtype, seed, lr, steps
) -> None:
    with jax.enable_x64(dtype == "float64"):
        right, left, scale, dense = jax.device_get(
            examine(name, seed, jnp.asarray(lr, dtype), steps, 30, dtype)
        )
    if not np.isfinite(dense).all():
        return
    found = ritz_values(right, left=left)
    scaled = dense.astype(np.float64) * scale[None, :] / scale[:, None]
    exact = np.linalg.eigvals(scaled)
    # Rounding of the Jacobian itself, seen by the dense side: eps times its norm.
    unit = np.finfo(dtype).eps * np.linalg.norm(scaled, 2)
    for theta, residual, error, converged in zip(
        found.values, found.residuals, found.errors, found.converged, strict=True
    ):
        gap = np.linalg.svd(scaled - theta * np.eye(len(scaled)), compute_uv=False)[-1]
        assert gap <= residual + 4 * unit
        if converged:
            assert np.abs(exact - theta).min() <= error + 4 * unit * error / residual
    assert found.converged.any()


@jax.jit
def two_hessians(seed):
    params, batch = task(seed, "float32")
    flat, unravel = ravel_pytree(params)
    apply = hessian_operator(network_loss, params, batch)
    columns = jax.lax.map(lambda v: ravel_pytree(apply(unravel(v)))[0], jnp.eye(flat.size))
    return columns, jax.hessian(lambda v: network_loss(unravel(v), batch))(flat)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10)
def test_hessian_operator_is_the_hessian(seed) -> None:
    columns, dense = two_hessians(seed)
    np.testing.assert_allclose(columns, dense, atol=2e-5 * float(jnp.abs(dense).max()))


class Dense(NamedTuple):
    apply: np.ndarray
    transpose: np.ndarray
    frozen: np.ndarray
    scale: np.ndarray
    held: np.ndarray


def dense_of(operator, params_size):
    """Every part of a JointOperator as a matrix."""

    def matrix(apply, size):
        return jax.lax.map(apply, jnp.eye(size, dtype=operator.scale.dtype)).T

    n = operator.scale.shape[0]
    return Dense(
        matrix(operator.apply, n),
        matrix(operator.transpose, n),
        matrix(operator.frozen, params_size),
        operator.scale,
        operator.held,
    )


@pytest.fixture(scope="module")
def adam_point():
    """Adam after three steps in float64: dense operators at 0 and 8 sweeps, dense Jacobian."""

    @jax.jit
    def compute():
        params, batch = task(3, "float64")
        transformation = optax.adam(1e-2)
        step = update_map(transformation, network_loss, batch)
        start = (params, transformation.init(params))
        params, state = jax.lax.fori_loop(0, 3, lambda _, c: step(*c), start)
        flat_map, point = joint_map(transformation, network_loss, batch, params, state)
        args = (transformation, network_loss, params, state, batch)
        operators = joint_operator(*args, sweeps=0), joint_operator(*args)
        return [dense_of(op, 48) for op in operators], jax.jacfwd(flat_map)(point)

    with jax.enable_x64(True):
        return jax.device_get(compute())


def test_joint_operator_is_the_scaled_jacobian_and_its_transpose(adam_point) -> None:
    operators, jacobian = adam_point
    assert jacobian.shape == (3 * 48, 3 * 48)  # the integer step count is no coordinate
    near = {"rtol": 1e-9, "atol": 1e-12}
    for got in operators:
        expected = jacobian * got.scale[None, :] / got.scale[:, None]
        np.testing.assert_allclose(got.apply, expected, **near)
        np.testing.assert_allclose(got.transpose, got.apply.T, **near)
        np.testing.assert_allclose(got.frozen, got.apply[:48, :48], **near)
        assert not got.held.any()


def test_balancing_keeps_the_eigenvalues_and_shrinks_the_norm(adam_point) -> None:
    raw, balanced = (operator.apply for operator in adam_point[0])
    key = lambda z: (np.round(z.real, 6), np.round(z.imag, 6))  # noqa: E731
    values = [sorted(np.linalg.eigvals(m), key=key) for m in (raw, balanced)]
    np.testing.assert_allclose(values[0], values[1], atol=1e-6)
    radius = np.abs(values[0]).max()
    assert np.linalg.norm(balanced, 2) < 0.2 * np.linalg.norm(raw, 2)
    assert np.linalg.norm(balanced, 2) < 30 * radius


@jax.jit
def balance_dense(a):
    operator = lambda s: (lambda v: a @ (s * v) / s, lambda v: s * (a.T @ (v / s)))  # noqa: E731
    return balance(operator, jnp.ones(len(a)), 12)


@given(seed=st.integers(0, 10**6), spread=st.integers(0, 5))
@settings(max_examples=10)
def test_balancing_undoes_a_diagonal_scaling(seed, spread) -> None:
    """Of a balanced matrix scaled by 10^(+-spread) the balanced norm is small again."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((30, 30)) / np.sqrt(30)
    d = 10.0 ** rng.uniform(-spread, spread, 30)
    scaled = jnp.asarray(a * d[:, None] / d[None, :], jnp.float32)
    s = np.asarray(balance_dense(scaled), np.float64)
    again = np.asarray(scaled, np.float64) * s[None, :] / s[:, None]
    assert np.linalg.norm(again) < 4 * np.linalg.norm(a)


def test_a_weight_without_gradient_leaves_the_other_eigenvalues_alone() -> None:
    """Adam on a loss that ignores one weight: eigenvalues of the rest plus 1, beta_1, beta_2."""
    curvature = jnp.array([1.0, 3.0])

    def loss(p, c):
        return jnp.sum(c * p[:2] ** 2) / 2 + jnp.sum(p[:2]) ** 3 / 6

    @jax.jit
    def dense(params):
        transformation = optax.adam(0.1, b1=0.8, b2=0.95)
        step = update_map(transformation, loss, curvature)
        start = (params, transformation.init(params))
        at = jax.lax.fori_loop(0, 3, lambda _, c: step(*c), start)
        return dense_of(joint_operator(transformation, loss, *at, curvature), params.size)

    def values(params):
        found = dense(params)
        assert not found.held.any()
        return np.linalg.eigvals(np.asarray(found.apply, np.float64))

    with_dead = values(jnp.array([0.5, -0.4, 0.7]))
    expected = np.concatenate([values(jnp.array([0.5, -0.4])), [1.0, 0.8, 0.95]])
    for value in expected:
        assert np.abs(with_dead - value).min() < 1e-4


QUADRATIC = OPTIMIZERS | {"aggmo": lambda lr: aggmo(lr, (0.0, 0.9, 0.99))}


@functools.partial(jax.jit, static_argnums=0)
def factor_on_quadratic(name, lr, curvatures):
    transformation = QUADRATIC[name](lr)
    params = jnp.ones_like(curvatures)
    loss = lambda p, c: jnp.sum(c * p**2) / 2  # noqa: E731
    state = transformation.init(params)
    operator = joint_operator(transformation, loss, params, state, curvatures)
    start = jax.random.normal(jax.random.key(0), operator.scale.shape, curvatures.dtype)
    return arnoldi(operator.apply, start, start.size)


def spectrum_on_quadratic(name, lr, curvatures):
    """All eigenvalues of the joint map on the quadratic with these curvatures, in float64."""
    with jax.enable_x64(True):
        return ritz_values(factor_on_quadratic(name, jnp.asarray(lr), jnp.asarray(curvatures)))


@given(gaps=st.lists(st.floats(0.1, 3.0), min_size=4, max_size=4), lr=st.floats(0.05, 1.0))
@settings(max_examples=20)
def test_gradient_descent_has_the_eigenvalues_one_minus_step_times_curvature(gaps, lr) -> None:
    curvatures = np.cumsum(gaps)
    found = spectrum_on_quadratic("sgd", lr, curvatures)
    np.testing.assert_allclose(np.sort(found.values.real), 1 - lr * curvatures[::-1], atol=1e-11)


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
def test_momentum_has_the_eigenvalues_of_its_characteristic_polynomial(name) -> None:
    """Heavy ball: z^2 - (1 + b - x) z + b; Nesterov: z^2 - (1 + b)(1 - x) z + b (1 - x)."""
    b, lr, curvatures = 0.9, 0.3, np.array([0.2, 3.0, 9.0, 13.0])
    found = spectrum_on_quadratic(name, lr, curvatures)
    for x in lr * curvatures:
        heavy_ball = name == "momentum"
        linear, constant = (1 + b - x, b) if heavy_ball else ((1 + b) * (1 - x), b * (1 - x))
        for root in np.roots([1.0, -linear, constant]):
            assert np.abs(found.values - root).min() < 1e-10
    assert found.converged.all()


@pytest.mark.parametrize(
    ("name", "limit"),
    [("sgd", 2.0), ("momentum", 3.8), ("nesterov", 3.8 / 2.8), ("aggmo", 2.95737)],
)
def test_the_radius_crosses_one_where_theory_says(name, limit) -> None:
    """lr * curvature < 2, 2 (1 + b), 2 (1 + b)/(1 + 2 b), 2 K / sum 1/(1 + b_k)."""
    curvatures = np.array([0.3, 0.5, 0.9, 1.0])
    for factor, stable in ((0.999, True), (1.001, False)):
        found = spectrum_on_quadratic(name, factor * limit, curvatures)
        assert (np.abs(found.values).max() < 1) == stable


def test_parameters_that_are_not_floats_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"params must be real floating point; leaf \['n'\] is int"
    ):
        joint_operator(optax.sgd(0.1), lambda p, b: 0.0, {"n": jnp.arange(3)}, (), None)
