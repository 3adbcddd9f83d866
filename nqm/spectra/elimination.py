"""Whether a symmetric matrix of exact numbers is positive definite, decided without rounding."""

from collections.abc import Sequence
from typing import Any


def definiteness(matrix: Sequence[Sequence[Any]]) -> str:
    """'positive', 'semidefinite' or 'indefinite' for a symmetric matrix of exact rationals.

    Symmetric elimination: a negative pivot, or a zero pivot with a nonzero row, exhibits a
    negative direction; 'indefinite' includes negative matrices.

    Parameters
    ----------
    matrix : N x N nested list of exact numbers (Fraction, fmpq, int)

    Returns
    -------
    str

    Examples
    --------
    >>> from fractions import Fraction
    >>> from nqm.spectra.elimination import definiteness
    >>> half = Fraction(1, 2)
    >>> [definiteness([[1, x], [x, 1]]) for x in (half, Fraction(1), 2 * half + half)]
    ['positive', 'semidefinite', 'indefinite']
    """
    rows = [list(row) for row in matrix]
    size, singular = len(rows), False
    for k in range(size):
        pivot = rows[k][k]
        if pivot < 0:
            return "indefinite"
        if pivot == 0:
            if any(rows[k][j] != 0 for j in range(k + 1, size)):
                return "indefinite"
            singular = True
            continue
        for i in range(k + 1, size):
            if rows[i][k] != 0:
                ratio = rows[i][k] / pivot
                for j in range(i, size):
                    rows[i][j] = rows[j][i] = rows[i][j] - ratio * rows[k][j]
    return "semidefinite" if singular else "positive"
