"""The small fully connected ReLU network that is applied to every scalar parameter by itself."""

from functools import reduce
from itertools import pairwise
from operator import add
from typing import NamedTuple

import jax
import jax.numpy as jnp

from lopt.optimizers.accumulators import Accumulators
from lopt.optimizers.features import (
    Features,
    factors,
    normalization,
    tensor_features,
    time_features,
)


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
    leaves, structure = jax.tree.flatten(features)
    weight = network.weights[0]
    elementwise = weight[: len(leaves)] * jnp.stack([normalization(x) for x in leaves])[:, None]
    constant = time_features(count) @ weight[len(leaves) :] + network.biases[0]
    return [
        constant[k] + _unit(features, jax.tree.unflatten(structure, [*elementwise[:, k]]), a)
        for k in range(weight.shape[1])
    ]


def _unit(x: Features, w: Features, a: Accumulators) -> jax.Array:
    """The sum of features times weights for one unit."""
    f = factors(a)
    gradient = reduce(
        add,
        [s * u for s, u in zip(f.gradient_scale, w.scaled_gradient, strict=True)],
        w.gradient[0],
    )
    momenta = [
        m * (plain + f.inverse_rms * preconditioned + s * scaled)
        for m, plain, preconditioned, s, scaled in zip(
            x.momentum,
            w.momentum,
            w.preconditioned_momentum,
            f.momentum_scale,
            w.scaled_momentum,
            strict=True,
        )
    ]
    kinds = ("parameter", "rms", "inverse_rms", "row", "column", "inverse_row", "inverse_column")
    terms = [
        value * u
        for kind in kinds
        for value, u in zip(getattr(x, kind), getattr(w, kind), strict=True)
    ]
    return _grouped_sum([x.gradient[0] * gradient, *momenta, *terms])


def _grouped_sum(terms: list[jax.Array]) -> jax.Array:
    """The broadcast sum, terms of one shape first."""
    groups: dict[tuple[int, ...], jax.Array] = {}
    for term in terms:
        groups[term.shape] = groups[term.shape] + term if term.shape in groups else term
    return reduce(add, groups.values())
