"""The response of an optimizer that has `lopt.star` inside, with STAR's own written by hand.

STAR's update is traced with `star_response` as its derivative in the place of that of its program,
so that JAX differentiates only what a wrapper adds: clipping, weight decay, masks, conditions.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.custom_derivatives import SymbolicZero
from jax.flatten_util import ravel_pytree

from lopt.keys import random_key
from lopt.monitor.derivatives.joint import random_signs
from lopt.monitor.derivatives.step import (
    Batch,
    Loss,
    LossDerivative,
    Params,
    State,
    informed_update,
)
from lopt.optimizers.parts.response import Moved
from lopt.optimizers.parts.state import StarState
from lopt.optimizers.star_response import StarResponse, star_response
from lopt.optimizers.star_update import MetaParameters, StarConfig, make_star, stand_in

__all__ = ["WrappedResponse", "stars_inside", "wrapped_response"]

# The part of STAR's update that responds.
Part = Literal["update", "blackbox", None]
Map = Callable[[Params], Params]


def stars_inside(
    transformation: optax.GradientTransformation,
    loss: Loss,
    params: Params,
    state: State,
    batch: Batch,
) -> tuple[StarConfig, ...]:
    """The configurations of the updates of `lopt.star` that an update calls."""
    is_star = lambda node: isinstance(node, StarState)  # noqa: E731
    if not any(map(is_star, jax.tree.leaves(state, is_leaf=is_star))):
        return ()
    found = []

    def noted(_: Any, config: StarConfig, gradient: Any, state: Any, params: Any) -> Any:
        found.append(config)
        return gradient, state

    update = informed_update(transformation, loss, batch)
    with stand_in(noted):
        jax.eval_shape(update, params, state, params, jnp.zeros(()))
    return tuple(found)


@dataclass(frozen=True)
class WrappedResponse:
    """What `StarResponse` is for STAR alone: dgradient -> dupdate, dblackbox, trees.

    Attributes
    ----------
    update, blackbox : callable
        The derivatives by the gradient of the update, and of it if only STAR's blackbox term moves.
    diagonal : Moved
        What the entries make of themselves while the means in STAR's features are held fixed; exact
        where the rest is elementwise, else by random signs.
    by_params : callable
        dparams -> dupdate.
    """

    update: Map
    blackbox: Map
    diagonal: Moved
    by_params: Map

    def __call__(self, by_gradient: Params) -> Moved:
        """Return the changes of the update and of its blackbox part."""
        return Moved(self.update(by_gradient), self.blackbox(by_gradient))

    def elementwise(self) -> Moved:
        """The diagonal."""
        return self.diagonal


def wrapped_response(
    transformation: optax.GradientTransformation,
    loss: Loss,
    params: Params,
    state: State,
    batch: Batch,
    at: LossDerivative,
    seed: int,
) -> WrappedResponse:
    """The derivative of an update at a hidden state, by the gradient and by the parameters."""
    update, once = informed_update(transformation, loss, batch), _Once()
    flat, unravel = ravel_pytree(params)
    signs = unravel(random_signs(random_key(seed), flat))

    def linear(part: Part, *, elementwise: bool = False) -> Map:
        with stand_in(_by_hand(once, part, elementwise=elementwise)):
            return jax.linearize(lambda g: update(g, state, params, at.value)[0], at.gradient)[1]

    def blackbox(*, elementwise: bool = False) -> Map:
        moved, still = linear("blackbox", elementwise=elementwise), linear(None)
        return lambda v: jax.tree.map(jnp.subtract, moved(v), still(v))

    def diagonal(apply: Map) -> Params:
        return jax.tree.map(jnp.multiply, signs, apply(signs))

    def informed(p: Params) -> Params:
        away = jax.tree.map(lambda g, a, b: jnp.vdot(g, a - b), at.gradient, p, params)
        return update(at.gradient, state, p, at.value + sum(jax.tree.leaves(away)))[0]

    with stand_in(_by_hand(once, "update")):
        by_params = jax.linearize(informed, params)[1]
    return WrappedResponse(
        update=linear("update"),
        blackbox=blackbox(),
        diagonal=Moved(
            diagonal(linear("update", elementwise=True)), diagonal(blackbox(elementwise=True))
        ),
        by_params=by_params,
    )


class _Once:
    """`star_response`, computed once for the same arrays: it takes most of the time to compile.

    Where nothing comes before STAR, all derivatives are at the same arrays.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[int, ...], tuple[Any, StarResponse]] = {}

    def __call__(self, theta: Any, config: StarConfig, *arrays: Any) -> StarResponse:
        leaves = jax.tree.leaves((theta, arrays))
        key = tuple(map(id, leaves))
        if key not in self._made:
            self._made[key] = leaves, star_response(theta, config, *arrays)
        return self._made[key][1]


def _by_hand(once: "_Once", part: Part, *, elementwise: bool = False) -> Callable[..., Any]:
    """What stands in for STAR's update: the same, with the derivative of this part of it."""

    def stand(
        theta: MetaParameters, config: StarConfig, gradient: Any, state: StarState, params: Any
    ) -> tuple[Any, StarState]:
        # Constants may be traced; a derivative rule must not close over them.
        traced = {f.name: getattr(config, f.name) for f in fields(config)}
        traced = {name: value for name, value in traced.items() if isinstance(value, Array)}
        fixed = theta, traced, state

        def whole(gradient: Any, params: Any, fixed: Any) -> tuple[Any, StarState]:
            theta, traced, state = fixed
            with stand_in(None):
                star = make_star(theta, replace(config, **traced), fused=False)
                return star.update(gradient, state, params)

        @jax.custom_jvp
        def step(gradient: Any, params: Any, fixed: Any) -> Any:
            return whole(gradient, params, fixed)[0]

        def rule(primals: Any, tangents: Any) -> tuple[Any, Any]:
            gradient, params, (theta, traced, state) = primals
            by_gradient, by_params, _ = tangents
            constants = replace(config, **traced)
            response = once(theta, constants, params, gradient, state)
            moved = jax.tree.map(jnp.zeros_like, gradient)
            if part and _moves(by_gradient):
                along = _filled(by_gradient)
                if elementwise:
                    own = getattr(response.elementwise(), part)
                    moved = jax.tree.map(jnp.multiply, own, along)
                else:
                    moved = getattr(response(along), part)
            if part and _moves(by_params):
                own, pairs = response.by_parameters()
                along = _filled(by_params)
                terms = [jax.tree.map(lambda a, p: (a - constants.weight_decay) * p, own, along)]
                terms += [jax.tree.map(_rank_one, b, c, along) for b, c in pairs]
                moved = jax.tree.map(lambda *leaves: sum(leaves), moved, *terms)
            updates = step(*primals)
            return updates, jax.tree.map(lambda m, u: m.astype(u.dtype), moved, updates)

        step.defjvp(rule, symbolic_zeros=True)
        held = jax.lax.stop_gradient((gradient, params))
        return step(gradient, params, fixed), whole(*held, fixed)[1]

    return stand


def _rank_one(b: Array, c: Array, change: Array) -> Array:
    return b * jnp.vdot(c, change, precision="highest")


def _moves(tangents: Any) -> bool:
    return not all(isinstance(t, SymbolicZero) for t in _leaves(tangents))


def _filled(tangents: Any) -> Any:
    """Zeros for symbolic ones."""
    return jax.tree.map(
        lambda t: jnp.zeros(t.shape, t.dtype) if isinstance(t, SymbolicZero) else t,
        tangents,
        is_leaf=lambda t: isinstance(t, SymbolicZero),
    )


def _leaves(tangents: Any) -> list[Any]:
    return jax.tree.leaves(tangents, is_leaf=lambda t: isinstance(t, SymbolicZero))
