"""Robust stability by halving the box until each part has a norm of its own that falls."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nqm.robust.certificates import norm_falls
from nqm.robust.family import DisturbedFamily
from nqm.validate import Array

BATCH = 256
DOUBLINGS = 40


class Subdivision(NamedTuple):
    """Where the halving ended.

    Attributes
    ----------
    boxes : int
        The number of boxes examined.
    complete : bool
        Whether every part is certified.
    suspect : (N,) array or None
        A center at which the spectral radius came out above one.
    """

    boxes: int
    complete: bool
    suspect: Array | None


def subdivide(family: DisturbedFamily, budget: int) -> Subdivision:
    """Certify parts of the box: X_k > A(d)^T X_k A(d) at the corners of part k, so on all of it.

    The set of d with X > A(d)^T X A(d) is convex, because A is affine in d. X_k solves a Lyapunov
    equation at the center of its part, so a part with rho < 1 is certified once it is small
    enough. The last parts first: a failure shows early.
    """
    lower, upper = np.zeros((1, family.bound.size)), family.bound[None].copy()
    boxes = 0
    while len(lower) and boxes < budget:
        low, high = lower[-BATCH:], upper[-BATCH:]
        lower, upper = lower[:-BATCH], upper[:-BATCH]
        boxes += len(low)
        center = (low + high) / 2
        radius = family.radius(center)
        if np.any(radius > 1):
            return Subdivision(boxes, False, center[int(np.argmax(radius))])
        done, reach = _certified(family, low, high, center, radius)
        left = np.logical_not(done)
        low, high, center = low[left], high[left], center[left]
        widest = np.argmax((high - low) * reach[left], axis=1)[:, None]
        split = np.take_along_axis(center, widest, axis=1)
        if np.any(split <= np.take_along_axis(low, widest, axis=1)):
            return Subdivision(boxes, False, None)  # nothing left to halve
        first, second = high.copy(), low.copy()
        np.put_along_axis(first, widest, split, axis=1)
        np.put_along_axis(second, widest, split, axis=1)
        lower = np.concatenate([lower, low, second])
        upper = np.concatenate([upper, first, high])
    return Subdivision(boxes, not len(lower), None)


def _certified(
    family: DisturbedFamily, low: Array, high: Array, center: Array, radius: Array
) -> tuple[Array, Array]:
    """Which boxes have a falling norm, and how far each d_i moves A in it.

    The norm is from the Lyapunov equation of A(center) / gamma; d_i moves A by |b_i| |c_i|.
    """
    corners = family.matrices(family.corners(low, high))
    middle = family.matrices(center)
    done = np.zeros(len(low), dtype=bool)
    for share in (0.5, 0.1):  # of the way from rho to one: how far the norm is fitted to A
        gamma = np.maximum(radius + share * (1 - radius), 1e-3)
        X = _lyapunov(middle / gamma[:, None, None], family.norm)
        falls = norm_falls(corners, X[:, None], family.magnitude)
        done |= np.all(falls, axis=1)
    sizes = np.einsum("in,kij,jn->kn", family.left, X, family.left)
    inverse = np.linalg.pinv(X, hermitian=True)
    duals = np.einsum("ni,kij,nj->kn", family.right, inverse, family.right)
    return done, np.sqrt(np.maximum(sizes * duals, 0.0))


def _lyapunov(F: Array, Q: Array) -> Array:
    """sum_j F^jT Q F^j by doubling, for a stack of matrices; entries that diverge become nan."""
    X, power = np.broadcast_to(Q, F.shape), F
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(DOUBLINGS):
            X = X + np.swapaxes(power, -1, -2) @ X @ power
            power = power @ power
            if np.max(np.abs(power), initial=0.0) < 1e-12:
                break
    return np.where(np.all(np.isfinite(X), axis=(-2, -1), keepdims=True), X, 0.0)
