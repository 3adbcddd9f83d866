"""One function at several arguments, compiled once if it is long."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from lopt.arrays import entry, stacked

__all__ = ["is_short", "mapped"]

# Equations up to which a derivative's code is repeated rather than mapped over.
SHORT_PROGRAM = 400


def mapped(apply: Callable, calls: dict[str, tuple[Any, Array]]) -> dict[str, Any]:
    """`apply` to every argument that is active, else zeros, by the names of the calls.

    A long program, such as a learned optimizer's derivative, is compiled once and mapped over the
    arguments; a short one is repeated, which saves stacking them.

    Examples
    --------
    >>> on, off = jnp.array(True), jnp.array(False)
    >>> found = mapped(lambda x: 2 * x, {"a": (jnp.array(1.0), on), "b": (jnp.array(3.0), off)})
    >>> float(found["a"]), float(found["b"])
    (2.0, 0.0)
    """
    if not calls:
        return {}
    arguments, active = zip(*calls.values(), strict=True)
    shape = jax.eval_shape(apply, arguments[0])
    empty = jax.tree.map(jnp.zeros_like, shape)

    def one(call: tuple[Any, Array]) -> Any:
        return jax.lax.cond(call[1], apply, lambda _: empty, call[0])

    if is_short(apply, arguments[0]):
        return {name: one(call) for name, call in calls.items()}
    together = jax.tree.map(stacked, *arguments)
    answers = jax.lax.map(one, (together, jnp.stack(active)))
    return {name: entry(answers, i) for i, name in enumerate(calls)}


def is_short(apply: Callable, argument: Any) -> bool:
    """Whether a derivative's code is repeated rather than mapped over."""
    return len(jax.make_jaxpr(apply)(argument).eqns) <= SHORT_PROGRAM
