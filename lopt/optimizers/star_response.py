r"""STAR's update differentiated by hand, so that a product with du/dg is a few passes over memory.

The update of a tensor is elementwise but for means: the factored second moments are means over rows
and columns, and each feature x_k is divided by the root of its mean square q_k. So a change `v` of
the gradient moves the update by

.. math:: \dot u_i = D_i v_i + \sum_k S_{ki} \dot q_k + \sum_d B_{di} (\dot r_d + \dot c_d)_i
          + \sum_j U_{ji} (\dot h_j)_i,

where r_d and c_d are the logarithms of the factors of the d-th second moment, of a row and of a
column, h_j what rows and columns by themselves give to unit j of the network's first layer, and
each change of a mean square a sum over the tensor. D, S, B and U are computed once. Differentiating
the program instead holds some hundred arrays of the tensor's size, and a product takes thirty times
as long.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
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
    factored_scales,
    rows_and_columns,
    scales,
    tensor_features,
)
from lopt.optimizers.parts.network import Network, first_layer, fold, upper_layers
from lopt.optimizers.parts.state import StarState, tensors
from lopt.optimizers.parts.sweep import Swept, sweep
from lopt.optimizers.star_update import (
    MetaParameters,
    StarConfig,
    learned_decays,
    update_terms,
)

__all__ = ["star_response"]

# The features that move with the entries of the gradient, those that a factored second moment
# scales, and those of rows and columns: they move with the entries where there are no factors.
SCALED = ("scaled_gradient", "scaled_momentum")
ENTRIES = ("gradient", "momentum", "rms", "preconditioned_momentum", "inverse_rms", *SCALED)
ROWS, COLUMNS = ("row", "inverse_row"), ("column", "inverse_column")


class Moved(NamedTuple):
    """The change of an update and of its blackbox part."""

    update: Any
    blackbox: Any


@dataclass(frozen=True)
class StarResponse:
    """dgradient, dparams -> dupdate, dblackbox; linear, trees of the structure of the parameters.

    `jax.linear_transpose` gives the transpose. The blackbox part is the term -f_b of the update,
    zero where the configuration has none.
    """

    tensors: list["_TensorResponse"]
    structure: Any

    def __call__(self, by_gradient: Any, by_params: Any = None) -> Moved:
        gradients = jax.tree.leaves(by_gradient)
        params = [None] * len(gradients) if by_params is None else jax.tree.leaves(by_params)
        moved = [tensor(g, p) for tensor, g, p in zip(self.tensors, gradients, params, strict=True)]
        return Moved(*(self._tree(part) for part in zip(*moved, strict=True)))

    def elementwise(self) -> Moved:
        """D, what an entry's own gradient moves it by while every mean stands still."""
        parts = [tensor.outputs() for tensor in self.tensors]
        return Moved(*(self._tree([o.gradient for o in part]) for part in zip(*parts, strict=True)))

    def by_parameters(self) -> tuple[Any, Any, Any]:
        """du/dparams as diag(a) + b c^T for each tensor: a, b and c."""
        each = []
        for tensor in self.tensors:
            shape, rows = tensor.parameter.shape, tensor.update.squares
            acting = rows[-1].reshape(shape) if len(rows) else jnp.zeros(shape)
            along = 2.0 / max(1, tensor.parameter.size) * tensor.parameter
            each.append((tensor.update.parameter, acting, along))
        a, b, c = (self._tree(part) for part in zip(*each, strict=True))
        return a, b, c

    def _tree(self, leaves: Iterable[Array]) -> Any:
        return jax.tree.unflatten(self.structure, list(leaves))


def star_response(
    meta_parameters: MetaParameters,
    config: StarConfig,
    params: Any,
    gradient: Any,
    state: StarState,
) -> StarResponse:
    """The derivative of `lopt.star`'s update at an incoming hidden state, weight decay left out."""
    decays = learned_decays(meta_parameters, config)
    each = [
        _tensor_response(meta_parameters, config, decays, state.count, *tensor)
        for tensor in tensors(gradient, params, state)
        if tensor is not None
    ]
    return StarResponse(each, jax.tree.structure(params))


class _Output(NamedTuple):
    """How the update, or its blackbox part, moves; arrays of the tensor's shape.

    With the gradient and with the parameter (D), with mean squares (S, ``[k, size]``), with the
    logarithm of each scale (B), with the units of the first layer (U).
    """

    gradient: Array
    parameter: Array
    squares: Array
    scales: list[Array]
    units: list[Array]


class _Factors(NamedTuple):
    """The factored second moments of a tensor, and what they scale.

    Of the d-th `scaled` feature `row_squares` and `column_squares` hold the sums of squares.
    """

    moments: tuple[Array, Array, Array]
    """Row, column, and the mean of the row."""
    rate: Array
    scaled: list[tuple[int, int]]
    """Place among the whole features, and decay."""
    row_squares: list[Array]
    column_squares: list[Array]
    weights: Features
    shrink: Features


@dataclass(frozen=True)
class _TensorResponse:
    gradient: Array
    parameter: Array
    squares: Array
    factors: _Factors | None
    update: _Output
    blackbox: _Output | None

    def outputs(self) -> tuple[_Output, _Output]:
        """How the update and its blackbox part move; the latter is zero where there is none."""
        zero = jax.tree.map(jnp.zeros_like, self.update)
        return self.update, self.blackbox or zero

    def __call__(self, by_gradient: Array, by_parameter: Array | None = None) -> Moved:
        size = max(1, self.gradient.size)
        squares = jnp.matmul(self.squares, by_gradient.ravel(), precision="highest")
        changes: list[Array] = []
        units: list[Array] = []
        if self.factors is not None:
            row, column, units = self._by_factors(self.factors, by_gradient)
            for n, (place, d) in enumerate(self.factors.scaled):
                along = jnp.vdot(self.factors.row_squares[n], row[d], precision="highest")
                along += jnp.vdot(self.factors.column_squares[n], column[d], precision="highest")
                squares = squares.at[place].add(2.0 / size * along)
            changes = [r + c for r, c in zip(row, column, strict=True)]
        own = jnp.zeros(())
        if by_parameter is not None:
            own = 2.0 / size * jnp.vdot(self.parameter, by_parameter, precision="highest")
        squares = jnp.append(squares, own)

        def moved(output: _Output) -> Array:
            pairs = [
                *zip(output.scales, changes, strict=False),
                *zip(output.units, units, strict=False),
                (output.gradient, by_gradient),
            ]
            if by_parameter is not None:
                pairs.append((output.parameter, by_parameter))
            terms = [weight * change for weight, change in pairs]
            if len(output.squares):
                along = jnp.matmul(squares, output.squares, precision="highest")
                terms.append(along.reshape(self.gradient.shape))
            return reduce(add, terms)

        update = moved(self.update)
        return Moved(update, moved(self.blackbox) if self.blackbox else jnp.zeros_like(update))

    def _by_factors(
        self, factors: _Factors, by_gradient: Array
    ) -> tuple[Array, Array, list[Array]]:
        """The changes of the logarithms of row and column scales, ``[d, ...]``, and of the units
        by what rows and columns give them.
        """
        axes = factored_axes(by_gradient.shape)
        assert axes is not None
        product = self.gradient * by_gradient
        row = jnp.mean(product, axis=axes[1], keepdims=True)
        column = jnp.mean(product, axis=axes[0], keepdims=True)
        mean = jnp.mean(row, axis=axes[0], keepdims=True)
        tangents = tuple(factors.rate * change for change in (row, column, mean))
        values, moved = jax.jvp(_rows_and_columns, factors.moments, tangents)
        changes = [by / value for value, by in zip(values.scales, moved.scales, strict=True)]
        given = []
        for kind, value in values.features.items():
            by, count = moved.features[kind], max(1, value[0].size)
            square = jnp.sum(value * by, axis=tuple(range(1, value.ndim)), keepdims=True)
            shrink = getattr(factors.shrink, kind).reshape(square.shape)
            whole = by + 2.0 / count * shrink * square * value
            given.append(jnp.tensordot(getattr(factors.weights, kind), whole, (0, 0),
                                       precision="highest"))  # fmt: skip
        return (*changes, [reduce(add, parts) for parts in zip(*given, strict=True)])


class _RowsAndColumns(NamedTuple):
    scales: tuple[Array, ...]
    features: dict[str, Array]


def _rows_and_columns(row: Array, column: Array, mean: Array) -> _RowsAndColumns:
    """What depends on a row or a column alone: the factors of the scales, and features."""
    return _RowsAndColumns(
        factored_scales(row, column, mean).gradient, rows_and_columns(row, column)
    )


class _Entrywise(NamedTuple):
    """The features that move with the entries of the gradient, and the momenta and second moments:
    the derivative of each by its own entry, and of the features the values, too.
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
    """The derivatives of the features of these kinds; factored second moments stand still."""
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
    """The network's first layer before its activation: its units, the weights of the features with
    their normalization folded in, and the derivative of the logarithm of each normalization by the
    mean square.
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
) -> _TensorResponse:
    g, p = bounded(jnp.asarray(gradient, jnp.float32)), jnp.asarray(parameter, jnp.float32)
    swept = sweep(old, g, p, decays, blocked=False)
    a, factored = swept.accumulators, factored_axes(g.shape) is not None
    kinds = (ENTRIES if factored else (*ENTRIES, *ROWS, *COLUMNS)) if config.heads else ()
    moving = _entrywise(old, g, p, decays, swept, kinds)
    layer = _first_layer(theta.network, swept, count) if config.heads else None
    ones, none = jnp.ones_like(g), jnp.zeros_like(g)

    def outputs(units: list[Array], a: Accumulators, g: Array) -> Moved:
        heads = upper_layers(theta.network, units, config.heads) if units else []
        nominal, blackbox = update_terms(theta, config, heads, g, a)
        nominal, blackbox = (none if part is None else part for part in (nominal, blackbox))
        return Moved(nominal + blackbox, blackbox)

    pullback = jax.vjp(outputs, layer.units if layer else [], a, g)[1]
    scaled = [
        (place, decay)
        for kind in (SCALED if factored and config.heads else ())
        for decay, place in enumerate(_places(swept.features, kinds, kind))
    ]

    def output(which: Moved) -> _Output:
        by_units, by_moments, own = computed_once(lambda: pullback(which), count)
        found = _output(by_units, by_moments, own, moving, layer, p, kinds, scaled)
        return found if factored else found._replace(units=[])

    twice = 2.0 / max(1, g.size)
    squares = [twice * v * t for v, t in zip(moving.features, moving.by_entry, strict=True)]
    return _TensorResponse(
        gradient=g,
        parameter=p,
        squares=_rows(squares, g),
        factors=_factors(a, decays, scaled, moving.features, layer) if scaled and layer else None,
        update=output(Moved(ones, none)),
        blackbox=output(Moved(none, ones)) if config.blackbox_term else None,
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
) -> _Output:
    """How an output moves, from its derivatives by the units, the accumulators and the gradient."""
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
    return _Output(
        gradient=reduce(add, along),
        parameter=each[-1] if each else jnp.zeros_like(parameter),
        squares=_rows(acting, parameter),
        scales=[reduce(add, by_scale[decay]) for decay in sorted(by_scale)],
        units=by_units,
    )


def _listed(x: Features, kinds: Sequence[str]) -> list[Array]:
    """The features of these kinds, one after the other."""
    return [value for kind in kinds for value in getattr(x, kind)]


def _rows(arrays: Sequence[Array], like: Array) -> Array:
    """The arrays, each of the shape of `like`, as the rows of a matrix; of none an empty one."""
    return stacked(*(x.ravel() for x in arrays)) if arrays else jnp.zeros((0, like.size))


def _places(x: Features, kinds: Sequence[str], kind: str) -> range:
    """Where the features of a kind stand among those of all kinds."""
    before = sum(getattr(x, other).shape[0] for other in kinds[: kinds.index(kind)])
    return range(before, before + getattr(x, kind).shape[0])


def _factors(
    a: Accumulators,
    decays: Decays,
    scaled: list[tuple[int, int]],
    features: list[Array],
    layer: _FirstLayer,
) -> _Factors:
    axes = factored_axes(a.rms.shape[1:])
    assert axes is not None
    assert a.column is not None
    values = [features[place] for place, _ in scaled]
    return _Factors(
        moments=(a.row, a.column, jnp.mean(a.row, axis=axes[0] + 1, keepdims=True)),
        rate=2.0 * (1.0 - decays.adafactor).reshape(-1, *(1,) * (a.rms.ndim - 1)),
        scaled=scaled,
        row_squares=[jnp.sum(v * v, axis=axes[1], keepdims=True) for v in values],
        column_squares=[jnp.sum(v * v, axis=axes[0], keepdims=True) for v in values],
        weights=layer.weights,
        shrink=layer.shrink,
    )
