"""Matrix identities for every N at once: normal forms in the free algebra over the scalars.

A matrix expression is expanded into a sum of words. A word is a tuple of letters, a letter is
(matrix symbol, is it transposed, exponent), and adjacent powers of one letter are merged, also
when the exponents are symbolic. Two expressions with the same normal form are equal for every
dimension and every value of their letters; what is not implied by ring laws (that H is symmetric,
say) enters only through the set of symmetric letters.
"""

from collections.abc import Callable, Collection, Mapping
from functools import reduce
from operator import add, mul

import sympy
from sympy import Expr, Matrix, MatrixBase, MatrixExpr, MatrixSymbol

Letter = tuple[MatrixSymbol, bool, Expr]
Word = tuple[Letter, ...]
Polynomial = dict[Word, Expr]


class NoNormalFormError(TypeError):
    """An expression that is not a sum of products of powers of letters."""


def words(expression: MatrixExpr, symmetric: Collection[MatrixSymbol]) -> Polynomial:
    """The normal form of a matrix expression: {word: coefficient}, zero coefficients dropped."""
    match expression:
        case MatrixSymbol():
            return {((expression, False, sympy.S.One),): sympy.S.One}
        case sympy.Identity():
            return {(): sympy.S.One}
        case sympy.ZeroMatrix():
            return {}
        case sympy.Transpose():
            return transposed(words(expression.arg, symmetric), symmetric)
        case sympy.MatAdd():
            return added([words(term, symmetric) for term in expression.args])
        case sympy.MatMul():
            result: Polynomial = {(): sympy.S.One}
            for factor in expression.args:
                is_matrix = isinstance(factor, MatrixExpr)
                right: Polynomial = words(factor, symmetric) if is_matrix else {(): factor}
                result = multiplied(result, right)
            return result
        case sympy.Inverse() | sympy.MatPow():
            return power(words(expression.base, symmetric), expression.exp)
    raise NoNormalFormError(f"no normal form for {type(expression).__name__}: {expression}")


def added(polynomials: list[Polynomial]) -> Polynomial:
    """The sum of normal forms."""
    total: Polynomial = {}
    for polynomial in polynomials:
        for word, coefficient in polynomial.items():
            total[word] = total.get(word, sympy.S.Zero) + coefficient
    simplified = {word: sympy.expand(coefficient) for word, coefficient in total.items()}
    return {word: coefficient for word, coefficient in simplified.items() if coefficient != 0}


def merged(word: Word) -> Word:
    """A word with adjacent powers of one letter merged and the zeroth powers dropped."""
    result: list[Letter] = []
    for symbol, flipped, exponent in word:
        if result and result[-1][:2] == (symbol, flipped):
            exponent = sympy.expand(result.pop()[2] + exponent)
        if exponent != 0:
            result.append((symbol, flipped, exponent))
    return tuple(result)


def multiplied(left: Polynomial, right: Polynomial) -> Polynomial:
    """The product of normal forms."""
    return added([{merged(u + v): a * b} for u, a in left.items() for v, b in right.items()])


def power(base: Polynomial, exponent: Expr) -> Polynomial:
    """A power: of a single word of one letter with any exponent, of a sum with an integer >= 0."""
    if len(base) == 1:
        ((word, coefficient),) = base.items()
        if len(word) == 1 and coefficient == 1:
            ((symbol, flipped, inner),) = word
            return {merged(((symbol, flipped, sympy.expand(inner * exponent)),)): sympy.S.One}
    if not (exponent.is_Integer and exponent >= 0):
        raise NoNormalFormError(
            f"the power {exponent} of a sum has no normal form; name the sum instead"
        )
    result: Polynomial = {(): sympy.S.One}
    for _ in range(int(exponent)):
        result = multiplied(result, base)
    return result


def transposed(polynomial: Polynomial, symmetric: Collection[MatrixSymbol]) -> Polynomial:
    """The transpose: every word reversed, every letter that is not symmetric flipped."""
    return {
        merged(tuple((s, s not in symmetric and not f, e) for s, f, e in reversed(word))): c
        for word, c in polynomial.items()
    }


def cyclic(word: Word, symmetric: Collection[MatrixSymbol]) -> Word:
    """The representative of a word under rotation and transposition, which leave a trace alone."""
    while len(word) > 1 and word[0][:2] == word[-1][:2]:
        word = merged((*word[1:], word[0]))
    ((mirror, _),) = transposed({word: sympy.S.One}, symmetric).items()
    rotations = [w[i:] + w[:i] for w in (word, mirror) for i in range(max(len(w), 1))]
    return min(rotations, key=str)


def without_traces(expression: Expr, symmetric: Collection[MatrixSymbol]) -> Expr:
    """A scalar expression with every trace replaced by its normal form in trace symbols."""

    def trace(node: sympy.Trace) -> Expr:
        total = sympy.S.Zero
        for word, coefficient in words(node.arg, symmetric).items():
            name = str(cyclic(word, symmetric)) if word else "N"
            total += coefficient * sympy.Symbol(f"tr{name}")
        return total

    replaced: Callable[[sympy.Trace], Expr] = trace
    return expression.replace(lambda e: isinstance(e, sympy.Trace), replaced)


def equal(
    left: MatrixExpr,
    right: MatrixExpr,
    symmetric: Collection[MatrixSymbol],
    where: Mapping[MatrixExpr, MatrixExpr] | None = None,
) -> bool:
    """Whether two matrix expressions have one normal form once `where` is substituted."""
    difference = [words(substituted(e, where), symmetric) for e in (left, right)]
    negative = {word: -coefficient for word, coefficient in difference[1].items()}
    return not added([difference[0], negative])


def substituted(
    expression: MatrixExpr, where: Mapping[MatrixExpr, MatrixExpr] | None
) -> MatrixExpr:
    """The expression with letters replaced by what they stand for, one after the other."""
    for letter, meaning in (where or {}).items():
        expression = expression.xreplace({letter: meaning})
    return expression


def explicit(
    expression: Expr | MatrixExpr, values: Mapping[MatrixSymbol, Matrix], size: int
) -> Expr | Matrix:
    """The value of an expression for explicit matrices, in dimension `size`."""
    match expression:
        case sympy.Identity():
            return sympy.eye(size)
        case MatrixSymbol():
            return values[expression]
        case sympy.Transpose():
            return explicit(expression.arg, values, size).T
        case sympy.Trace():
            return explicit(expression.arg, values, size).trace()
        case sympy.MatPow() | sympy.Inverse():
            return explicit(expression.base, values, size) ** expression.exp
    if expression.is_Atom:
        return expression
    parts = [explicit(part, values, size) for part in expression.args]
    match expression:
        case sympy.MatAdd() | sympy.Add():
            return reduce(add, parts)
        case sympy.MatMul() | sympy.Mul():
            return reduce(mul, parts)
    return expression.func(*parts)


def at_one(expression: Expr | MatrixExpr, values: Mapping[MatrixSymbol, Expr]) -> Expr:
    """The value at N = 1, where every matrix letter is a number."""
    value = explicit(expression, {m: Matrix([[v]]) for m, v in values.items()}, 1)
    return value[0] if isinstance(value, MatrixBase) else value
