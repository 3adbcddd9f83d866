"""A finite set of matrices as floats, with what the floats may be wrong by, and without rounding.

Letters: A_1 .. A_m the matrices; a word (i_1, ..., i_k) stands for the product A_{i_k} ... A_{i_1},
so that its first letter is applied first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nqm.robust.family import Rational
from nqm.validate import EPS, Array

TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, eq=False)
class MatrixSet:
    """A finite set of matrices, each known up to an error.

    Attributes
    ----------
    matrices : (m, K, K) array
        A_1 .. A_m as floats.
    errors : (m,) array
        Bounds on the spectral norm of what each float matrix is wrong by.
    exact : tuple of rational matrices, or None
        The matrices without rounding, where they are small enough.
    start : (K, K) array or None
        T of a norm |T x| that is likely to fall.
    form : rational matrix or None
        X of a form x^T X x, positive definite, that may never rise.
    """

    matrices: Array
    errors: Array
    exact: tuple[Rational, ...] | None = None
    start: Array | None = None
    form: Rational | None = None

    @property
    def size(self) -> int:
        """K, the number of rows."""
        return int(self.matrices.shape[-1])

    def scaled(self, exponent: int) -> MatrixSet:
        """The floats times 2^-exponent, which rounds nothing; without the exact ones."""
        factor = 2.0**-exponent
        return replace(
            self, matrices=self.matrices * factor, errors=self.errors * factor + TINY, exact=None
        )

    def select(self, chosen: list[int]) -> MatrixSet:
        """The set of the chosen matrices alone."""
        exact = None if self.exact is None else tuple(self.exact[i] for i in chosen)
        return replace(
            self, matrices=self.matrices[chosen], errors=self.errors[chosen], exact=exact
        )


def norm_bounds(matrices: Array) -> Array:
    """Upper bounds on the spectral norms of float matrices (..., K, K), rounding included.

    >>> import numpy as np
    >>> bool(1 <= norm_bounds(np.eye(3)) < 1 + 1e-12)
    True
    """
    size = matrices.shape[-1]
    largest = np.linalg.norm(matrices, 2, axis=(-2, -1))
    return np.asarray(largest * (1 + 32 * (size + 4) * EPS) + TINY)


def norms(given: MatrixSet) -> Array:
    """Upper bounds on the spectral norms of the matrices that the set stands for; (m,)."""
    return norm_bounds(given.matrices) + given.errors


def conjugated(given: MatrixSet, T: Array) -> MatrixSet | None:
    """The set of T A_i T^-1, exactly similar to the given one; None where T is nearly singular.

    With S the computed inverse and R = I - T S, the true one is S (I - R)^-1, which S misses by
    |S| |R| / (1 - |R|).
    """
    size = given.size
    if not np.all(np.isfinite(T)):
        return None
    try:
        S = np.linalg.inv(T)
    except np.linalg.LinAlgError:
        return None
    t, s = float(np.linalg.norm(T)), float(np.max(np.abs(S))) * size
    if not t * s < 1e14:
        return None
    rest = float(np.linalg.norm(np.eye(size) - T @ S)) + 2 * (size + 2) * EPS * t * s
    if not rest < 0.01:
        return None
    inner = T @ given.matrices
    matrices = inner @ S
    frobenius = np.linalg.norm(given.matrices, axis=(-2, -1))
    rounding = 4 * (size + 2) * EPS * t * frobenius * s
    missed = np.linalg.norm(inner, axis=(-2, -1)) * s * rest / (1 - rest)
    errors = rounding + 1.01 * missed + 1.02 * t * s * given.errors
    return MatrixSet(matrices=matrices, errors=errors)


def product_of(given: MatrixSet, word: tuple[int, ...]) -> tuple[Array, float]:
    """The product of a word in floats, and a bound on its error in the spectral norm.

    >>> import numpy as np
    >>> pair = MatrixSet(np.array([[[1.0, 1], [0, 1]], [[1.0, 0], [1, 1]]]), np.zeros(2))
    >>> product_of(pair, (0, 1))[0].tolist()  # A_1 A_0
    [[1.0, 1.0], [1.0, 2.0]]
    """
    size = given.size
    product, error = np.eye(size), 0.0
    letters = norms(given)
    for i in word:
        frobenius = float(np.linalg.norm(product)) * float(np.linalg.norm(given.matrices[i]))
        error = (
            error * float(letters[i])
            + float(np.linalg.norm(product)) * float(given.errors[i])
            + (size + 2) * EPS * frobenius
        )
        product = given.matrices[i] @ product
    return product, 1.01 * error
