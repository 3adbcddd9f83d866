"""Arrays in the form that costs XLA least: joined in place, and computed once."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

__all__ = ["computed_once", "entry", "flat_vector", "stacked"]


def computed_once(compute: Callable[[], Any], counter: Array) -> Any:
    """The computed values, as results of a branch that is always taken because no counter is
    negative. Without the branch XLA computes them again in every loop that uses them.
    """
    shape = jax.eval_shape(compute)
    none = lambda: jax.tree.map(jnp.zeros_like, shape)  # noqa: E731
    return jax.lax.cond(counter >= 0, compute, none)


def entry(tree: Any, index: Array | int) -> Any:
    """The entry at `index` of the leading axis of every leaf."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def flat_vector(tree: Any) -> Array:
    """The leaves of a tree one after the other, as `ravel_pytree` orders them.

    On a CPU XLA's concatenation inside a loop takes ten times a Hessian product of a network of a
    million weights; writing slice by slice does not.
    """
    leaves = [jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)]
    if not leaves:
        return jnp.zeros(0)
    whole = jnp.zeros(sum(leaf.size for leaf in leaves), jnp.result_type(*leaves))
    offset = 0
    for leaf in leaves:
        whole = jax.lax.dynamic_update_slice(whole, leaf.astype(whole.dtype), (offset,))
        offset += leaf.size
    return whole


def stacked(*leaves: Array) -> Array:
    """The leaves along a new leading axis, written one by one; see `flat_vector`."""
    whole = jnp.zeros((len(leaves), *leaves[0].shape), leaves[0].dtype)
    for index, leaf in enumerate(leaves):
        whole = whole.at[index].set(leaf)
    return whole
