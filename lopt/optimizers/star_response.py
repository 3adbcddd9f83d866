r"""STAR's update differentiated by hand, so that a product with du/dg takes few passes over memory.

The update of a tensor is elementwise except for means: the factored second moments are means over
rows and columns, and each feature x_k is divided by the root of its mean square q_k. So a change
`v` of the gradient moves the update by

.. math:: \dot u_i = D_i v_i + \sum_k S_{ki} \dot q_k + \sum_d B_{di} (\dot r_d + \dot c_d)_i
          + \sum_j U_{ji} (\dot h_j)_i,

where r_d and c_d are the logarithms of the row and column factors of the d-th second moment, h_j is
the contribution of rows and columns alone to unit j of the network's first layer, and each change
of a mean square is a sum over the tensor. D, S, B and U are computed once. Differentiating the
program instead would keep some hundred arrays of the tensor's size, and a product would take thirty
times as long. An update that is normalized is then divided by its own root mean square, see
`lopt.optimizers.parts.normalization`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from lopt.arrays import computed_once, stacked
from lopt.optimizers.parts.accumulators import (
    Accumulators,
    Decays,
    bounded,
    factored_axes,
    update_factored,
    update_moments,
)
from lopt.optimizers.parts.features import (
    NORMALIZATION_FLOOR,
    Features,
    scales,
    tensor_features,
)
from lopt.optimizers.parts.network import Network, first_layer, fold, upper_layers
from lopt.optimizers.parts.normalization import inverse_rms, normalizing_factor
from lopt.optimizers.parts.response import (
    Coefficients,
    FactorCoefficients,
    Moved,
    Normalization,
    TensorResponse,
)
from lopt.optimizers.parts.state import StarState, tensors
from lopt.optimizers.parts.sweep import Swept, sweep
from lopt.optimizers.star_update import (
    MetaParameters,
    StarConfig,
    learned_decays,
    update_terms,
)

__all__ = ["star_response"]

# The features that depend on the entries of the gradient, and among them those that a factored
# second moment scales. Those of rows and columns do so only if the second moment is not factored.
SCALED = ("scaled_gradient", "scaled_momentum")
ENTRIES = ("gradient", "momentum", "rms", "preconditioned_momentum", "inverse_rms", *SCALED)
ROWS, COLUMNS = ("row", "inverse_row"), ("column", "inverse_column")


@dataclass(frozen=True)
class StarResponse:
    """dgradient, dparams -> dupdate, dblackbox; linear, trees of the structure of the parameters.

    `jax.linear_transpose` gives the transpose. The blackbox part is the term -f_b of the update,
    zero if the configuration has none.
    """

    tensors: list[TensorResponse]
    structure: jax.tree_util.PyTreeDef

    def __call__(self, by_gradient: optax.Updates, by_params: optax.Params | None = None) -> Moved:
        """Return the changes of the update and of its blackbox part, as trees."""
        gradients = jax.tree.leaves(by_gradient)
        params = [None] * len(gradients) if by_params is None else jax.tree.leaves(by_params)
        moved = [tensor(g, p) for tensor, g, p in zip(self.tensors, gradients, params, strict=True)]
        return Moved(*(self._tree(part) for part in zip(*moved, strict=True)))

    def elementwise(self) -> Moved:
        """The derivative of each entry by its own gradient while the means of the features are
        held fixed: D, unless the update is normalized.
        """
        parts = [tensor.elementwise() for tensor in self.tensors]
        return Moved(*(self._tree(part) for part in zip(*parts, strict=True)))

    def by_parameters(self) -> tuple[optax.Params, list[tuple[optax.Params, optax.Params]]]:
        """du/dparams as diag(a) + sum b c^T for each tensor: a, and the pairs b and c."""
        each = [tensor.by_parameter() for tensor in self.tensors]
        ranks = zip(*(pairs for _, pairs in each), strict=True)
        return self._tree([own for own, _ in each]), [
            (self._tree([b for b, _ in pairs]), self._tree([c for _, c in pairs]))
            for pairs in ranks
        ]

    def _tree(self, leaves: Iterable[Array]) -> optax.Params:
        return jax.tree.unflatten(self.structure, list(leaves))


def star_response(
    meta_parameters: MetaParameters,
    config: StarConfig,
    params: optax.Params,
    gradient: optax.Updates,
    state: StarState,
) -> StarResponse:
    """The derivative of `lopt.star`'s update, without its weight decay, at a hidden state."""
    decays = learned_decays(meta_parameters, config)
    each = [
        _tensor_response(meta_parameters, config, decays, state.count, *tensor)
        for tensor in tensors(gradient, params, state)
        if tensor is not None
    ]
    return StarResponse(each, jax.tree.structure(params))


class _Entrywise(NamedTuple):
    """The features that depend on the entries of the gradient, with their derivatives by their own
    entry, and those of the momenta and second moments.
    """

    features: list[Array]
    by_entry: list[Array]
    momentum: Array
    rms: Array


def _entrywise(
    old: Accumulators,
    gradient: Array,
    parameter: Array,
    decays: Decays,
    swept: Swept,
    kinds: Sequence[str],
) -> _Entrywise:
    """The derivatives of the features of these kinds; factored second moments are held fixed."""
    factored = factored_axes(gradient.shape) is not None

    def entries(g: Array) -> tuple[list[Array], Array, Array]:
        momentum, rms = update_moments(old.momentum, old.rms, g, decays)
        kept = swept.accumulators
        row, column = (kept.row, kept.column) if factored else update_factored(old, g, decays)
        now = Accumulators(momentum, rms, row, column)
        found = tensor_features(g, parameter, now, swept.scales if factored else scales(now))
        return _listed(found, kinds), momentum, rms

    (values, *_), moved = jax.jvp(entries, (gradient,), (jnp.ones_like(gradient),))
    return _Entrywise(values, *moved)


class _FirstLayer(NamedTuple):
    """The network's first layer before its activation: its units, the weights with the
    normalization of the features folded in, and the derivative of the logarithm of each
    normalization by the mean square.
    """

    units: list[Array]
    weights: Features
    shrink: Features


def _first_layer(network: Network, swept: Swept, count: Array) -> _FirstLayer:
    squares = swept.mean_squares
    return _FirstLayer(
        units=first_layer(network, swept.features, squares, swept.scales, count),
        weights=fold(network, squares, count).weights,
        shrink=Features(*(-0.5 / (NORMALIZATION_FLOOR + square) for square in squares)),
    )


def _tensor_response(
    theta: MetaParameters,
    config: StarConfig,
    decays: Decays,
    count: Array,
    gradient: Array,
    parameter: Array,
    old: Accumulators,
) -> TensorResponse:
    g, p = bounded(jnp.asarray(gradient, jnp.float32)), jnp.asarray(parameter, jnp.float32)
    swept = sweep(old, g, p, decays, blocked=False)
    a, factored = swept.accumulators, factored_axes(g.shape) is not None
    kinds = (ENTRIES if factored else (*ENTRIES, *ROWS, *COLUMNS)) if config.heads else ()
    moving = _entrywise(old, g, p, decays, swept, kinds)
    layer = _first_layer(theta.network, swept, count) if config.heads else None
    ones, none = jnp.ones_like(g), jnp.zeros_like(g)

    def outputs(units: list[Array], a: Accumulators, g: Array) -> Moved:
        heads = upper_layers(theta.network, units, config.heads) if units else []
        terms = update_terms(theta, config, heads, g, a)
        return Moved(terms.whole, none if terms.blackbox is None else terms.blackbox)

    values, pullback = jax.vjp(outputs, layer.units if layer else [], a, g)
    scaled = [
        (place, decay)
        for kind in (SCALED if factored and config.heads else ())
        for decay, place in enumerate(_places(swept.features, kinds, kind))
    ]

    def output(which: Moved) -> Coefficients:
        by_units, by_moments, own = computed_once(lambda: pullback(which), count)
        found = _output(by_units, by_moments, own, moving, layer, p, kinds, scaled)
        return found if factored else found._replace(units=[])

    twice = 2.0 / max(1, g.size)
    squares = [twice * v * t for v, t in zip(moving.features, moving.by_entry, strict=True)]
    return TensorResponse(
        gradient=g,
        parameter=p,
        squares=_rows(squares, g),
        factors=_factors(a, decays, scaled, moving.features, layer) if scaled and layer else None,
        update=output(Moved(ones, none)),
        blackbox=output(Moved(none, ones)) if config.blackbox_term else None,
        normalization=_normalization(config, values, swept) if config.normalize_update else None,
    )


def _normalization(config: StarConfig, values: Moved, swept: Swept) -> Normalization:
    inverse, gradient = inverse_rms(values.update), swept.mean_squares.gradient[0]
    return Normalization(
        factor=normalizing_factor(config.normalized_step, values.update, gradient),
        update=inverse * values.update,
        blackbox=inverse * values.blackbox,
    )


def _output(
    by_units: list[Array],
    by_moments: Accumulators,
    own: Array,
    moving: _Entrywise,
    layer: _FirstLayer | None,
    parameter: Array,
    kinds: Sequence[str],
    scaled: list[tuple[int, int]],
) -> Coefficients:
    """The derivatives of an output, from those by the units, the accumulators and the gradient."""
    named = (*kinds, "parameter")
    weights = _listed(layer.weights, named) if layer else []
    shrink = _listed(layer.shrink, named) if layer else []
    each = [reduce(add, [unit * w[j] for j, unit in enumerate(by_units)]) for w in weights]
    along = [own, *(by_moments.momentum * moving.momentum), *(by_moments.rms * moving.rms)]
    along += [by * tangent for by, tangent in zip(each, moving.by_entry, strict=False)]
    values = [*moving.features, parameter]
    acting = [s * w * v for s, w, v in zip(shrink, each, values, strict=False)]
    by_scale: dict[int, list[Array]] = {}
    for place, decay in scaled:
        by_scale.setdefault(decay, []).append(each[place] * values[place])
    return Coefficients(
        gradient=reduce(add, along),
        parameter=each[-1] if each else jnp.zeros_like(parameter),
        squares=_rows(acting, parameter),
        scales=[reduce(add, by_scale[decay]) for decay in sorted(by_scale)],
        units=by_units,
    )


def _listed(x: Features, kinds: Sequence[str]) -> list[Array]:
    """The features of these kinds in one list."""
    return [value for kind in kinds for value in getattr(x, kind)]


def _rows(arrays: Sequence[Array], like: Array) -> Array:
    """The arrays, each of the shape of `like`, as the rows of a matrix, which may be empty."""
    return stacked(*(x.ravel() for x in arrays)) if arrays else jnp.zeros((0, like.size))


def _places(x: Features, kinds: Sequence[str], kind: str) -> range:
    """The indices of the features of a kind in the list of all kinds."""
    before = sum(getattr(x, other).shape[0] for other in kinds[: kinds.index(kind)])
    return range(before, before + getattr(x, kind).shape[0])


def _factors(
    a: Accumulators,
    decays: Decays,
    scaled: list[tuple[int, int]],
    features: list[Array],
    layer: _FirstLayer,
) -> FactorCoefficients:
    axes = factored_axes(a.rms.shape[1:])
    assert axes is not None
    assert a.column is not None
    values = [features[place] for place, _ in scaled]
    return FactorCoefficients(
        moments=(a.row, a.column, jnp.mean(a.row, axis=axes[0] + 1, keepdims=True)),
        rate=2.0 * (1.0 - decays.adafactor).reshape(-1, *(1,) * (a.rms.ndim - 1)),
        scaled=scaled,
        row_squares=[jnp.sum(v * v, axis=axes[1], keepdims=True) for v in values],
        column_squares=[jnp.sum(v * v, axis=axes[0], keepdims=True) for v in values],
        weights=layer.weights,
        shrink=layer.shrink,
    )
