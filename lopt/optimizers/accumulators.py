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


class Accumulators(NamedTuple):
    """The moving averages of one tensor of shape ``s``; the leading axis runs over the decays."""

    momentum: jax.Array
    """``[momentum decays, *s]``: averages of the gradient."""
    rms: jax.Array
    """``[rms decays, *s]``: averages of the squared gradient."""
    row: jax.Array
    """``[adafactor decays, *s]`` with a 1 on the largest axis: its mean taken over that axis."""
    column: jax.Array
    """The same with a 1 on the second largest axis; for rank 0 and 1 an empty array, `row`
    being unfactored.
    """


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
    """The second largest and the largest axis (the later one on ties); None below rank 2."""
    if len(shape) < 2:
        return None
    order = sorted(range(len(shape)), key=lambda axis: shape[axis])
    return order[-2], order[-1]


def init_accumulators(
    shape: tuple[int, ...], momentum: int, rms: int, adafactor: int
) -> Accumulators:
    """Accumulators at zero, float32, for so many decays of each family."""
    axes = factored_axes(shape)

    def zeros(count: int, without: int | None = None) -> jax.Array:
        kept = tuple(1 if axis == without else size for axis, size in enumerate(shape))
        return jnp.zeros((count, *kept), jnp.float32)

    return Accumulators(
        momentum=zeros(momentum),
        rms=zeros(rms),
        row=zeros(adafactor, axes[1] if axes else None),
        column=zeros(adafactor, axes[0]) if axes else jnp.zeros((0,), jnp.float32),
    )


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
) -> tuple[jax.Array, jax.Array]:
    """The factored second moments, row and column, after this gradient."""
    square = gradient * gradient + FACTORED_FLOOR
    axes = factored_axes(gradient.shape)
    if axes is None:
        return _average(old.row, square, decays.adafactor), old.column
    row, column = (jnp.mean(square, axis=axis, keepdims=True) for axis in (axes[1], axes[0]))
    return (
        _average(old.row, row, decays.adafactor),
        _average(old.column, column, decays.adafactor),
    )


def update_accumulators(old: Accumulators, gradient: jax.Array, decays: Decays) -> Accumulators:
    """The accumulators after the gradient (float32) went in."""
    momentum, rms = update_moments(old.momentum, old.rms, gradient, decays)
    return Accumulators(momentum, rms, *update_factored(old, gradient, decays))
