"""The kinds of step a proof is made of; each decides in exact arithmetic whether it holds.

`identity` compares two expressions, `nonnegative` and `loewner` verify certificates (a sum of
products of factors known to be nonnegative, a sum of congruences of matrices known to be positive
semidefinite), `exact` evaluates a relation between numbers, and `because` carries the words that
join them and decides nothing.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import sympy
from sympy import Basic, Expr, MatrixBase, MatrixExpr, MatrixSymbol

from theory.engine.algebra import (
    added,
    equal,
    multiplied,
    substituted,
    transposed,
    without_traces,
    words,
)
from theory.engine.symbols import SYMMETRIC


class Step(NamedTuple):
    """One step: what it says, the relation it shows, and whether SymPy agrees.

    `holds` is None where the step is an argument in words, which joins what is verified.
    """

    says: str
    shows: Basic | None
    holds: bool | None


def because(says: str) -> Step:
    """An argument in words between verified steps."""
    return Step(says, None, None)


def _shown(left: Basic, right: Basic, symmetric: Collection[MatrixSymbol] = ()) -> Basic:
    plain = {letter.T: letter for letter in symmetric}
    sides = [s.xreplace(plain) if isinstance(s, MatrixExpr) else s for s in (left, right)]
    return sympy.Eq(*sides, evaluate=False)


def identity(
    says: str,
    left: Basic,
    right: Basic,
    *,
    symmetric: Collection[MatrixSymbol] = SYMMETRIC,
    where: Mapping[MatrixExpr, MatrixExpr] | None = None,
) -> Step:
    """The identity left = right, for every value of the letters in it."""
    return Step(says, _shown(left, right, symmetric), same(left, right, symmetric, where))


def same(
    left: Basic,
    right: Basic,
    symmetric: Collection[MatrixSymbol] = SYMMETRIC,
    where: Mapping[MatrixExpr, MatrixExpr] | None = None,
) -> bool:
    """Whether two matrices, matrix expressions or scalars are identically equal."""
    if isinstance(left, MatrixBase) or isinstance(right, MatrixBase):
        left, right = sympy.Matrix(left), sympy.Matrix(right)
        return left.shape == right.shape and all(map(vanishes, left - right))
    if isinstance(left, MatrixExpr):
        return left.shape == right.shape and equal(left, right, symmetric, where)
    difference = substituted(left - right, where)
    return vanishes(without_traces(difference, symmetric))


def vanishes(expression: Expr) -> bool:
    """Whether a scalar expression is identically zero; an exact value refutes before algebra."""
    difference = sympy.expand(expression)
    if difference == 0:
        return True
    point = {
        symbol: sympy.Rational(3 + 2 * index, 7 + index)
        if not symbol.is_integer
        else sympy.Integer(3 + index)
        for index, symbol in enumerate(sorted(difference.free_symbols, key=str))
    }
    value = difference.subs(point)
    if value.is_Rational and value != 0:
        return False
    if value.is_number and not value.has(sympy.zoo, sympy.nan) and abs(value.evalf(30)) > 1e-12:
        return False
    if sympy.cancel(sympy.together(difference)) == 0:
        return True
    return sympy.simplify(difference) == 0


def nonnegative(
    says: str, expression: Expr, terms: Iterable[Expr], given: Collection[Expr] = ()
) -> Step:
    """expression >= 0: it is the sum of the terms, each a product of factors that are >= 0.

    A factor counts as nonnegative if it is among `given` or if SymPy deduces it from the signs of
    its symbols (squares included).
    """
    terms = list(terms)
    known = set(given)
    signs = all(f in known or f.is_nonnegative for e in terms for f in sympy.Mul.make_args(e))
    total = sympy.Add(*terms, evaluate=False) if len(terms) > 1 else terms[0]
    return Step(says, _shown(expression, total), signs and vanishes(expression - sympy.Add(*terms)))


def loewner(
    says: str,
    expression: MatrixExpr,
    terms: Iterable[tuple[Expr, MatrixExpr, MatrixExpr]],
    given: Collection[MatrixExpr],
    *,
    signs: Collection[Expr] = (),
    symmetric: Collection[MatrixSymbol] = SYMMETRIC,
    where: Mapping[MatrixExpr, MatrixExpr] | None = None,
) -> Step:
    """expression >= 0 (Loewner): it is the sum over (c, X, Y) of c X^T Y X with c >= 0, Y >= 0.

    Each Y must be among `given` (what is assumed positive semidefinite), each c a product of
    factors among `signs` or nonnegative by the signs of its symbols.
    """
    terms = list(terms)
    known = set(signs)
    allowed = all(
        y in given and all(f in known or f.is_nonnegative for f in sympy.Mul.make_args(c))
        for c, _, y in terms
    )
    total = added(
        [
            multiplied(
                {(): c},
                multiplied(
                    multiplied(
                        transposed(x_words, symmetric), words(substituted(y, where), symmetric)
                    ),
                    x_words,
                ),
            )
            for c, x, y in terms
            for x_words in [words(substituted(x, where), symmetric)]
        ]
    )
    negative = {word: -value for word, value in total.items()}
    left = words(substituted(expression, where), symmetric)
    shown = sympy.MatAdd(*[c * (x.T * y * x) for c, x, y in terms])
    holds = allowed and not {w: c for w, c in added([left, negative]).items() if not vanishes(c)}
    return Step(says, _shown(expression, shown, symmetric), holds)


def exact(says: str, relation: Basic) -> Step:
    """A relation between exact numbers, which SymPy evaluates to true or not."""
    return Step(says, relation, bool(relation.doit() == True))  # noqa: E712


def evaluated(says: str, left: Basic, right: Basic) -> Step:
    """An equality between exact numbers or matrices of them, shown as it was evaluated."""
    return Step(says, _shown(left, right), same(left, right))
