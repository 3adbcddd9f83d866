"""Tasks made of tasks: another gradient, other coordinates, another batch size, other data."""

import math
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lopt.checks import require
from lopt.tasks.family import memberwise
from lopt.tasks.task import Batch, Params, Task

# Keeps the perturbations apart from what the loss draws from the same key.
PERTURBATIONS = 0xE5


def es_gradient(task: Task, pairs: int, sigma: float = 0.01) -> Task:
    """Return the task with its gradient replaced by antithetic evolution strategies.

    The estimate is the mean over `pairs` draws of ``eps (L(phi + eps) - L(phi - eps)) / (2
    sigma^2)`` with ``eps ~ N(0, sigma^2 I)``, all losses on one batch and one key. It is unbiased
    for the gradient of ``E[L(phi + eps)]``, and for that of L where L is quadratic. The loss that
    is reported is the unperturbed one, and `Task.loss` stays as it is, so that its Hessian remains
    the one that the monitor measures.

    Parameters
    ----------
    task
        The inner problem.
    pairs
        Perturbations a step; each costs two losses.
    sigma
        Standard deviation of a perturbation.

    Raises
    ------
    ValueError
        Where `pairs` is below 1, or `sigma` is not positive and finite.

    Examples
    --------
    >>> linear = Task("linear", lambda key: jnp.zeros(1), lambda phi, key, batch: 3.0 * phi[0])
    >>> loss, gradient = es_gradient(linear, pairs=4000).value_and_grad(
    ...     jnp.ones(1), jax.random.key(0), ())
    >>> float(loss), bool(abs(gradient[0] - 3.0) < 0.3)
    (3.0, True)
    """
    require("pairs", pairs, pairs >= 1, "at least 1")
    require("sigma", sigma, 0 < sigma < math.inf, "positive and finite")
    return memberwise(task, lambda member: _with_es(member, pairs, sigma))


def _with_es(task: Task, pairs: int, sigma: float) -> Task:
    def estimate(params: Params, key: jax.Array, batch: Batch) -> tuple[jax.Array, Params]:
        def add(total: Params, drawn: jax.Array) -> tuple[Params, None]:
            noise = _normal_like(params, drawn, sigma)
            above = task.loss(jax.tree.map(jnp.add, params, noise), key, batch)
            below = task.loss(jax.tree.map(jnp.subtract, params, noise), key, batch)
            slope = (above - below) / (2 * sigma**2 * pairs)
            return jax.tree.map(lambda t, e: t + slope * e, total, noise), None

        keys = jax.random.split(jax.random.fold_in(key, PERTURBATIONS), pairs)
        zero = jax.tree.map(jnp.zeros_like, params)
        return task.loss(params, key, batch), jax.lax.scan(add, zero, keys)[0]

    # An exact meta-gradient would be that of the exact gradient.
    return replace(task, estimate=estimate, quadratic=None)


def _normal_like(params: Params, key: jax.Array, sigma: float) -> Params:
    """Independent normal numbers in the shape of the parameters."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    drawn = [
        sigma * jax.random.normal(k, x.shape, x.dtype) for k, x in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, drawn)


def reparametrized(task: Task, scale: Any) -> Task:
    """Return the task in the coordinates ``psi = phi / scale``: the same function of other numbers.

    The initial parameters are divided by the scale, and the loss multiplies it back. The gradient
    is then scale times the old one, so that a step of SGD with the rate ``a / scale^2`` follows
    the old trajectory with the rate a.

    Parameters
    ----------
    task
        The inner problem. A gradient that it estimates in another way, as `es_gradient`, is
        estimated in the old coordinates and carried over by the chain rule.
    scale
        One number, a pytree with a number for each tensor, or one with an array of the tensor's
        shape. It may be traced by JAX.

    Raises
    ------
    ValueError
        Where a scale is not positive and finite, or the pytree does not fit the parameters.

    Examples
    --------
    >>> bowl = Task("bowl", lambda key: jnp.ones(2), lambda phi, key, batch: jnp.sum(phi**2) / 2)
    >>> wide = reparametrized(bowl, 4.0)
    >>> psi = wide.init(jax.random.key(0))
    >>> psi.tolist(), float(wide.loss(psi, jax.random.key(0), ()))
    ([0.25, 0.25], 1.0)
    """
    for leaf in jax.tree.leaves(scale):
        if not isinstance(leaf, jax.core.Tracer):
            values = np.asarray(leaf, np.float64)
            good = bool(np.all((values > 0) & np.isfinite(values)))
            shown = values.item() if values.ndim == 0 else float(values.min())
            require("scale", shown, good, "positive and finite everywhere")
    return memberwise(task, lambda member: _scaled(member, scale))


def _scaled(task: Task, scale: Any) -> Task:
    structure: Any = jax.tree.structure
    whole = structure(scale) == structure(0)

    def scaled(params: Params, divide: bool = False) -> Params:
        if not whole and structure(scale) != structure(params):
            raise ValueError(
                f"scale has the structure {structure(scale)}, but the parameters of {task.name} "
                f"have {structure(params)}; give one number or one for each tensor."
            )
        factors = jax.tree.map(lambda _: scale, params) if whole else scale

        def one(x: jax.Array, factor: Any) -> jax.Array:
            factor = jnp.asarray(factor, x.dtype)
            if factor.shape not in ((), x.shape):
                raise ValueError(
                    f"scale has a tensor of shape {list(factor.shape)} for parameters of shape "
                    f"{list(x.shape)}; give one number or an array of the same shape."
                )
            return x / factor if divide else x * factor

        return jax.tree.map(one, params, factors)

    def init(key: jax.Array) -> Params:
        return scaled(task.init(key), divide=True)

    def loss(params: Params, key: jax.Array, batch: Batch) -> jax.Array:
        return task.loss(scaled(params), key, batch)

    def estimate(params: Params, key: jax.Array, batch: Batch) -> tuple[jax.Array, Params]:
        value, gradient = task.value_and_grad(scaled(params), key, batch)
        return value, scaled(gradient)

    own = None if task.estimate is None else estimate
    return replace(task, init=init, loss=loss, estimate=own, quadratic=None)


def with_batch_size(task: Task, examples: int) -> Task:
    """Return the task with batches of so many examples.

    Examples
    --------
    >>> task = Task("sum", lambda key: jnp.zeros(()), lambda phi, key, batch: jnp.sum(batch),
    ...             data=jnp.ones(7), batch_size=2)
    >>> float(with_batch_size(task, 5).loss(0.0, None, jnp.ones(5)))
    5.0
    >>> with_batch_size(task, 5).sample(jax.random.key(0), task.data).shape
    (5,)
    """
    return memberwise(task, lambda member: replace(member, batch_size=examples))


def with_validation(task: Task, share: float = 0.1) -> Task:
    """Return the task with the last `share` of its examples set apart for validation.

    Inner steps draw from the others, so that a meta-objective on validation examples is measured
    on what no inner step has seen.

    Parameters
    ----------
    task
        A task with data.
    share
        In (0, 1); at least one example is set apart and one is left.

    Raises
    ------
    ValueError
        If the share is outside (0, 1), or the task has fewer than two examples.

    Examples
    --------
    >>> task = Task("sum", lambda key: jnp.zeros(()), lambda phi, key, batch: jnp.sum(batch),
    ...             data=jnp.arange(10.0))
    >>> apart = with_validation(task, 0.2)
    >>> apart.data.tolist(), apart.validation.tolist()
    ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [8.0, 9.0])
    """
    require("share", share, 0 < share < 1, "in (0, 1)")
    if not jax.tree.leaves(task.data) or task.examples < 2:
        raise ValueError(
            f"task {task.name!r} has {task.examples if jax.tree.leaves(task.data) else 'no'} "
            "examples to set apart; validation needs at least 2. Take the objective fresh-batch."
        )
    kept = min(max(1, round(task.examples * (1 - share))), task.examples - 1)
    first = jax.tree.map(lambda x: x[:kept], task.data)
    last = jax.tree.map(lambda x: x[kept:], task.data)
    return replace(task, data=first, validation=last)
