"""`inspect` against dense matrices: every number called converged is within its error."""

import dataclasses
import functools
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.flatten_util import ravel_pytree

import lopt
import nqm
from lopt.monitor import InspectSettings, inspect, star_blackbox, update_map

SETTINGS = InspectSettings(vectors=24, hessian_vectors=16, joint=True)
# Networks that are shifted from the initial one: it hardly responds to anything.
THETA = jax.tree.map(
    lambda leaf: leaf + 0.3, lopt.init_meta_parameters(jax.random.key(1), lopt.STAR)
)._replace(momentum_offsets=jnp.zeros(3), rms_offsets=jnp.zeros(1), adafactor_offsets=jnp.zeros(3))
CONFIG = lopt.StarConfig(nominal_step=0.02, blackbox_step=2e-4, nominal_exponent=0.1)


BLACKBOX_THETA = jax.tree.map(
    lambda leaf: leaf + 0.3, lopt.init_meta_parameters(jax.random.key(1), lopt.BLACKBOX)
)._replace(momentum_offsets=jnp.zeros(3), rms_offsets=jnp.zeros(1), adafactor_offsets=jnp.zeros(3))


# AggMo: test_linearize has its joint map.
OPTIMIZERS = {
    "heavy ball": (optax.sgd(0.02, 0.9), None),
    "nesterov": (optax.sgd(0.02, 0.9, nesterov=True), None),
    "blackbox": (
        lopt.star(BLACKBOX_THETA, lopt.BLACKBOX, fused=False),
        star_blackbox(BLACKBOX_THETA, lopt.BLACKBOX),
    ),
    "adam": (optax.adam(0.02), None),
    "clipped": (optax.chain(optax.clip_by_global_norm(0.01), optax.sgd(10.0)), None),
    "star": (lopt.star(THETA, CONFIG, fused=False), star_blackbox(THETA, CONFIG)),
}


def network_loss(params, batch):
    inputs, targets = batch
    return jnp.mean((jnp.tanh(inputs @ params["w"]) @ params["v"] - targets) ** 2)


@jax.jit
def task(seed):
    """A 3-4-2 tanh network on random data: 20 parameters."""
    keys = jax.random.split(jax.random.key(seed), 4)
    shapes = {"w": (3, 4), "v": (4, 2)}
    params = {n: jax.random.normal(k, s) for k, (n, s) in zip(keys, shapes.items(), strict=False)}
    return params, tuple(
        jax.random.normal(k, (8, d)) for k, d in zip(keys[2:], (3, 2), strict=True)
    )


@functools.partial(jax.jit, static_argnums=(0, 3))
def dense(name, params, batch, steps):
    """The point after `steps` steps, and there dense float32 matrices: H, and the derivatives of
    update, float state and blackbox part with respect to parameters, gradient and float state.
    """
    transformation, blackbox = OPTIMIZERS[name]
    step = update_map(transformation, network_loss, batch)
    carry = params, transformation.init(params)
    params, state = jax.lax.fori_loop(0, steps, lambda _, c: step(*c), carry)
    leaves, structure = jax.tree.flatten(state)
    floats = [x for x in leaves if is_float(x)]
    gradient = jax.grad(network_loss)(params, batch)
    point, unravel = ravel_pytree((params, gradient, floats))
    at, unravel_params = ravel_pytree(params)

    def answer(vector):
        p, g, values = unravel(vector)
        values = iter(values)
        merged = [next(values) if is_float(x) else x for x in leaves]
        full = jax.tree.unflatten(structure, merged)
        updates, new = transformation.update(g, full, p)
        part = blackbox.update(g, full, p)[0] if blackbox else updates
        kept = [x for x in jax.tree.leaves(new) if is_float(x)]
        return ravel_pytree((updates, kept, part))[0]

    hessian = jax.hessian(lambda v: network_loss(unravel_params(v), batch))(at)
    return (params, state), hessian, jax.jacfwd(answer)(point)


def is_float(leaf):
    return jnp.issubdtype(leaf.dtype, jnp.floating)


def matrices(H, derivative):
    """J, M = -du/dg and P by the chain rule, in float64."""
    n = len(H)
    d = derivative.astype(np.float64)
    by_params, by_gradient, by_state = d[:, :n], d[:, n : 2 * n], d[:, 2 * n :]
    rows = len(d) - n
    J = np.hstack([by_params + by_gradient @ H, by_state])[:rows]
    J[:n, :n] += np.eye(n)
    return J, -by_gradient[:n], -by_gradient[rows:]


def close(value, exact, slack) -> None:
    """A number called converged is within its error; one that is not says so by its error."""
    if value.converged:
        assert abs(value.value - exact) <= value.error + slack


def within(estimate, matrix, slack) -> None:
    exact = np.linalg.eigvals(matrix)
    for theta, residual, error, sure in zip(
        estimate.values, estimate.residuals, estimate.errors, estimate.converged, strict=True
    ):
        if sure:
            assert np.abs(exact - theta).min() <= error + slack * max(1.0, error / residual)


# Heavy ball stands for Nesterov here; of Blackbox, test_star_response has the same numbers.
IN_BRIEF = ("heavy ball", "adam", "clipped", "star")


@pytest.mark.parametrize(
    "name",
    [
        name if name in IN_BRIEF else pytest.param(name, marks=pytest.mark.thorough)
        for name in OPTIMIZERS
    ],
)
@given(seed=st.integers(0, 10**6))
@settings(max_examples=4)
def test_every_converged_number_is_within_its_error_of_the_dense_one(name, seed) -> None:
    transformation, blackbox = OPTIMIZERS[name]
    start, batch = task(seed)
    (params, state), hessian, derivative = jax.device_get(dense(name, start, batch, 6))
    assert np.isfinite(derivative).all()
    H = hessian.astype(np.float64)
    J, M, P = matrices(H, derivative)
    n, unit = len(H), np.finfo(np.float32).eps
    seen = inspect(
        transformation, network_loss, params, state, batch, blackbox=blackbox, settings=SETTINGS
    )
    h = np.linalg.eigvalsh((H + H.T) / 2)
    rounding = 8 * unit * np.abs(h).max()
    close(seen.sharpness, h[-1], rounding)
    close(seen.smallest_curvature, h[0], rounding)
    assert seen.sharpness.converged
    # Sixteen units of rounding of the matrices that the dense side is made of.
    size = 16 * unit * np.linalg.norm(M, 2)
    extremes = np.linalg.eigvalsh((M + M.T) / 2)
    close(seen.response.smallest, extremes[0], size)
    close(seen.response.largest, extremes[-1], size)
    close(seen.response.asymmetry, np.linalg.norm((M - M.T) / 2, 2), size)
    within(seen.frozen, J[:n, :n], 16 * unit * np.linalg.norm(J[:n, :n], 2))
    within(seen.product, M @ H, 16 * unit * np.linalg.norm(M, 2) * np.linalg.norm(H, 2))
    within(seen.joint, J, 64 * unit * np.abs(np.linalg.eigvals(J)).max())
    assert seen.frozen.converged.any()
    assert seen.preconditioned_sharpness.converged
    nominal = M
    if blackbox is not None:
        close(seen.blackbox.smallest, np.linalg.eigvalsh((P + P.T) / 2)[0], size)
        close(seen.blackbox.largest, np.linalg.eigvalsh((P + P.T) / 2)[-1], size)
        close(seen.blackbox.asymmetry, np.linalg.norm((P - P.T) / 2, 2), size)
        nominal = M - P
    median = np.median(np.diag(nominal))
    if name == "clipped":  # clipping couples all weights, so that alpha is an estimate
        assert seen.steps.off_diagonal > 0.01
    else:
        assert (name == "star") == (seen.steps.off_diagonal > 1e-4)
        slack = seen.steps.off_diagonal + 1e-5
        assert abs(seen.steps.median - median) <= slack * np.abs(np.diag(nominal)).max()
    assert seen.held == 0
    json.dumps(seen.to_json(), allow_nan=False)


def quadratic(params, curvature):
    return params @ curvature @ params / 2


@functools.lru_cache
def linear_optimizer(size: int):
    """phi' = phi - (alpha g + P g), with alpha and P in the hidden state, and P's part alone."""

    def init(params):
        return {"P": jnp.zeros((size, size)), "alpha": jnp.zeros(())}

    def whole(g, state, params=None):
        return -(state["alpha"] * g + state["P"] @ g), state

    def part(g, state, params=None):
        return -state["P"] @ g, state

    return optax.GradientTransformation(init, whole), optax.GradientTransformation(init, part)


@given(seed=st.integers(0, 10**6), symmetric=st.booleans())
@settings(max_examples=15)
def test_the_margins_are_those_of_nqm_on_the_same_matrices(seed, symmetric) -> None:
    rng = np.random.default_rng(seed)
    g = rng.standard_normal((6, 6))
    H = (g @ g.T / 6 + 0.1 * np.eye(6)).astype(np.float32).astype(np.float64)
    H = (H + H.T) / 2
    P = rng.standard_normal((6, 6)) * rng.uniform(0.01, 0.3)
    P = ((P + P.T) / 2 if symmetric else P).astype(np.float32).astype(np.float64)
    alpha = float(np.float32(rng.uniform(0, 1)))
    optimizer, blackbox = linear_optimizer(6)
    state = {"P": jnp.asarray(P, jnp.float32), "alpha": jnp.float32(alpha)}
    seen = inspect(
        optimizer,
        quadratic,
        jnp.ones(6),
        state,
        jnp.asarray(H, jnp.float32),
        blackbox=blackbox,
        settings=SETTINGS,
    )
    theirs, ours = nqm.theorem1(H, P, alpha), seen.theorem1
    assert ours.condition.applies == theirs.applies == symmetric
    if symmetric:
        assert ours.converged
        assert abs(ours.condition.margin - theirs.margin) <= ours.error + 1e-5
        assert seen.theorem1.condition.lower == pytest.approx(theirs.lower, rel=1e-4)
        assert seen.theorem1.condition.largest == pytest.approx(theirs.largest, abs=1e-4)
    else:
        assert "not symmetric" in ours.condition.reason
        assert "does not apply" in seen.text()
    prime = nqm.theorem1_prime(H, P, alpha)
    assert seen.theorem1_prime.converged
    assert abs(seen.theorem1_prime.condition.margin - prime.margin) <= (
        seen.theorem1_prime.error + 1e-5
    )
    assert seen.steps.median == pytest.approx(alpha, abs=1e-5)


DESCENT, TRACES, LOOK = optax.sgd(0.5), [], InspectSettings(joint=True)


def counted(params, curvature):
    """The quadratic; counts how often it is traced."""
    TRACES.append(1)
    return quadratic(params, curvature)


def look(curvatures, **options):
    """Gradient descent with step 1/2 on diag(curvatures), compiled once for all."""
    params = jnp.ones(3)
    H = jnp.diag(jnp.array(curvatures))
    return inspect(DESCENT, counted, params, DESCENT.init(params), H, settings=LOOK, **options)


def test_an_indefinite_hessian_is_outside_the_theorems() -> None:
    seen = look([1.0, 2.0, -0.5])
    for margin in (seen.theorem1, seen.theorem1_prime):
        assert not margin.condition.applies
        assert not margin.condition.holds
        assert "negative eigenvalue -0.5" in margin.condition.reason


def test_normalized_sharpness_is_that_of_cohen_et_al() -> None:
    """Adam while the gradient stays (1, 1), as its step is tiny: P = 1, so P^-1 H = H.

    What the response of v adds is (1 - b2)/(1 - b2^t)/(1 - b1) after t steps, 0.011 here.
    """
    step, b1 = 1e-7, 0.9
    optimizer = optax.adam(step, b1=b1, eps=0.0)
    H = jnp.diag(jnp.array([1.0, 4.0]))

    @jax.jit
    def train(params):
        update = update_map(optimizer, quadratic, H)
        carry = params, optimizer.init(params)
        return jax.lax.fori_loop(0, 3000, lambda _, c: update(*c), carry)

    params, state = train(jnp.array([1.0, 0.25]))
    seen = inspect(optimizer, quadratic, params, state, H)
    assert seen.preconditioned_sharpness.converged
    assert seen.normalized_sharpness(step, b1) == pytest.approx(4.0, rel=0.03)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=10)
def test_an_elementwise_response_of_both_signs_needs_no_transpose(seed) -> None:
    rng = np.random.default_rng(seed)
    g = rng.standard_normal((6, 6))
    H = ((g + g.T) / 2).astype(np.float32)
    M = np.diag(rng.standard_normal(6)).astype(np.float32)
    optimizer, _ = linear_optimizer(6)
    state = {"P": jnp.asarray(M), "alpha": jnp.float32(0)}
    seen = inspect(optimizer, quadratic, jnp.ones(6), state, jnp.asarray(H))
    size = np.linalg.norm(M, 2) * np.linalg.norm(H, 2)
    within(seen.product, M.astype(float) @ H, 16 * np.finfo(np.float32).eps * size)
    assert seen.product.converged.any()
    assert seen.response.smallest.value == pytest.approx(np.diag(M).min(), rel=1e-5)
    assert seen.response.largest.value == pytest.approx(np.diag(M).max(), rel=1e-5)
    assert seen.response.asymmetry.value == 0


def test_few_vectors_are_flagged() -> None:
    optimizer, size = optax.sgd(0.1), 40
    H = jnp.diag(jnp.linspace(0.1, 1.0, size))
    few = InspectSettings(hessian_vectors=2, vectors=2, tolerance=1e-3)
    params = jnp.ones(size)
    seen = inspect(optimizer, quadratic, params, optimizer.init(params), H, settings=few)
    assert not seen.sharpness.converged
    assert not seen.preconditioned_sharpness.converged
    assert seen.joint is None
    assert seen.to_json()["joint"] is None
    assert np.isnan(seen.radius.value)
    assert "(not converged)" in seen.text()
    assert not seen.theorem1.converged


def test_a_second_inspection_does_not_compile_and_the_window_is_measured() -> None:
    window = jnp.tile(jnp.diag(jnp.array([1.0, 2.0, 5.0])), (10, 1, 1))
    look([1.0, 2.0, 4.0], batches=window)
    before = len(TRACES)
    seen = look([1.0, 2.0, 5.0], batches=window)
    assert len(TRACES) == before
    assert seen.radius.value == pytest.approx(1.5, abs=1e-4)
    assert seen.growth.late == pytest.approx(np.log(1.5), abs=1e-2)
    assert "growth" in seen.text()
    assert seen.to_json()["growth"]["steps"] == 10


def test_the_picture_shows_every_value_and_needs_matplotlib(monkeypatch) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    seen = look([1.0, 2.0, 5.0])
    axes = seen.plot()
    shown = sum(len(c.get_offsets()) for c in axes.collections)
    assert shown == len(seen.joint.values) + len(seen.frozen.values)
    assert axes.get_xlim()[0] < -1.5
    matplotlib.pyplot.close("all")
    empty = types.ModuleType("matplotlib")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", empty)
    monkeypatch.delitem(__import__("sys").modules, "matplotlib.pyplot")
    with pytest.raises(ValueError, match=r"pip install 'nqm-lopt\[figures\]'"):
        seen.plot()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vectors": 0}, "vectors must be at least 1"),
        ({"sweeps": 1}, "sweeps must be at least 2"),
        ({"tolerance": 0.0}, "tolerance must be positive"),
    ],
)
def test_bad_settings_are_refused(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        InspectSettings(**change)


def test_the_blackbox_optimizer_is_all_blackbox() -> None:
    assert star_blackbox(THETA, lopt.HYPERPARAM) is None

    @jax.jit
    def both(gradient):
        whole = lopt.star(THETA, lopt.BLACKBOX, fused=False)
        state = whole.init(gradient)
        part = star_blackbox(THETA, lopt.BLACKBOX)
        return [o.update(gradient, state, gradient)[0] for o in (whole, part)]

    np.testing.assert_array_equal(*both(jnp.arange(3.0)))


def test_the_blackbox_part_of_a_normalized_update() -> None:
    """The update by both terms divides the blackbox term by the root mean square of their sum."""
    normalized = dataclasses.replace(CONFIG, normalize_update=True, normalized_step=0.5)

    @jax.jit
    def first(g):
        each = [lopt.star(THETA, CONFIG, fused=False)]
        each += [star_blackbox(THETA, config) for config in (CONFIG, normalized)]
        return [o.update(g, each[0].init(g), g)[0] for o in each]

    whole, part, seen = first(jnp.arange(3.0))
    np.testing.assert_allclose(seen, 0.5 * part / jnp.sqrt(jnp.mean(whole**2)), rtol=1e-5)
