"""The small fully connected ReLU network that is applied to every scalar parameter by itself."""

from functools import reduce
from itertools import accumulate, pairwise
from operator import add
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lopt.optimizers.accumulators import Accumulators
from lopt.optimizers.features import (
    TIME_SCALES,
    Factors,
    Features,
    factors,
    normalization,
    tensor_features,
    time_features,
)

TIMES = len(TIME_SCALES)


class Network(NamedTuple):
    """Weights ``[inputs, outputs]`` and biases ``[outputs]``, first layer first."""

    weights: tuple[jax.Array, ...]
    biases: tuple[jax.Array, ...]


def init_network(key: jax.Array, sizes: tuple[int, ...]) -> Network:
    """Weights normal with variance 1/inputs, biases zero; `sizes` are inputs, hidden widths,
    heads.
    """
    keys = jax.random.split(key, len(sizes) - 1)
    pairs = list(pairwise(sizes))
    weights = tuple(
        jax.random.normal(k, (fan_in, fan_out), jnp.float32) / jnp.sqrt(jnp.float32(fan_in))
        for k, (fan_in, fan_out) in zip(keys, pairs, strict=True)
    )
    return Network(weights, tuple(jnp.zeros((fan_out,), jnp.float32) for _, fan_out in pairs))


def apply_network(
    network: Network,
    gradient: jax.Array,
    parameter: jax.Array,
    a: Accumulators,
    count: jax.Array,
    heads: int,
) -> list[jax.Array]:
    """The first `heads` outputs, each of the tensor's shape."""
    units = first_layer(network, gradient, parameter, a, count)
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
    network: Network,
    gradient: jax.Array,
    parameter: jax.Array,
    a: Accumulators,
    count: jax.Array,
    heads: int,
) -> list[jax.Array]:
    """What `apply_network` computes, as the matrix product that defines it.

    The features are built as an array ``[*s, 28]``, which costs memory and time, but the program is
    a tenth as long: differentiating it compiles in seconds.
    """
    features = tensor_features(gradient, parameter, a)
    weights = _by_kind(network.weights[0], features)
    constant = time_features(count) @ network.weights[0][-TIMES:] + network.biases[0]
    groups: dict[tuple[int, ...], tuple[list[jax.Array], list[jax.Array]]] = {}
    for x, weight in zip(features, weights, strict=True):
        values, rows = groups.setdefault(x.shape[1:], ([], []))
        values.append(x)
        rows.append(weight)
    units = constant
    for values, rows in groups.values():
        x, weight = jnp.concatenate(values), jnp.concatenate(rows)
        units = units + jnp.tensordot(x, weight * normalization(x)[:, None], axes=(0, 0))
    for weight, bias in zip(network.weights[1:], network.biases[1:], strict=True):
        units = jax.nn.relu(units) @ weight + bias
    return [units[..., k] for k in range(heads)]


def first_layer(
    network: Network, gradient: jax.Array, parameter: jax.Array, a: Accumulators, count: jax.Array
) -> list[jax.Array]:
    """The first layer's units before the ReLU, each of the tensor's shape.

    No matrix of features is built. The normalizations fold into the weights; the step counter and
    the bias are one constant a unit; rows and columns are summed as vectors before they are
    broadcast; the features that are multiples of the gradient or of a momentum are summed as
    multiples.
    """
    features = tensor_features(gradient, parameter, a)
    plain = _by_kind(network.weights[0], features)
    weights = Features(
        *(w * normalization(x)[:, None] for w, x in zip(plain, features, strict=True))
    )
    constant = time_features(count) @ network.weights[0][-TIMES:] + network.biases[0]
    scales = factors(a)
    return [
        constant[k] + _unit(features, Features(*(w[:, k] for w in weights)), scales)
        for k in range(constant.shape[0])
    ]


def _by_kind(weight: jax.Array, features: Features) -> Features:
    """The first layer's weights, split as the features are: ``[k, units]`` each."""
    ends = list(accumulate(x.shape[0] for x in features))
    return Features(*(weight[a:b] for a, b in pairwise([0, *ends])))


def _unit(x: Features, w: Features, f: Factors) -> jax.Array:
    """The sum of features times weights for one unit; `w` holds a vector ``[k]`` a kind."""
    gradient = reduce(add, [*_times(f.gradient_scale, w.scaled_gradient)], w.gradient[0])
    momenta = [
        x.momentum[i]
        * (
            w.momentum[i]
            + f.inverse_rms[0] * w.preconditioned_momentum[i]
            + f.momentum_scale[i] * w.scaled_momentum[i]
        )
        for i in range(x.momentum.shape[0])
    ]
    kinds = ("parameter", "rms", "inverse_rms", "row", "column", "inverse_row", "inverse_column")
    others = [term for kind in kinds for term in _times(getattr(x, kind), getattr(w, kind))]
    return _grouped_sum([x.gradient[0] * gradient, *momenta, *others])


def _times(values: jax.Array, weights: jax.Array) -> list[jax.Array]:
    """Each of the stacked values times its weight."""
    return [values[i] * weights[i] for i in range(values.shape[0])]


def _grouped_sum(terms: list[jax.Array]) -> jax.Array:
    """The broadcast sum, terms of one shape first."""
    groups: dict[tuple[int, ...], jax.Array] = {}
    for term in terms:
        groups[term.shape] = groups[term.shape] + term if term.shape in groups else term
    return reduce(add, groups.values())
