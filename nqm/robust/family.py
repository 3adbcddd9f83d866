"""The update matrices of the uncertainty set (15) as one affine family, in floats and exactly.

Letters: P = Delta P~, Delta = diag(d), 0 < d_i <= dbar_i, so A(d) = A_0 - B diag(d) C with
A_0 = I - alpha H, B = I, C = P~ H. Each d_i multiplies a matrix of rank one: the coefficients of
the characteristic polynomial are affine in every d_i. Where H is singular, A acts on range(H):
H = V diag(h) V^T gives A_0 = I - alpha diag(h), B = V^T, C = P~ V diag(h).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from nqm import validate
from nqm.problem import Problem, pose
from nqm.quadratic import NoisyQuadratic
from nqm.spectra.enclosures import enclosure
from nqm.validate import EPS, Array

EXACT_SIZE = 8
"""Up to this size a witness is proved with rational numbers, above it with rounding bounds."""

LARGEST = 1e100
"""Above this size of A(d) its squares would leave float64."""

Rational = list[list[Fraction]]


@dataclass(frozen=True, eq=False)
class DisturbedFamily:
    """A(d) = A_0 - B diag(d) C for 0 < d <= dbar, with the norm of the loss.

    Attributes
    ----------
    hessian : (N, N) array
        H.
    preconditioner : (N, N) array
        P~.
    nominal_step : float
        alpha.
    bound : (N,) array
        dbar.
    base, left, right : (r, r), (r, N), (N, r) arrays
        A_0, B and C, r the rank of H.
    norm : (r, r) array
        H on its range: |x|^2 = x^T H x is twice the loss.
    full_rank : bool
        Whether r = N.
    """

    hessian: Array
    preconditioner: Array
    nominal_step: float
    bound: Array
    base: Array
    left: Array
    right: Array
    norm: Array
    full_rank: bool

    @property
    def size(self) -> int:
        """r, the number of rows of A."""
        return int(self.base.shape[0])

    @cached_property
    def magnitude(self) -> float:
        """A bound on the norm of every term that A(d) is summed from."""
        scaled = float(np.linalg.norm(self.left * self.bound)) * float(np.linalg.norm(self.right))
        step = abs(self.nominal_step) * float(np.linalg.norm(self.norm))
        return 1 + np.sqrt(self.size) + step + scaled

    def matrices(self, disturbances: Array) -> Array:
        """A(d) for an array of disturbances (..., N); (..., r, r)."""
        return self.base - (self.left * disturbances[..., None, :]) @ self.right

    def radius(self, disturbances: Array) -> Array:
        """rho(A(d)), as computed; (...)."""
        return np.asarray(np.max(np.abs(np.linalg.eigvals(self.matrices(disturbances))), axis=-1))

    def corners(self, lower: Array, upper: Array) -> Array:
        """The 2^N corners of boxes (..., N); (..., 2^N, N)."""
        choice = np.array(list(product((False, True), repeat=self.bound.size)))
        return np.where(choice, upper[..., None, :], lower[..., None, :])

    @cached_property
    def rational(self) -> tuple[Rational, Rational, Rational]:
        """A_0, B, C without rounding; for singular H those of the reduced matrices as stored."""
        if not self.full_rank:
            return fractions(self.base), fractions(self.left), fractions(self.right)
        H, P = fractions(self.hessian), fractions(self.preconditioner)
        alpha, n = Fraction(self.nominal_step), range(self.size)
        base = [[Fraction(i == j) - alpha * H[i][j] for j in n] for i in n]
        return base, [[Fraction(i == j) for j in n] for i in n], times(P, H)

    def exactly(self, disturbance: list[Fraction]) -> Rational:
        """A(d) in rational numbers."""
        base, left, right = self.rational
        scaled = [[x * d for x, d in zip(row, disturbance, strict=True)] for row in left]
        moved = times(scaled, right)
        rows = zip(base, moved, strict=True)
        return [[a - b for a, b in zip(*pair, strict=True)] for pair in rows]

    def proves_unstable(self, disturbance: Array) -> bool:
        """Whether rho(A(d)) > 1 for certain, and d lies in the set."""
        inside = np.all(disturbance > 0) and np.all(disturbance <= self.bound)
        radius = float(self.radius(disturbance))
        if not inside or not np.isfinite(radius):
            return False
        if not self.full_rank or self.size > EXACT_SIZE:
            return bool(enclosure(self.matrices(disturbance), 8 * EPS * self.magnitude).lower > 1)
        if radius < 1 - 1e-6:
            return False
        A = self.exactly([Fraction(float(d)) for d in disturbance])
        if self.size == 2:
            return min(jury(A)) < 0
        outside = (Fraction(1 + (radius - 1) / 2), 1 + Fraction(1, 2**60))
        polynomial = characteristic_polynomial(A)
        return any(r > 1 and not all_roots_inside(polynomial, r) for r in outside)


def disturbed_family(
    hessian: ArrayLike | NoisyQuadratic,
    preconditioner: ArrayLike,
    nominal_step: float,
    disturbance_bound: ArrayLike,
) -> DisturbedFamily:
    """The family of H, P~, alpha and dbar, which are validated here."""
    return posed_family(pose(hessian, preconditioner, nominal_step), disturbance_bound)


def posed_family(problem: Problem, disturbance_bound: ArrayLike) -> DisturbedFamily:
    """The family of a validated problem."""
    model, alpha = problem.model, problem.alpha
    H, n, rank = model.hessian, problem.dimension, problem.rank
    P = np.zeros((n, n)) if problem.given is None else problem.given
    bound = validate.disturbance_bound(disturbance_bound, n)
    if rank == n:
        base, left, right, norm = np.eye(n) - alpha * H, np.eye(n), P @ H, H
    else:
        h, V = model.hessian_eigenvalues[n - rank :], np.linalg.eigh(H)[1][:, n - rank :]
        base, left, right, norm = np.eye(rank) - alpha * np.diag(h), V.T, P @ (V * h), np.diag(h)
    family = DisturbedFamily(
        hessian=H,
        preconditioner=P,
        nominal_step=alpha,
        bound=bound,
        base=base,
        left=left,
        right=right,
        norm=norm,
        full_rank=rank == n,
    )
    with np.errstate(over="ignore"):
        size = family.magnitude
    if not size < LARGEST:
        raise ValueError(
            f"disturbance_bound times preconditioner times hessian must stay below {LARGEST:g}; "
            f"it reaches {size:g}. Pass a smaller bound."
        )
    return family


def fractions(matrix: Array) -> Rational:
    """The floating-point numbers of a matrix without rounding."""
    return [[Fraction(float(x)) for x in row] for row in matrix]


def times(x: Rational, y: Rational) -> Rational:
    """The product of two rational matrices."""

    def dot(row: list[Fraction], column: tuple[Fraction, ...]) -> Fraction:
        return sum((a * b for a, b in zip(row, column, strict=True)), Fraction(0))

    columns = list(zip(*y, strict=True))
    return [[dot(row, column) for column in columns] for row in x]


def jury(A: Rational) -> tuple[Fraction, Fraction, Fraction]:
    """1 - det, 1 + tr + det, 1 - tr + det of a 2 x 2 matrix: rho <= 1 iff none is negative.

    >>> from fractions import Fraction
    >>> min(jury([[Fraction(1), Fraction(5)], [Fraction(0), Fraction(-1)]]))
    Fraction(0, 1)
    """
    trace, det = A[0][0] + A[1][1], A[0][0] * A[1][1] - A[0][1] * A[1][0]
    return 1 - det, 1 + trace + det, 1 - trace + det


def characteristic_polynomial(A: Rational) -> list[Fraction]:
    """det(z I - A), highest power first, by Faddeev and LeVerrier.

    >>> from fractions import Fraction
    >>> characteristic_polynomial([[Fraction(1), Fraction(2)], [Fraction(3), Fraction(4)]])
    [Fraction(1, 1), Fraction(-5, 1), Fraction(-2, 1)]
    """
    n = len(A)
    power = [[Fraction(i == j) for j in range(n)] for i in range(n)]
    coefficients = [Fraction(1)]
    for k in range(1, n + 1):
        power = times(A, power)
        coefficients.append(-sum((power[i][i] for i in range(n)), Fraction(0)) / k)
        for i in range(n):
            power[i][i] += coefficients[-1]
    return coefficients


def all_roots_inside(polynomial: list[Fraction], radius: Fraction) -> bool:
    """Whether every root has modulus < radius, by Schur and Cohn; exact.

    >>> from fractions import Fraction
    >>> p = [Fraction(1), Fraction(0), Fraction(-4)]  # roots 2 and -2
    >>> all_roots_inside(p, Fraction(2)), all_roots_inside(p, Fraction(21, 10))
    (False, True)
    """
    n = len(polynomial) - 1
    p = [c * radius ** (n - i) for i, c in enumerate(polynomial)]  # p(radius z)
    while len(p) > 1:
        if abs(p[-1]) >= abs(p[0]):
            return False
        ratio = p[-1] / p[0]
        p = [a - ratio * b for a, b in zip(p[:-1], p[:0:-1], strict=True)]
    return True
