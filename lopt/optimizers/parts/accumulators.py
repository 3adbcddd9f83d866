"""The hidden state: exponential moving averages of the gradient and of its square, stable by
design (section 5.1).

An accumulator follows ``a' = d a + (1 - d) x`` with a decay ``d`` that is itself meta-learned.
Second moments of tensors of rank two and more are also kept factored over their two largest axes,
as in Adafactor.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

# A meta-parameter moves log(1 - d) ten times faster than itself.
DECAY_RATE = 10.0
FACTORED_FLOOR = 1e-30
# Of an entry of a gradient: a sum of 3e8 squares stays below the largest number of float32.
LARGEST = 1e15


class Accumulators(NamedTuple):
    """The moving averages of one tensor of shape ``s``; the leading axis runs over the decays."""

    momentum: jax.Array
    """``[momentum decays, *s]``: averages of the gradient."""
    rms: jax.Array
    """``[rms decays, *s]``: averages of the squared gradient."""
    row: jax.Array
    """``[adafactor decays, *s]`` with a 1 on the largest axis: its mean taken over that axis."""
    column: jax.Array | None
    """As `row`, with the 1 on the second largest axis; None where `row` is not factored."""


class Decays(NamedTuple):
    """The decays in use, one vector a family."""

    momentum: jax.Array
    rms: jax.Array
    adafactor: jax.Array


def decay(offset: jax.Array, initial: Sequence[float]) -> jax.Array:
    """The decays ``d = 1 - exp(10 (log(1 - d0)/10 + offset))`` of meta-learned offsets, shape
    ``[decays]``.
    """
    complement = 1.0 - jnp.asarray(initial, offset.dtype)
    return 1.0 - complement * jnp.exp(DECAY_RATE * offset)


def factored_axes(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """The second largest and the largest axis (the later one on ties); None below rank 2 and for
    a tensor without entries, of which there is no mean.
    """
    if len(shape) < 2 or 0 in shape:
        return None
    order = sorted(range(len(shape)), key=lambda axis: shape[axis])
    return order[-2], order[-1]


def init_accumulators(
    parameter: jax.Array, momentum: int, rms: int, adafactor: int
) -> Accumulators:
    """Accumulators at zero, float32, for so many decays of each family.

    They are made from the parameter, so that each axis lies on the devices on which the parameter's
    does.
    """
    axes = factored_axes(jnp.shape(parameter))
    zero = jnp.zeros_like(parameter, jnp.float32)

    def zeros(count: int, without: int | None = None) -> jax.Array:
        one = zero if without is None else jnp.sum(zero, axis=without, keepdims=True)
        return jnp.broadcast_to(one[None], (count, *one.shape))

    return Accumulators(
        momentum=zeros(momentum),
        rms=zeros(rms),
        row=zeros(adafactor, axes[1] if axes else None),
        column=zeros(adafactor, axes[0]) if axes else None,
    )


def bounded(gradient: jax.Array) -> jax.Array:
    """The gradient with finite entries cut at +- 1e15, so that every mean of squares is finite.

    What is not finite stays so.
    """
    cut = jnp.clip(gradient, -LARGEST, LARGEST)
    return jnp.where(jnp.isfinite(gradient), cut, gradient)


def bounded_square(gradient: jax.Array) -> jax.Array:
    """The square of the bounded gradient; NaN where the gradient is not finite.

    Written so that it fuses into every sum over rows and columns: of the square of `bounded`, XLA
    would keep an array.
    """
    return jnp.minimum(gradient * gradient, LARGEST * LARGEST) + (gradient - gradient)


def _average(old: jax.Array, new: jax.Array, decays: jax.Array) -> jax.Array:
    """``d a + (1 - d) x`` for every decay; `old` is ``[decays, *s]``, `new` has shape ``s``."""
    d = decays.reshape((-1,) + (1,) * new.ndim)
    return d * old + (1.0 - d) * new[None]


def update_moments(
    momentum: jax.Array, rms: jax.Array, gradient: jax.Array, decays: Decays
) -> tuple[jax.Array, jax.Array]:
    """The averages of the gradient and of its square after this gradient, any part of a tensor."""
    return (
        _average(momentum, gradient, decays.momentum),
        _average(rms, gradient * gradient, decays.rms),
    )


def update_factored(
    old: Accumulators, gradient: jax.Array, decays: Decays
) -> tuple[jax.Array, jax.Array | None]:
    """The factored second moments, row and column, after this gradient."""
    square = bounded_square(gradient) + FACTORED_FLOOR
    axes = factored_axes(gradient.shape)
    if axes is None or old.column is None:
        return _average(old.row, square, decays.adafactor), old.column
    row, column = (jnp.mean(square, axis=axis, keepdims=True) for axis in (axes[1], axes[0]))
    return (
        _average(old.row, row, decays.adafactor),
        _average(old.column, column, decays.adafactor),
    )


def update_accumulators(old: Accumulators, gradient: jax.Array, decays: Decays) -> Accumulators:
    """The accumulators updated by the gradient (float32)."""
    momentum, rms = update_moments(old.momentum, old.rms, gradient, decays)
    return Accumulators(momentum, rms, *update_factored(old, gradient, decays))
