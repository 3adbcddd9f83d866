"""Sets whose joint spectral radius is exactly one, decided in rational numbers where it is easy."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from nqm.robust.family import Rational, times
from nqm.spectra.elimination import definiteness
from nqm.switching.family import MatrixSet

MOST_PRODUCTS = 200
"""How many distinct products are formed."""


def never_rises(given: MatrixSet) -> str:
    """Which norm no matrix of the set raises, exactly; empty where none of those tried is one.

    >>> import numpy as np
    >>> from nqm.robust.family import fractions
    >>> turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    >>> never_rises(MatrixSet(turn[None], np.zeros(1), (fractions(turn),)))
    'the Euclidean norm'
    """
    if given.exact is None:
        return ""
    size = range(given.size)
    identity = [[Fraction(i == j) for j in size] for i in size]
    forms = [("the Euclidean norm", identity)]
    if given.form is not None:
        forms.insert(0, ("the loss", given.form))
    for name, form in forms:
        if all(_falls(A, form) for A in given.exact):
            return name
    if all(max(sum(map(abs, row)) for row in A) <= 1 for A in given.exact):
        return "the largest entry"
    if all(max(sum(map(abs, row)) for row in zip(*A, strict=True)) <= 1 for A in given.exact):
        return "the sum of the moduli"
    return ""


def _falls(A: Rational, form: Rational) -> bool:
    """X - A^T X A >= 0."""
    image = times([list(row) for row in zip(*A, strict=True)], times(form, A))
    rest = [[x - y for x, y in zip(*rows, strict=True)] for rows in zip(form, image, strict=True)]
    return definiteness(rest) != "indefinite"


class Products(NamedTuple):
    """Whether the products are finitely many, or else a word whose powers grow, if one was met."""

    finite: bool
    growing: tuple[int, ...] | None


def distinct_products(given: MatrixSet) -> Products:
    """Multiply without rounding until nothing new comes, a power grows, or there are too many.

    >>> import numpy as np
    >>> from nqm.robust.family import fractions
    >>> A = np.array([[[0.0, 1.0], [1.0, 0.0]], [[-1.0, 0.0], [2.0, 1.0]]])  # two reflections
    >>> for chosen in (A[:1], A):
    ...     distinct_products(MatrixSet(chosen, np.zeros(2), tuple(map(fractions, chosen))))
    Products(finite=True, growing=None)
    Products(finite=False, growing=(0, 1))
    """
    if given.exact is None:
        return Products(finite=False, growing=None)
    seen: set[tuple[Fraction, ...]] = set()
    queue: list[tuple[tuple[int, ...], Rational]] = [((i,), A) for i, A in enumerate(given.exact)]
    while queue and len(seen) < MOST_PRODUCTS:
        word, product = queue.pop(0)
        key = tuple(x for row in product for x in row)
        if key in seen:
            continue
        seen.add(key)
        if defective_at_one(product):
            return Products(finite=False, growing=word)
        queue += [((*word, i), times(A, product)) for i, A in enumerate(given.exact)]
    return Products(finite=not queue, growing=None)


def defective_at_one(product: Rational) -> bool:
    """Whether an eigenvalue 1 or -1 has fewer eigenvectors than its multiplicity: powers grow.

    >>> from fractions import Fraction
    >>> one, nil = Fraction(1), Fraction(0)
    >>> defective_at_one([[one, one], [nil, one]]), defective_at_one([[one, nil], [nil, one]])
    (True, False)
    """
    for sign in (1, -1):
        shifted = [[x - sign * (i == j) for j, x in enumerate(r)] for i, r in enumerate(product)]
        rank = _rank(shifted)
        if rank < len(product) and _rank(times(shifted, shifted)) < rank:
            return True
    return False


def _rank(matrix: Rational) -> int:
    """The rank, by elimination without rounding."""
    rows, rank = [list(row) for row in matrix], 0
    for column in range(len(matrix)):
        pivot = next((r for r in range(rank, len(rows)) if rows[r][column] != 0), None)
        if pivot is None:
            continue
        rows[rank], rows[pivot] = rows[pivot], rows[rank]
        for r in range(rank + 1, len(rows)):
            ratio = rows[r][column] / rows[rank][column]
            if ratio:
                rows[r] = [x - ratio * y for x, y in zip(rows[r], rows[rank], strict=True)]
        rank += 1
    return rank
