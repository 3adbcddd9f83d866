"""The inputs of the small network for a tensor: 28 elementwise features at 3 + 1 + 3 decays, and
11 of the step counter.
"""

import math
from functools import reduce
from operator import mul
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from lopt.optimizers.parts.accumulators import Accumulators, factored_axes

RMS_FLOOR = 1e-6
FACTOR_FLOOR = 1e-8
ADAFACTOR_FLOOR = 1e-9
NORMALIZATION_FLOOR = 1e-5
TIME_SCALES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5)


class Features(NamedTuple):
    """One kind of feature a field, in the order of the network's inputs: arrays ``[k, *s]``.

    Every array broadcasts to the tensor's shape ``s``: what depends on a row or a column alone
    keeps a 1 on the other axis.
    """

    gradient: jax.Array
    parameter: jax.Array
    momentum: jax.Array
    rms: jax.Array
    preconditioned_momentum: jax.Array
    inverse_rms: jax.Array
    scaled_gradient: jax.Array
    row: jax.Array
    column: jax.Array
    inverse_row: jax.Array
    inverse_column: jax.Array
    scaled_momentum: jax.Array


class Scales(NamedTuple):
    """What multiplies the gradient and the momenta: the product of the arrays ``[k, *s]`` of a
    field, a row and a column where the second moment is factored.
    """

    gradient: tuple[jax.Array, ...]
    momentum: tuple[jax.Array, ...]


def feature_count(momentum: int, rms: int, adafactor: int) -> int:
    """The number of network inputs: 39 at 3 + 1 + 3 decays."""
    return 2 + momentum + 2 * rms + momentum * rms + 6 * adafactor + len(TIME_SCALES)


def time_features(count: jax.Array) -> jax.Array:
    """``tanh(t/s - 1)`` for every scale ``s``, shape ``[11]``; ``t`` is 0 at the first update."""
    return jnp.tanh(count.astype(jnp.float32) / jnp.asarray(TIME_SCALES, jnp.float32) - 1.0)


def scales(a: Accumulators) -> Scales:
    """The inverse roots of the factored second moments."""
    axes = factored_axes(a.rms.shape[1:])
    if axes is None or a.column is None:
        gradient = lax.rsqrt(jnp.maximum(a.row + ADAFACTOR_FLOOR, ADAFACTOR_FLOOR))
        return Scales((gradient,), (lax.rsqrt(a.row + RMS_FLOOR),))
    return factored_scales(a.row, a.column, jnp.mean(a.row, axis=axes[0] + 1, keepdims=True))


def factored_scales(row: jax.Array, column: jax.Array, mean: jax.Array) -> Scales:
    """The `scales` of a tensor of rank two or more; `mean` is the row's over its rows."""
    relative = jnp.maximum(row / (mean + ADAFACTOR_FLOOR), ADAFACTOR_FLOOR)
    both = (lax.rsqrt(relative), lax.rsqrt(jnp.maximum(column, ADAFACTOR_FLOOR)))
    return Scales(both, both)


def tensor_features(
    gradient: jax.Array, parameter: jax.Array, a: Accumulators, factors: Scales
) -> Features:
    """The features of one tensor, or of a part of one, not yet normalized.

    The accumulators already hold the gradient; `factors` are the `scales` of the whole tensor.
    """
    factored = factored_axes(gradient.shape) is not None
    column = a.column if factored and a.column is not None else a.row
    inverse_rms = lax.rsqrt(a.rms + RMS_FLOOR)
    return Features(
        gradient=gradient[None],
        parameter=parameter[None],
        momentum=a.momentum,
        rms=a.rms,
        preconditioned_momentum=a.momentum * inverse_rms,
        inverse_rms=inverse_rms,
        scaled_gradient=gradient[None] * reduce(mul, factors.gradient),
        scaled_momentum=a.momentum * reduce(mul, factors.momentum),
        **rows_and_columns(a.row, column),
    )


def rows_and_columns(row: jax.Array, column: jax.Array) -> dict[str, jax.Array]:
    """The features that depend on the second moments of rows and columns alone, by their field."""
    return {
        "row": row,
        "column": column,
        "inverse_row": lax.rsqrt(row + FACTOR_FLOOR),
        "inverse_column": lax.rsqrt(column + FACTOR_FLOOR),
    }


def sum_of_squares(feature: jax.Array) -> jax.Array:
    """``sum(x^2)`` of features ``[k, *s]``, shape ``[k]``."""
    return jnp.sum(feature * feature, axis=tuple(range(1, feature.ndim)))


def normalization(mean_square: jax.Array) -> jax.Array:
    """``rsqrt(1e-5 + mean(x^2))``, what a feature is multiplied by."""
    return lax.rsqrt(NORMALIZATION_FLOOR + mean_square)


def mean_squares(features: Features) -> Features:
    """The mean square of every feature, ``[k]`` each.

    The mean over the broadcast tensor is that over the array given.
    """
    return Features(*(sum_of_squares(x) / max(1, math.prod(x.shape[1:])) for x in features))
