"""The derivative of STAR's update of one tensor, as a linear map that is applied in a few passes.

`lopt.optimizers.star_response` computes its coefficients and states the formula.
"""

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from lopt.optimizers.parts.accumulators import factored_axes
from lopt.optimizers.parts.features import Features, factored_scales, rows_and_columns

__all__ = ["Coefficients", "FactorCoefficients", "Moved", "TensorResponse"]


class Moved(NamedTuple):
    """The changes of an update and of its blackbox part: arrays, or trees of arrays."""

    update: optax.Updates
    blackbox: optax.Updates


class Coefficients(NamedTuple):
    """The derivatives of the update, or of its blackbox part; arrays of the tensor's shape.

    They are those by the gradient and by the parameter (D), by the mean squares (S,
    ``[k, size]``), by the logarithm of each scale (B), and by the units of the first layer (U).
    """

    gradient: Array
    parameter: Array
    squares: Array
    scales: list[Array]
    units: list[Array]


class Normalization(NamedTuple):
    """The division of an update by its root mean square, times the normalized step.

    `update` is the sum of the terms divided by its root mean square, `blackbox` one term of it so
    divided. A change ``v`` of the sum and ``w`` of the term moves what is normalized by ``factor *
    (v - update * mean(update * v))`` and ``factor * (w - blackbox * mean(update * v))``.
    """

    factor: Array
    update: Array
    blackbox: Array

    def __call__(self, update: Array, blackbox: Array) -> Moved:
        """The changes of the normalized update and of its blackbox part, by those of the terms."""
        along = jnp.vdot(self.update, update, precision="highest") / max(1, update.size)
        return Moved(
            self.factor * (update - along * self.update),
            self.factor * (blackbox - along * self.blackbox),
        )

    def diagonal(self, update: Array, blackbox: Array) -> Moved:
        """The diagonals of the two maps, by those of the terms' if these have no other entries."""
        along = self.update * update / max(1, update.size)
        return Moved(
            self.factor * (update - along * self.update),
            self.factor * (blackbox - along * self.blackbox),
        )


class FactorCoefficients(NamedTuple):
    """The factored second moments of a tensor, and the features that they scale.

    `row_squares` and `column_squares` hold the sums of squares of each `scaled` feature.
    """

    moments: tuple[Array, Array, Array]
    """The row, the column, and the mean of the row."""
    rate: Array
    scaled: list[tuple[int, int]]
    """The index of each feature among the listed ones, and the index of its decay."""
    row_squares: list[Array]
    column_squares: list[Array]
    weights: Features
    shrink: Features


@dataclass(frozen=True)
class TensorResponse:
    """dgradient, dparameter -> dupdate, dblackbox of one tensor; linear."""

    gradient: Array
    parameter: Array
    squares: Array
    factors: FactorCoefficients | None
    update: Coefficients
    blackbox: Coefficients | None
    normalization: Normalization | None

    def outputs(self) -> tuple[Coefficients, Coefficients]:
        """The derivatives of the terms' sum and of its blackbox part, zero if there is none."""
        zero = jax.tree.map(jnp.zeros_like, self.update)
        return self.update, self.blackbox or zero

    def __call__(self, by_gradient: Array, by_parameter: Array | None = None) -> Moved:
        """Return the changes of the update and of its blackbox part."""
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

        def moved(output: Coefficients) -> Array:
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
        blackbox = moved(self.blackbox) if self.blackbox else jnp.zeros_like(update)
        return (self.normalization or Moved)(update, blackbox)

    def elementwise(self) -> Moved:
        """The derivative of each entry by its own gradient while the means of the features are
        held fixed.
        """
        update, blackbox = (output.gradient for output in self.outputs())
        return (self.normalization.diagonal if self.normalization else Moved)(update, blackbox)

    def by_parameter(self) -> tuple[Array, list[tuple[Array, Array]]]:
        """du/dparameter as ``diag(a) + sum b c^T``: a, and the pairs b and c."""
        shape, rows = self.parameter.shape, self.update.squares
        own = self.update.parameter
        acting = rows[-1].reshape(shape) if len(rows) else jnp.zeros(shape)
        along = 2.0 / max(1, self.parameter.size) * self.parameter
        n = self.normalization
        if n is None:
            return own, [(acting, along)]
        projected = n(acting, acting).update
        mean = -n.factor / max(1, self.parameter.size) * n.update
        return n.factor * own, [(projected, along), (mean, n.update * own)]

    def _by_factors(
        self, factors: FactorCoefficients, by_gradient: Array
    ) -> tuple[Array, Array, list[Array]]:
        """The changes of the logarithms of the row and column scales, ``[d, ...]``, and of what
        the units receive from rows and columns.
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
    """The factors of the scales and the features that depend on a row or a column alone."""
    return _RowsAndColumns(
        factored_scales(row, column, mean).gradient, rows_and_columns(row, column)
    )
