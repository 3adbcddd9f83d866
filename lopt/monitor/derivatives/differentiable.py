"""Why a training step cannot be differentiated, and where its derivative is uninformative."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from lopt.arrays import flat_vector
from lopt.monitor.derivatives.step import (
    Batch,
    Cause,
    Loss,
    Params,
    State,
    informed_update,
    linearize_loss,
    linearize_step,
)
from lopt.programs import equations

__all__ = ["obstacle", "piecewise_constant"]

# How far the gradient is moved, in its own length and backwards.
FAR = 100.0


def obstacle(
    transformation: optax.GradientTransformation,
    loss: Loss,
    params: Params,
    state: State,
    batch: Batch,
) -> str:
    """Which part of a step has no derivative, or none that can be transposed, and why; empty where
    loss and update have one, and where the loss cannot even be evaluated.
    """
    if _failure(lambda p: loss(p, batch), params):
        return ""

    def slope(p: Params) -> Params:
        return linearize_loss(loss, p, batch).hessian(p)

    def update(gradient: Params, hidden: State) -> Params:
        return updates(transformation, loss, params, hidden, batch, gradient)

    def transposed(p: Params) -> Cause:
        step = linearize_step(transformation, loss, p, state, batch)
        return step.backward(step.forward(Cause(step.params, step.gradient, step.state)))

    cause = _failure(slope, params)
    if cause:
        return (
            f"lopt cannot differentiate the loss twice: {cause} Write it with lax.scan, or with "
            "functions that have derivatives."
        )
    cause = _failure(lambda g: update(g, state), params)
    if cause:
        return f"lopt cannot take a step of this optimizer: {cause}"
    cause = _failure(transposed, params)
    if not cause:
        return ""
    if _loops(update, params, state):
        cause = "it runs a loop of unknown length, as a line search does."
    return (
        f"lopt cannot differentiate this optimizer's update: {cause} Inspect the optimizer "
        "without that part."
    )


def _failure(function: Any, argument: Any) -> str:
    """What is wrong with tracing a function, at most 100 characters of it; empty if nothing is."""
    try:
        jax.eval_shape(function, argument)
    except Exception as error:
        line = " ".join(str(error).split())
        if line.startswith("Reverse-mode"):
            return "it runs a loop of unknown length, which has no transpose."
        return f"{type(error).__name__}: {line[:120].rstrip('.')}."
    return ""


def _loops(function: Any, *arguments: Any) -> bool:
    """Whether a function runs a loop whose length is not known beforehand."""
    return any(e.primitive.name == "while" for e in equations(jax.make_jaxpr(function)(*arguments)))


def updates(
    transformation: optax.GradientTransformation,
    loss: Loss,
    params: Params,
    state: State,
    batch: Batch,
    gradient: Params,
) -> Params:
    """The update for a gradient that need not be that of the loss."""
    update = informed_update(transformation, loss, batch)
    return update(gradient, state, params, loss(params, batch))[0]


def piecewise_constant(
    transformation: optax.GradientTransformation,
    loss: Loss,
    params: Params,
    state: State,
    batch: Batch,
    still: Array,
) -> Array:
    """In how many coordinates the update is constant nearby and yet another one far away; jittable.

    So is a sign, or a clipped entry. `still` says where the update has the derivative zero: of
    these those are counted whose update a long way along the gradient, backwards, differs. Where
    an update is zero whatever the gradient is, the derivative tells the truth.
    """
    gradient = linearize_loss(loss, params, batch).gradient
    far = jax.tree.map(lambda g: -FAR * g, gradient)
    here, there = (
        flat_vector(updates(transformation, loss, params, state, batch, g)) for g in (gradient, far)
    )
    return jnp.sum(still & (here != there))
