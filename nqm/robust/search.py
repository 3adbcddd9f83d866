"""The search for a disturbance that destabilizes, inside the box and not on its corners alone."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from nqm.robust.family import DisturbedFamily
from nqm.validate import Array

SMALLEST = 2.0**-40
"""The set is open at d_i = 0: the search stays at or above this fraction of dbar_i."""


def find_worst(family: DisturbedFamily, rng: np.random.Generator, starts: int) -> Array:
    """A disturbance with a large spectral radius: the best of corners, samples and ascents.

    rho is a maximum of smooth functions; where its largest eigenvalue is simple,
    d lambda / d d_i = -(w^H b_i)(c_i v)/(w^H v) with its left and right eigenvectors w, v.
    """
    lower, upper = family.bound * SMALLEST, family.bound
    steps = min(200, 3 * 10**7 // family.size**3)  # of one ascent; seconds at N = 100, none later
    starts = min(starts, max(1, 10**7 // family.size**3))
    points = _candidates(family, rng, starts)
    order = np.argsort(-family.radius(points))
    best, value = points[order[0]], float(family.radius(points[order[0]]))
    box = list(zip(lower, upper, strict=True))
    for start in points[order[:starts]]:
        if steps < 10:
            break
        found = minimize(
            lambda d: _ascent(family, d),
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=box,
            options={"maxfun": steps},
        ).x
        found = np.clip(found, lower, upper)
        radius = float(family.radius(found))
        if radius > value:
            best, value = found, radius
    return best


def _candidates(family: DisturbedFamily, rng: np.random.Generator, starts: int) -> Array:
    n, bound = family.bound.size, family.bound
    inside = rng.uniform(SMALLEST, 1.0, size=(32 * starts, n))
    if n <= 10:
        corners = family.corners(np.full(n, SMALLEST), np.ones(n))
    else:
        corners = np.where(rng.random((32 * starts, n)) < 0.5, SMALLEST, 1.0)
    faces = np.where(rng.random((16 * starts, n)) < 0.4, rng.uniform(SMALLEST, 1.0, (1, n)), 1.0)
    low = np.where(rng.random((16 * starts, n)) < 0.4, SMALLEST, faces)
    found = np.concatenate([np.ones((1, n)), corners, inside, faces, low]) * bound
    return found[: max(3, 3 * 10**9 // family.size**3)]


def _ascent(family: DisturbedFamily, d: Array) -> tuple[float, Array]:
    """-rho(A(d)) and its gradient."""
    values, right = np.linalg.eig(family.matrices(d))
    k = int(np.argmax(np.abs(values)))
    radius = float(np.abs(values[k]))
    inverse = np.linalg.pinv(right)  # rows are the left eigenvectors, with w^H v = 1
    slope = -(inverse[k] @ family.left) * (family.right @ right[:, k])
    direction = np.conj(values[k]) / radius if radius else 1.0
    return -radius, -np.real(direction * slope)


def shrink_into_set(family: DisturbedFamily, corner: Array) -> Array | None:
    """A point of the open set, at or beside `corner`, at which instability is proved."""
    for exponent in (20, 40, 59, 10, 5, 3):
        d = np.maximum(corner, family.bound * 2.0**-exponent)
        if family.proves_unstable(d):
            return d
    return None
