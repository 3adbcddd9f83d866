"""One sweep over a tensor: its accumulators take in the gradient, and the features' mean squares
are summed.

The network can only start when the mean squares are known. On a CPU a tensor larger than the cache
is swept in blocks of rows, so that what is computed in between never leaves the cache and no
temporary of the tensor's size is allocated.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from lopt.optimizers.parts.accumulators import (
    Accumulators,
    Decays,
    bounded,
    update_accumulators,
    update_factored,
    update_moments,
)
from lopt.optimizers.parts.features import (
    Features,
    Scales,
    mean_squares,
    scales,
    sum_of_squares,
    tensor_features,
)

# Tensors of fewer elements are swept whole; blocks have at most the second and at least the third.
WHOLE, LARGEST_BLOCK, SMALLEST_BLOCK = 2**19, 2**16, 2**12


class Swept(NamedTuple):
    """A tensor after the sweep."""

    accumulators: Accumulators
    features: Features
    mean_squares: Features
    scales: Scales


def sweep(
    old: Accumulators,
    gradient: jax.Array,
    parameter: jax.Array,
    decays: Decays,
    *,
    blocked: bool = True,
) -> Swept:
    """The accumulators after this gradient (float32), the features and their mean squares."""
    on_cpu = jax.default_backend() == "cpu"
    blocks = block_count(gradient.shape) if blocked and on_cpu and not _is_split(gradient) else 1
    if blocks > 1:
        return _sweep_blocks(old, gradient, parameter, decays, blocks)
    g = bounded(gradient)
    a = update_accumulators(old, g, decays)
    factors = scales(a)
    x = tensor_features(g, parameter, a, factors)
    return Swept(a, x, mean_squares(x), factors)


def _is_split(x: jax.Array) -> bool:
    """Whether an axis is spread over an explicit mesh, of which no block can be cut."""
    return any(axis is not None for axis in jax.typeof(x).sharding.spec)


def block_count(shape: tuple[int, ...]) -> int:
    """Into how many equal blocks the leading axis is cut: 1 where the tensor is small or its
    leading axis has no divisor of a fitting size.
    """
    size = math.prod(shape)
    if size < WHOLE:
        return 1
    fitting = (
        n
        for n in range(-(-size // LARGEST_BLOCK), min(shape[0], size // SMALLEST_BLOCK) + 1)
        if shape[0] % n == 0
    )
    return next(fitting, 1)


def _sweep_blocks(
    old: Accumulators, gradient: jax.Array, parameter: jax.Array, decays: Decays, blocks: int
) -> Swept:
    """The sweep in so many blocks of the leading axis, the moments updated in place.

    Each part bounds its own gradient: bounded beforehand, the tensor would be copied.
    """
    row, column = update_factored(old, gradient, decays)
    length = gradient.shape[0] // blocks
    factors = scales(Accumulators(old.momentum, old.rms, row, column))

    def part(x: jax.Array, block: jax.Array, axis: int) -> jax.Array:
        whole = x.ndim <= axis or x.shape[axis] != gradient.shape[0]
        return x if whole else lax.dynamic_slice_in_dim(x, block * length, length, axis)

    def body(block: jax.Array, carry: tuple[Accumulators, Features]) -> Any:
        held, totals = carry
        g, p = bounded(part(gradient, block, 0)), part(parameter, block, 0)
        a, f = jax.tree.map(lambda x: part(x, block, 1), (held, factors))
        momentum, rms = update_moments(a.momentum, a.rms, g, decays)
        x = tensor_features(g, p, Accumulators(momentum, rms, a.row, a.column), f)
        sums = Features(*(t + sum_of_squares(v) for t, v in zip(totals, x, strict=True)))
        return Accumulators(
            lax.dynamic_update_slice_in_dim(held.momentum, momentum, block * length, 1),
            lax.dynamic_update_slice_in_dim(held.rms, rms, block * length, 1),
            row,
            column,
        ), sums

    held = Accumulators(old.momentum, old.rms, row, column)
    shapes = jax.eval_shape(lambda: tensor_features(gradient, parameter, held, factors))
    zeros = Features(*(jnp.zeros((x.shape[0],), jnp.float32) for x in shapes))
    start = (held, zeros)
    after = jax.eval_shape(body, jnp.zeros((), jnp.int32), start)
    a, totals = lax.fori_loop(0, blocks, body, jax.tree.map(_of_type, start, after))
    x = tensor_features(bounded(gradient), parameter, a, factors)
    squares = (
        t / gradient.size if v.shape[1:] == gradient.shape else mean
        for t, v, mean in zip(totals, x, mean_squares(x), strict=True)
    )
    return Swept(a, x, Features(*squares), factors)


def _of_type(x: jax.Array, like: jax.ShapeDtypeStruct) -> jax.Array:
    """`x` as an array that varies over the devices of a mesh as `like` does, which a loop asks of
    its start.
    """
    return x if jax.eval_shape(lambda: x) == like else x + jnp.zeros_like(like)
