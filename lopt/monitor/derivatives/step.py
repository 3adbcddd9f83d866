"""One optimizer step taken apart: gradient of the loss, update as a map of that gradient."""

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from lopt.arrays import flat_vector

__all__ = ["StepDerivative", "informed_update", "linearize_step"]

Params = Any
State = Any
Batch = Any
Loss = Callable[[Params, Batch], Array]


class Response(NamedTuple):
    """The outputs of a step: the update, the next float state, the blackbox part's update."""

    update: Array
    state: Array
    blackbox: Array


class Cause(NamedTuple):
    """What a step depends on: parameters, gradient, float state."""

    params: Array
    gradient: Array
    state: Array


class StepDerivative(NamedTuple):
    """The derivatives of one step (params, state) -> (params + u(params, g, state), state').

    Attributes
    ----------
    hessian : callable, (n,) -> (n,)
        v -> H v.
    tree_hessian : callable
        The same for trees of the structure of the parameters, without copying them together.
    unravel : callable
        A flat vector as such a tree.
    forward : callable, Cause -> Response
        The derivative of u, of state' and of the blackbox part's u. The loss value, which some
        transformations read, moves with the parameters.
    backward : callable, Response -> Cause
        Its transpose.
    params, state, gradient : Array, shapes (n,), (m,), (n,)
        The point: flat parameters, the float leaves of the state, the gradient.
    successor : Array, shape (n + m,)
        The parameters and the float state after the step.
    scale : Array, shape (n + m,)
        The root mean square of each leaf, see `leaf_scale`.
    loss : Array, shape ()
    """

    hessian: Callable[[Array], Array]
    tree_hessian: Callable[[Params], Params]
    unravel: Callable[[Array], Params]
    forward: Callable[[Cause], Response]
    backward: Callable[[Response], Cause]
    params: Array
    state: Array
    gradient: Array
    successor: Array
    scale: Array
    loss: Array


def linearize_step(
    transformation: optax.GradientTransformation,
    loss: Loss,
    params: Params,
    state: State,
    batch: Batch,
    blackbox: optax.GradientTransformation | None = None,
) -> StepDerivative:
    """The derivatives of one step at one point, each taken once; products are what costs then.

    Kept apart, the Hessian and the response of the update serve every map built from the two, and
    the transposed step needs no transposed Hessian. `blackbox` is run on the same state; what it
    shares with `transformation` is computed once after XLA has merged equal expressions.

    Raises
    ------
    ValueError
        If a leaf of `params` is not real floating point, or there is none.
    """
    require_float(params)
    split = split_state(state)
    floats = [off_zero(leaf) for leaf in split.floats]
    at, unravel = flat_vector(params), ravel_pytree(params)[1]
    hidden, unravel_state = flat_vector(floats), ravel_pytree(floats)[1]
    update = informed_update(transformation, loss, batch)
    partial = informed_update(blackbox, loss, batch) if blackbox else None

    slope = linearize_loss(loss, params, batch)
    value, gradient = slope.value, flat_vector(slope.gradient)

    def respond(p: Array, g: Array, value: Array, s: Array) -> Response:
        grad, full, where = unravel(g), split.join(unravel_state(s)), unravel(p)
        updates, after = update(grad, full, where, value)
        part = flat_vector(partial(grad, full, where, value)[0]) if partial else jnp.zeros(0)
        return Response(flat_vector(updates), flat_vector(split_state(after).floats), part)

    point = (at, gradient, value, hidden)
    answer, tangent = jax.linearize(respond, *point)
    cotangent = jax.linear_transpose(tangent, *point)

    def forward(cause: Cause) -> Response:
        given = (cause.params, cause.gradient, jnp.vdot(gradient, cause.params), cause.state)
        return tangent(*(x.astype(at.dtype) for x, at in zip(given, point, strict=True)))

    def backward(response: Response) -> Cause:
        cast = [x.astype(at.dtype) for x, at in zip(response, answer, strict=True)]
        p, g, v, s = cotangent(Response(*cast))
        return Cause(p + v * gradient, g, s)

    successor = flat_vector((at + answer.update, answer.state))
    after = unravel(at + answer.update), unravel_state(answer.state)
    before = params, unravel_state(hidden)
    return StepDerivative(
        hessian=lambda v: flat_vector(slope.hessian(unravel(v))),
        tree_hessian=slope.hessian,
        unravel=unravel,
        forward=forward,
        backward=backward,
        params=at,
        state=hidden,
        gradient=gradient,
        successor=successor,
        scale=leaf_scale(before, after),
        loss=value,
    )


def informed_update(
    transformation: optax.GradientTransformation, loss: Loss, batch: Batch
) -> Callable[[Params, State, Params, Array], tuple[Params, State]]:
    """(gradient, state, params, value) -> (update, state'), told as much of the loss as it takes.

    Of optax's extra arguments those are `value`, `grad` and `value_fn`, and `grad_fn` where the
    update names it: a line search passes on what it does not know to `value_fn`.
    """
    update = optax.with_extra_args_support(transformation).update
    taken = signature(update).parameters
    everything = any(p.kind is Parameter.VAR_KEYWORD for p in taken.values())

    def apply(gradient: Params, state: State, params: Params, value: Array) -> tuple[Params, State]:
        known = {
            "value": value,
            "grad": gradient,
            "value_fn": lambda p: loss(p, batch),
            "grad_fn": lambda p, _: jax.grad(loss)(p, batch),
        }
        told = {
            name: known[name]
            for name in known
            if name in taken or (everything and name != "grad_fn")
        }
        return update(gradient, state, params, **told)

    return apply


class LossDerivative(NamedTuple):
    """The loss at a point, its gradient, and v -> H v; trees of the structure of the parameters."""

    value: Array
    gradient: Params
    hessian: Callable[[Params], Params]


def linearize_loss(loss: Loss, params: Params, batch: Batch) -> LossDerivative:
    """The first two derivatives of the loss, the gradient linearized once."""
    (value, gradient), tangent = jax.linearize(lambda p: jax.value_and_grad(loss)(p, batch), params)
    return LossDerivative(value, gradient, lambda v: tangent(v)[1])


class SplitState(NamedTuple):
    """The float leaves of a state, and the state as a function of them."""

    floats: list[Array]
    join: Callable[[list[Array]], State]


def is_float(leaf: Any) -> bool:
    """Whether a leaf is real floating point."""
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def split_state(state: State) -> SplitState:
    """The float leaves of a state, and the state as a function of them."""
    leaves, structure = jax.tree.flatten(state)
    places = [i for i, leaf in enumerate(leaves) if is_float(leaf)]

    def join(floats: list[Array]) -> State:
        replaced = dict(zip(places, floats, strict=True))
        merged = [replaced.get(i, leaf) for i, leaf in enumerate(leaves)]
        return jax.tree.unflatten(structure, merged)

    return SplitState([jnp.asarray(leaves[i]) for i in places], join)


def off_zero(leaf: Array) -> Array:
    """`leaf` with 1e-20 in place of exact zeros, see `joint_operator`."""
    tiny = max(1e-20, float(jnp.finfo(leaf.dtype).tiny))
    return jnp.where(leaf == 0, jnp.asarray(tiny, leaf.dtype), leaf)


def leaf_scale(*trees: Any) -> Array:
    """The root mean square of each leaf over equal trees, one value for all its entries.

    A leaf of zeros gets 1. The step's result counts as well as its start: at the first step the
    hidden state is zero, and what the step makes of it shows its size.
    """

    def spread(*leaves: Array) -> Array:
        size = jnp.sqrt(jnp.mean(jnp.square(jnp.stack(leaves))))
        return jnp.full_like(leaves[0], jnp.where((size > 0) & jnp.isfinite(size), size, 1.0))

    return flat_vector(jax.tree.map(spread, *trees))


def common_length(batches: Batch, least: int) -> int:
    """The length of the leading axis that all batches share.

    Raises
    ------
    ValueError
        If the lengths differ, or there are fewer than `least`.
    """
    lengths = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(batches)}
    length = min(lengths, default=())
    if len(lengths) != 1 or not length or length[0] < least:
        raise ValueError(
            f"batches must share one leading axis of at least {least} step{'s' * (least > 1)}; its "
            f"lengths are {sorted(lengths)}. Stack the batches with "
            "jax.tree.map(lambda *b: jnp.stack(b), ...)."
        )
    return int(length[0])


def require_float(params: Params) -> None:
    """Raise if there are no parameters, or if they are not float32 or float64."""
    if not sum(jnp.size(leaf) for leaf in jax.tree.leaves(params)):
        raise ValueError(
            "params must hold at least one number; it holds none. Pass the tree that is trained."
        )
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        name, kind = jax.tree_util.keystr(path) or "itself", jnp.result_type(leaf)
        if not is_float(leaf):
            raise ValueError(
                f"params must be real floating point; leaf {name} is {kind}. Convert it, or keep "
                "it out of params."
            )
        if jnp.finfo(kind).bits < 32:
            raise ValueError(
                f"params must be float32 or float64; leaf {name} is {kind}, of which derivatives "
                "would be rounding. Convert it."
            )
