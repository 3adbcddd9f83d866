"""Trajectories of affine recursions on symmetric and square blocks, all steps at once.

A state is a tuple of N x N blocks; `symmetric` says which of them are stored by their half.
Arrays of states are (batch, many, parts, N, N); stored trajectories (batch, stored, time).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from nqm.validate import Array

Map = Callable[[Array], Array]

LIFTED = 48
"""Up to this many numbers, a linear step is applied as a matrix to the whole trajectory."""


def transposed(x: Array) -> Array:
    """The last two axes swapped."""
    return np.swapaxes(x, -1, -2)


def packing(symmetric: tuple[bool, ...], n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which entries of the full blocks are stored, and where each full entry is stored."""
    full = np.arange(len(symmetric) * n * n).reshape(-1, n, n)
    for part, flag in enumerate(symmetric):
        if flag:
            full[part] = np.minimum(full[part], full[part].T)
    pick, spread = np.unique(full, return_inverse=True)
    return pick, spread.reshape(-1)


def unpack(y: Array, symmetric: tuple[bool, ...], n: int) -> Array:
    """(batch, stored, time) to (batch, parts, N, N, time)."""
    full = y[:, packing(symmetric, n)[1]]
    return full.reshape(len(y), len(symmetric), n, n, -1)


def lift(linear: Map, symmetric: tuple[bool, ...], batch: int, n: int) -> Array:
    """The matrix of a linear map from stored entries to full blocks, for each of the batch."""
    pick, spread = packing(symmetric, n)
    basis = np.eye(pick.size)[:, spread].reshape(1, pick.size, len(symmetric), n, n)
    images = linear(np.broadcast_to(basis, (batch, *basis.shape[1:])))
    return transposed(images.reshape(batch, pick.size, -1))


def apply(linear: Map, symmetric: tuple[bool, ...], y: Array, n: int) -> Array:
    """A linear map on a whole trajectory: as a matrix if that is small."""
    if len(symmetric) * n * n > LIFTED:
        return np.moveaxis(linear(np.moveaxis(unpack(y, symmetric, n), -1, 1)), 1, -1)
    return (lift(linear, symmetric, len(y), n) @ y).reshape(len(y), -1, n, n, y.shape[-1])


def orbit_of(
    step: Map, symmetric: tuple[bool, ...], start: Array, offset: Array, count: int
) -> Array:
    """y_0 = start, y_{t+1} = step(y_t) + offset, for t < count; (batch, stored, count).

    Small steps by doubling: the known values give as many more through a power of the step.
    """
    batch, parts, n, _ = start.shape
    pick, _ = packing(symmetric, n)
    orbit = np.empty((batch, pick.size, count))
    orbit[..., 0] = start.reshape(batch, -1)[:, pick]
    if parts * n * n > LIFTED:
        last = start
        for t in range(1, count):
            last = step(last[:, None])[:, 0] + offset
            orbit[..., t] = last.reshape(batch, -1)[:, pick]
        return orbit
    power = lift(step, symmetric, batch, n)[:, pick]
    shift, known = offset.reshape(batch, -1, 1)[:, pick], 1
    while known < count:
        new = min(known, count - known)
        fresh = orbit[..., known : known + new]
        np.matmul(power, orbit[..., :new], out=fresh)
        fresh += shift
        known += new
        shift, power = power @ shift + shift, power @ power
    return orbit
