"""Every optimizer of optax: its numbers are those of dense Jacobians, or one line says why not."""

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest
from jax.flatten_util import ravel_pytree

from lopt.monitor import InspectSettings, inspect, update_map
from lopt.monitor.derivatives.step import informed_update
from tests.lopt.monitor.test_wrapped import agrees, bowl, within

SETTINGS = InspectSettings(vectors=8, hessian_vectors=8)
# One of each kind; the others take minutes to compile.
IN_BRIEF = ("adam", "lamb", "polyak_sgd", "lbfgs", "lion", "rprop", "set_to_zero")


@functools.cache
def optimizers():
    """Every function of optax and of optax.contrib that makes an optimizer of nothing or of a
    learning rate.
    """
    found = {}
    for module in (optax, optax.contrib):
        for name in dir(module):
            make = getattr(module, name)
            if name.startswith("_") or not callable(make) or isinstance(make, type):
                continue
            for given in ({}, {"learning_rate": 0.1}):
                try:
                    with warnings.catch_warnings(action="ignore"):
                        made = make(**given)
                except Exception:
                    continue
                if isinstance(made, optax.GradientTransformation):
                    found.setdefault(name, made)
    return found


def problem():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((8, 8))
    params = {"w": jnp.float32(rng.standard_normal((3, 2))), "b": jnp.float32([0.5, -1.0])}
    return params, jnp.float32(root @ root.T / 8 + 0.1 * np.eye(8))


@pytest.mark.parametrize(
    "name",
    [n if n in IN_BRIEF else pytest.param(n, marks=pytest.mark.thorough) for n in optimizers()],
)
def test_the_numbers_are_those_of_dense_jacobians_or_one_line_says_why(name) -> None:
    optimizer, (params, curvature) = optimizers()[name], problem()
    step = jax.jit(update_map(optimizer, bowl, curvature))
    state = optimizer.init(params)
    for _ in range(2):
        params, state = step(params, state)
    try:
        seen = inspect(optimizer, bowl, params, state, curvature, settings=SETTINGS)
    except ValueError as error:
        message = str(error)
        assert message.startswith("lopt cannot differentiate this optimizer's update: ")
        assert "\n" not in message
        return
    M, A = dense(optimizer, params, state, curvature)
    if not M.any():
        assert ("piecewise constant" in seen.text()) != ("does not depend on" in seen.text())
        assert seen.flat == 0 or not seen.response.largest.converged
        return
    agrees(seen.response, M)
    within(seen.product, M @ np.float64(curvature))
    within(seen.frozen, A)
    assert seen.frozen.converged.any()


def dense(optimizer, params, state, curvature):
    """M = -du/dg, and A = I + du/dparams - M H, where the value of the loss moves, too."""
    at, unravel = ravel_pytree(params)
    update = informed_update(optimizer, bowl, curvature)
    value, gradient = jax.value_and_grad(lambda p: bowl(unravel(p), curvature))(at)

    def moved(g, p, value):
        return ravel_pytree(update(unravel(g), state, unravel(p), value)[0])[0]

    by_gradient, by_params, by_value = jax.device_get(
        jax.jit(jax.jacfwd(moved, (0, 1, 2)))(gradient, at, value)
    )
    M = -np.float64(by_gradient)
    drift = by_params + np.outer(by_value, gradient)
    return M, np.eye(len(M)) + drift - M @ np.float64(curvature)
