"""The small fully connected ReLU network that is applied to every scalar parameter by itself."""

from functools import reduce
from itertools import accumulate, pairwise
from operator import add, mul
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lopt.optimizers.parts.features import (
    TIME_SCALES,
    Features,
    Scales,
    normalization,
    time_features,
)

TIMES = len(TIME_SCALES)


class Network(NamedTuple):
    """Weights ``[inputs, outputs]`` and biases ``[outputs]``, first layer first."""

    weights: tuple[jax.Array, ...]
    biases: tuple[jax.Array, ...]


def init_network(key: jax.Array, sizes: tuple[int, ...], head_scale: float = 1.0) -> Network:
    """Weights normal with variance 1/inputs, those of the last layer times `head_scale`, biases
    zero; `sizes` are inputs, hidden widths, heads.
    """
    keys = jax.random.split(key, len(sizes) - 1)
    pairs = list(pairwise(sizes))
    # Drawn as vectors, which compiles in a tenth of a matrix's time (see `lopt.keys`).
    weights = tuple(
        jax.random.normal(k, (fan_in * fan_out,), jnp.float32).reshape(fan_in, fan_out)
        / jnp.sqrt(jnp.float32(fan_in))
        for k, (fan_in, fan_out) in zip(keys, pairs, strict=True)
    )
    weights = (*weights[:-1], head_scale * weights[-1])
    return Network(weights, tuple(jnp.zeros((fan_out,), jnp.float32) for _, fan_out in pairs))


def apply_network(
    network: Network, x: Features, squares: Features, factors: Scales, count: jax.Array, heads: int
) -> list[jax.Array]:
    """The first `heads` outputs, each of the tensor's shape, as one elementwise loop.

    `squares` are the mean squares of the features `x`, of which no matrix is built.
    """
    return upper_layers(network, first_layer(network, x, squares, factors, count), heads)


def upper_layers(network: Network, units: list[jax.Array], heads: int) -> list[jax.Array]:
    """The first `heads` outputs from the first layer's units before their ReLU."""
    for layer in range(1, len(network.weights)):
        last = layer == len(network.weights) - 1
        weight, bias = network.weights[layer], network.biases[layer]
        hidden = [jax.nn.relu(u) for u in units]
        units = [
            bias[k] + reduce(add, [u * weight[j, k] for j, u in enumerate(hidden)])
            for k in range(heads if last else weight.shape[1])
        ]
    return units


def apply_plainly(
    network: Network, features: Features, squares: Features, count: jax.Array, heads: int
) -> list[jax.Array]:
    """Compute what `apply_network` does by the matrix product that defines it.

    The features are built as an array ``[*s, 28]``, which costs memory and time, but the program is
    a tenth as long: differentiating it compiles in seconds.
    """
    constant, folded = fold(network, squares, count)
    groups: dict[tuple[int, ...], tuple[list[jax.Array], list[jax.Array]]] = {}
    for x, weight in zip(features, folded, strict=True):
        values, rows = groups.setdefault(x.shape[1:], ([], []))
        values.append(x)
        rows.append(weight)
    rank = features.gradient.ndim  # of the units: the tensor's axes and one more

    def last(vector: jax.Array) -> jax.Array:
        """The vector along the last axis, of the rank of the units."""
        return jnp.expand_dims(vector, tuple(range(rank - 1)))

    units = last(constant)
    for values, rows in groups.values():
        x, weight = jnp.concatenate(values), jnp.concatenate(rows)
        units = units + jnp.tensordot(x, weight, axes=(0, 0), precision="highest")
    for weight, bias in zip(network.weights[1:], network.biases[1:], strict=True):
        units = jnp.matmul(jax.nn.relu(units), weight, precision="highest") + last(bias)
    return [units[..., k] for k in range(heads)]


class FirstLayer(NamedTuple):
    """The first layer with everything that does not depend on the parameter folded in."""

    constant: jax.Array
    """``[units]``: the bias and the step counter's features."""
    weights: Features
    """``[k, units]`` a kind, times the normalization of its features."""


def fold(network: Network, squares: Features, count: jax.Array) -> FirstLayer:
    """The first layer for features of these mean squares at this step."""
    constant = time_features(count) @ network.weights[0][-TIMES:] + network.biases[0]
    ends = [0, *accumulate(x.shape[0] for x in squares)]
    weight = network.weights[0][: ends[-1]] * normalization(jnp.concatenate(squares))[:, None]
    return FirstLayer(constant, Features(*(weight[a:b] for a, b in pairwise(ends))))


def first_layer(
    network: Network, x: Features, squares: Features, factors: Scales, count: jax.Array
) -> list[jax.Array]:
    """The first layer's units before the ReLU, each of the tensor's shape.

    Features that are multiples of the gradient or of a momentum are summed as multiples; rows and
    columns are summed as vectors before they are broadcast.
    """
    constant, w = fold(network, squares, count)
    rows, columns = (
        jnp.tensordot(
            jnp.concatenate([getattr(w, kind) for kind in kinds]),
            jnp.concatenate([getattr(x, kind) for kind in kinds]),
            axes=(0, 0),
            precision="highest",
        )
        for kinds in (("row", "inverse_row"), ("column", "inverse_column"))
    )
    return [
        constant[k] + rows[k] + columns[k] + _unit(x, Features(*(v[:, k] for v in w)), factors)
        for k in range(constant.shape[0])
    ]


def _unit(x: Features, w: Features, factors: Scales) -> jax.Array:
    """The sum over all but rows and columns of feature times weight for one unit; `w` holds a
    vector ``[k]`` a kind.

    What multiplies the gradient, and what multiplies each momentum, is summed first: that is
    fewer operations than a sum over the features.
    """
    inverse = x.inverse_rms[0]
    by_gradient = _times(_products(factors.gradient), w.scaled_gradient)
    terms = [
        x.gradient[0] * reduce(add, by_gradient, w.gradient[0]),
        *_times(x.parameter, w.parameter),
        *_times(x.rms, w.rms),
        *_times(x.inverse_rms, w.inverse_rms),
    ]
    by_momentum = _times(_products(factors.momentum), w.scaled_momentum)
    for i, scaled in enumerate(by_momentum):
        preconditioned = inverse * w.preconditioned_momentum[i]
        terms.append(x.momentum[i] * (w.momentum[i] + preconditioned + scaled))
    return reduce(add, terms)


def _products(arrays: tuple[jax.Array, ...]) -> list[jax.Array]:
    """The product of the arrays ``[k, *s]``, one of shape ``s`` for each of the `k`."""
    return [reduce(mul, [array[i] for array in arrays]) for i in range(arrays[0].shape[0])]


def _times(values: jax.Array | list[jax.Array], weights: jax.Array) -> list[jax.Array]:
    """Each of the stacked values times its weight."""
    return [values[i] * weights[i] for i in range(weights.shape[0])]
