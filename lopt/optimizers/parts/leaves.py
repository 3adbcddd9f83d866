"""The leaves of a tree of parameters beside those of its gradients and of its state, each checked.

A leaf is an array, None where a tree leaves the tensor out, or an array in a box that describes it,
as the variables of Flax NNX and the ``Partitioned`` of Flax Linen are. All checks read shapes and
dtypes alone, so that a compiled step does nothing for them.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

# What a message says of one leaf.
LONGEST_NAME = 80
# What a variable of Flax says of the axes of its array, one entry an axis.
SPECIFICATIONS = ("out_sharding", "optimizer_sharding")

SPLIT = "Wrap the optimizer: optax.contrib.split_real_and_imaginary(lopt.star(...))."
LEAVE_OUT = "Leave it out, e.g. by optax.masked or equinox.filter(model, equinox.is_inexact_array)."


def is_box(x: Any) -> bool:
    """Whether `x` is a node of one array that carries metadata, such as ``flax.nnx.Param``."""
    described = hasattr(x, "get_metadata") or hasattr(x, "replace_boxed")
    return described and len(jax.tree.leaves(x)) == 1


def unboxed(x: Any) -> Any:
    """The array in a box, and everything else as it is."""
    return jax.tree.leaves(x)[0] if is_box(x) else x


def boxed_like(box: Any, array: jax.Array) -> Any:
    """The array in a box of the same kind, where there is one."""
    return jax.tree.unflatten(jax.tree.structure(box), [array]) if is_box(box) else array


def boxed_with_axis(box: Any, array: jax.Array, without: int | None = None) -> Any:
    """An array with a leading axis more than the one in the box, in a box that says so.

    The names of the parameter's axes stay with their axes, but for the axis `without`, along which
    the array has one entry.
    """
    if not is_box(box):
        return array
    if hasattr(box, "names"):
        return replace(box, value=array, names=_shifted(box.names, without))
    if not hasattr(box, "get_metadata"):
        return box.replace_boxed(array)
    own = {
        name: _shifted(specification, without)
        for name in SPECIFICATIONS
        if (specification := box.get_metadata(name, None)) is not None
    }
    return box.copy(array, **own)


def _shifted(specification: Any, without: int | None) -> Any:
    if isinstance(specification, NamedSharding):
        return NamedSharding(
            specification.mesh, PartitionSpec(*_shifted(specification.spec, without))
        )
    if not isinstance(specification, tuple | PartitionSpec):
        return None
    names = (None if axis == without else name for axis, name in enumerate(specification))
    return (None, *names)


def flatten(tree: Any) -> tuple[list[Any], Any]:
    """The leaves of a tree, None and boxes among them, and its structure."""
    return jax.tree.flatten(tree, is_leaf=_is_leaf)


def beside(tree: Any, other: Any, what: str) -> list[Any]:
    """What stands in `other` at each leaf of `tree`.

    Raises
    ------
    ValueError
        Where the structures differ; `what` is the name of `other`.
    """
    try:
        return list(flatten(tree)[1].flatten_up_to(other))
    except (ValueError, TypeError):
        own, others = _names(tree), _names(other)
        only = sorted(own - others) or sorted(others - own)
        where = f"{only[0]} is in one of the two only" if only else "the containers differ in kind"
        raise ValueError(
            f"the gradients must be a tree of the structure of {what}; {where}."
        ) from None


def _is_leaf(x: Any) -> bool:
    return x is None or is_box(x)


def _named(tree: Any) -> list[tuple[str, Any]]:
    """Every leaf with its place in the tree."""
    pairs = jax.tree_util.tree_flatten_with_path(tree, is_leaf=_is_leaf)[0]
    return [(_shortened(jax.tree_util.keystr(path)), leaf) for path, leaf in pairs]


def _names(tree: Any) -> set[str]:
    return {name for name, leaf in _named(tree) if leaf is not None}


def _shortened(name: str) -> str:
    name = name or "itself"
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def leaf_name(tree: Any, place: int) -> str:
    """The name of the leaf at a place of `flatten`."""
    return _named(tree)[place][0]


def require_real(tree: Any) -> None:
    """Raise where a parameter is not real floating point.

    Raises
    ------
    ValueError
        With the name of the leaf, its dtype, and what to do.
    """
    for place, leaf in enumerate(map(unboxed, flatten(tree)[0])):
        if leaf is not None:
            _require_real_parameter(tree, place, leaf)


def _require_real_parameter(tree: Any, place: int, parameter: Any) -> None:
    kind = _kind(parameter)
    if kind is None or not jnp.issubdtype(kind, jnp.floating):
        raise ValueError(
            f"params must be real floating point; leaf {leaf_name(tree, place)} is "
            f"{_kind_name(parameter)}. {_remedy(kind)}"
        )


def require_pair(gradients: Any, place: int, gradient: Any, parameter: Any, held: Any) -> None:
    """Raise where the gradient at a place does not fit its parameter, or `held`, an array of its
    state with a leading axis more.

    Raises
    ------
    ValueError
        With the name of the leaf, what does not fit, and what to do.
    """
    kind, shape = _kind(gradient), _shape(gradient)
    problem = None
    if gradient is None:
        problem = (
            "the gradient is None, but the optimizer was initialized with this leaf. Pass zeros, "
            "or leave it out of init, too."
        )
    elif kind is None or kind == jax.dtypes.float0 or jnp.issubdtype(kind, jnp.complexfloating):
        problem = f"the gradient is {_kind_name(gradient)}. {_remedy(kind)}"
    elif held is None:
        problem = "the optimizer was initialized without this leaf. Call init with all parameters."
    elif parameter is None:
        problem = "there is a gradient, but the parameter is None. Pass the parameter."
    elif shape != _shape(parameter):
        problem = f"the gradient has shape {shape}, the parameter {_shape(parameter)}."
    elif shape != _shape(held)[1:]:
        problem = f"the shape is {shape}, but it was {_shape(held)[1:]} at init. Call init again."
    if problem:
        raise ValueError(f"leaf {leaf_name(gradients, place)}: {problem}")
    _require_real_parameter(gradients, place, parameter)


def _remedy(kind: Any) -> str:
    complex_kind = kind is not None and jnp.issubdtype(kind, jnp.complexfloating)
    return SPLIT if complex_kind else LEAVE_OUT


def _kind(x: Any) -> Any:
    """The dtype of an array or a number, None of anything else."""
    if isinstance(x, bool | int | float | complex):
        return jnp.result_type(x)
    return getattr(x, "dtype", None)


def _kind_name(x: Any) -> str:
    kind = _kind(x)
    if kind == jax.dtypes.float0:  # which prints as a structure
        return "float0"
    return str(kind or type(x).__name__)[:LONGEST_NAME]


def _shape(x: Any) -> tuple[int, ...]:
    return getattr(x, "shape", ())
