"""`inspect` of `lopt.star` within the wrappers of optax, against dense matrices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import lopt
from lopt.monitor import InspectSettings, inspect, star_blackbox, update_map
from lopt.monitor.derivatives.wrapped import stars_inside
from lopt.monitor.inspection import inspection
from tests.lopt.monitor.test_inspect import close

# Without a network, which takes most of the time to compile.
PLAIN = lopt.StarConfig(blackbox_term=False, nominal_controller=False, nominal_step=0.05)
THETA = lopt.init_meta_parameters(jax.random.key(0), PLAIN)
STAR = lopt.star(THETA, PLAIN)
SETTINGS = InspectSettings(vectors=9, hessian_vectors=9)


def rated(rate):
    return optax.chain(STAR, optax.scale(rate))


def stepped(step):
    return lopt.star(THETA, dataclasses.replace(PLAIN, nominal_step=step))


WRAPPED = {
    "clipped, scaled, decayed": optax.chain(
        optax.clip_by_global_norm(0.5), STAR, optax.scale(0.7), optax.add_decayed_weights(-0.01)
    ),
    "direction": optax.chain(
        lopt.scale_by_star(THETA, PLAIN),
        optax.add_decayed_weights(0.1),
        optax.scale_by_learning_rate(0.05),
    ),
    "decay of its own": optax.chain(
        lopt.star(THETA, dataclasses.replace(PLAIN, weight_decay=0.1)), optax.scale(0.5)
    ),
    "masked": optax.masked(STAR, {"w": True, "b": False}),
    "multi_transform": optax.multi_transform(
        {"a": STAR, "b": optax.adam(0.02)}, {"w": "a", "b": "b"}
    ),
    "MultiSteps": optax.MultiSteps(STAR, 2).gradient_transformation(),
    "inject_hyperparams": optax.inject_hyperparams(rated)(rate=0.5),
    "injected constant": optax.inject_hyperparams(stepped)(step=0.02),
    "apply_if_finite": optax.apply_if_finite(STAR, 3),
    "jitted": optax.GradientTransformation(STAR.init, jax.jit(STAR.update)),
    "signs beside": optax.multi_transform({"a": STAR, "b": optax.lion(0.02)}, {"w": "a", "b": "b"}),
}


def bowl(params, curvature):
    vector = ravel_pytree(params)[0]
    return vector @ curvature @ vector / 2


def task(shapes):
    """A quadratic loss with an indefinite Hessian."""
    rng = np.random.default_rng(0)
    params = {name: jnp.float32(rng.standard_normal(shape)) for name, shape in shapes.items()}
    root = rng.standard_normal(2 * (ravel_pytree(params)[0].size,))
    return params, jnp.float32(root + root.T)


def matrices(optimizer, blackbox, params, curvature, steps):
    """The point after some steps; M, P and A there from dense derivatives of the program."""

    @jax.jit
    def run(params, curvature):
        step = update_map(optimizer, bowl, curvature)
        carry = params, optimizer.init(params)
        params, state = jax.lax.fori_loop(0, steps, lambda _, c: step(*c), carry)
        at, unravel = ravel_pytree(params)

        def update(one, g, p):
            return ravel_pytree(one.update(unravel(g), state, unravel(p))[0])[0]

        g = ravel_pytree(jax.grad(bowl)(params, curvature))[0]
        by_gradient, by_params = jax.jacfwd(lambda g, p: update(optimizer, g, p), (0, 1))(g, at)
        part = jax.jacfwd(lambda g: update(blackbox, g, at))(g) if blackbox else by_gradient
        return (params, state), by_gradient, by_params, part

    point, by_gradient, by_params, part = jax.device_get(run(params, curvature))
    M, P = -np.float64(by_gradient), -np.float64(part)
    return point, M, P, np.eye(len(M)) + by_params - M @ np.float64(curvature)


def agrees(found, matrix) -> None:
    size = 64 * np.finfo(np.float32).eps * np.linalg.norm(matrix, 2)
    extremes = np.linalg.eigvalsh((matrix + matrix.T) / 2)
    close(found.smallest, extremes[0], size)
    close(found.largest, extremes[-1], size)
    close(found.asymmetry, np.linalg.norm((matrix - matrix.T) / 2, 2), size)


def within(found, matrix) -> None:
    exact, slack = np.linalg.eigvals(matrix), 64 * np.finfo(np.float32).eps
    for value, error, sure in zip(found.values, found.errors, found.converged, strict=True):
        if sure:
            distance = np.abs(exact - value).min()
            assert distance <= 4 * (error + slack * (1 + np.linalg.norm(matrix, 2)))


def looked(optimizer, shapes, steps, monkeypatch, blackbox=None):
    """The inspection, which differentiates no program of STAR."""
    (params, state), M, P, A = matrices(optimizer, blackbox, *(given := task(shapes)), steps)

    def forbidden(*args, **kwargs):
        raise AssertionError("the program of STAR would be differentiated")

    monkeypatch.setattr(inspection, "survey", forbidden)
    seen = inspect(optimizer, bowl, params, state, given[1], settings=SETTINGS)
    agrees(seen.response, M)
    within(seen.product, M @ np.float64(given[1]))
    within(seen.frozen, A)
    assert seen.sharpness.converged
    assert seen.preconditioned_sharpness.converged
    return seen, M, P


# The others share their code with one of these.
IN_BRIEF = ("clipped, scaled, decayed", "MultiSteps", "injected constant", "signs beside")


@pytest.mark.parametrize(
    "name",
    [n if n in IN_BRIEF else pytest.param(n, marks=pytest.mark.thorough) for n in WRAPPED],
)
def test_a_wrapped_star_is_inspected_by_hand_and_right(name, monkeypatch) -> None:
    seen, M, *_ = looked(WRAPPED[name], {"w": (3, 2), "b": (3,)}, 3, monkeypatch)
    assert seen.frozen_radius.converged
    assert seen.flat == (3 if name == "signs beside" else 0)
    assert ("piecewise constant" in seen.text()) == (name == "signs beside")
    assert abs(seen.steps.median - np.median(np.diag(M))) <= (
        (seen.steps.off_diagonal + 1e-5) * np.abs(M).max()
    )


@pytest.mark.slow
def test_so_is_one_with_a_blackbox_term(monkeypatch) -> None:
    config = lopt.StarConfig(nominal_step=0.02, blackbox_step=2e-4, hidden_widths=(2,))
    theta = jax.tree.map(lambda x: x + 0.3, lopt.init_meta_parameters(jax.random.key(1), config))

    def wrapped(part):
        return optax.chain(optax.clip_by_global_norm(0.5), part, optax.scale(0.7))

    star = wrapped(lopt.star(theta, config, fused=False))
    blackbox = wrapped(star_blackbox(theta, config))
    seen, _, P = looked(star, {"b": (4,)}, 3, monkeypatch, blackbox)
    agrees(seen.blackbox, P)
    assert seen.blackbox.largest.converged


@pytest.mark.parametrize("name", WRAPPED)
def test_every_wrapper_steps_and_shows_the_star_inside(name) -> None:
    optimizer, (params, curvature) = WRAPPED[name], task({"w": (3, 2), "b": (3,)})
    state = optimizer.init(params)
    updates, after = jax.eval_shape(optimizer.update, params, state, params)
    assert jax.tree.structure((updates, after)) == jax.tree.structure((params, state))
    assert stars_inside(optimizer, bowl, params, state, curvature)
    assert not stars_inside(optax.adam(0.1), bowl, params, optax.adam(0.1).init(params), curvature)


def test_between_two_steps_nothing_responds_and_the_text_says_so() -> None:
    optimizer, (params, curvature) = WRAPPED["MultiSteps"], task({"w": (3, 2), "b": (3,)})
    seen = inspect(optimizer, bowl, params, optimizer.init(params), curvature, settings=SETTINGS)
    assert seen.flat == 0
    assert seen.frozen_radius.value == pytest.approx(1.0, abs=1e-6)
    assert "does not depend on the gradient here, as between two steps" in seen.text()
