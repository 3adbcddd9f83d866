"""The hidden state of STAR: made from the parameters, taken apart by tensor, put together again."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from lopt.optimizers.parts.accumulators import Accumulators, factored_axes, init_accumulators
from lopt.optimizers.parts.leaves import (
    beside,
    boxed_like,
    boxed_with_axis,
    flatten,
    require_pair,
    require_real,
    unboxed,
)


class StarState(NamedTuple):
    """The hidden state."""

    count: jax.Array  # type: ignore[assignment]
    """Updates done, int32."""
    accumulators: Accumulators
    """Each field a tree of the structure of the parameters, as the states of optax are; None in it
    stands where a tensor has no such array.
    """


class Tensor(NamedTuple):
    """One parameter, its gradient and what the state holds of it."""

    gradient: jax.Array
    parameter: jax.Array
    accumulators: Accumulators


class Moved(NamedTuple):
    """The update of one tensor, and its accumulators with the gradient in them."""

    step: jax.Array
    accumulators: Accumulators


def init_state(params: Any, counts: Sequence[int]) -> StarState:
    """Accumulators at zero for so many decays of each family, and no updates done.

    Raises
    ------
    ValueError
        Where a leaf is not real floating point.
    """
    require_real(params)
    leaves, structure = flatten(params)
    each = [_init_leaf(leaf, counts) for leaf in leaves]
    return StarState(jnp.zeros((), jnp.int32), _transposed(each, structure))


def _init_leaf(leaf: Any, counts: Sequence[int]) -> Accumulators:
    if leaf is None:
        return _NOTHING
    parameter = unboxed(leaf)
    second, largest = factored_axes(jnp.shape(parameter)) or (None, None)
    a = init_accumulators(parameter, *counts)
    return Accumulators(
        momentum=boxed_with_axis(leaf, a.momentum),
        rms=boxed_with_axis(leaf, a.rms),
        row=boxed_with_axis(leaf, a.row, without=largest),
        column=None if a.column is None else boxed_with_axis(leaf, a.column, without=second),
    )


def tensors(gradients: Any, params: Any, state: StarState) -> list[Tensor | None]:
    """Gradients, parameters and state leaf by leaf, as their trees pair them; None for a leaf that
    the gradients and the state leave out.

    Raises
    ------
    ValueError
        Where the structures differ, or a leaf does not fit; the message names it.
    """
    found: list[Tensor | None] = []
    leaves = flatten(gradients)[0]
    rows = zip(leaves, beside(gradients, params, "params"), _held(gradients, state), strict=True)
    for place, (leaf, at, held) in enumerate(rows):
        gradient, a = unboxed(leaf), Accumulators(*map(unboxed, held))
        if gradient is None and a.momentum is None:
            found.append(None)
            continue
        parameter = unboxed(at)
        require_pair(gradients, place, gradient, parameter, a.momentum)
        found.append(Tensor(gradient, parameter, a))
    return found


def together(
    gradients: Any, state: StarState, moved: Iterable[Moved | None]
) -> tuple[Any, StarState]:
    """The updates and the next state as trees of the structure of the gradients.

    A plain tuple, as optax returns: in a condition the branches must be of one type.
    """
    leaves, structure = flatten(gradients)
    steps: list[Any] = []
    each: list[Accumulators] = []
    for leaf, held, new in zip(leaves, _held(gradients, state), moved, strict=True):
        steps.append(None if new is None else boxed_like(leaf, new.step))
        each.append(held if new is None else _boxed(held, new.accumulators))
    return (
        jax.tree.unflatten(structure, steps),
        StarState(state.count + 1, _transposed(each, structure)),
    )


def _boxed(held: Accumulators, new: Any) -> Accumulators:
    """New arrays in the boxes of those held before."""
    return Accumulators(*(boxed_like(box, array) for box, array in zip(held, new, strict=True)))


# Of a leaf that the parameters leave out.
_NOTHING = Accumulators(*cast(tuple[Any, ...], (None,) * len(Accumulators._fields)))


def _held(gradients: Any, state: StarState) -> list[Accumulators]:
    """What the state holds of every leaf, in boxes where it came so."""
    fields = [beside(gradients, field, "the state") for field in state.accumulators]
    return [Accumulators(*arrays) for arrays in zip(*fields, strict=True)]


def _transposed(each: list[Accumulators], structure: Any) -> Accumulators:
    """Accumulators of trees from one of arrays for every tensor."""
    fields = zip(*each, strict=True) if each else ((),) * len(Accumulators._fields)
    return Accumulators(*(jax.tree.unflatten(structure, list(field)) for field in fields))
