"""Schur-Cohn in exact arithmetic: do the roots of a polynomial lie inside the unit circle?"""

from collections.abc import Sequence

from sympy import Expr, Matrix, Symbol


def is_schur(coefficients: Sequence[Expr]) -> bool:
    """Whether every root of a_n z^n + ... + a_0 (highest first, rational) has modulus < 1.

    The recursion of Schur and Cohn: |a_0| < |a_n|, and (a_n p - a_0 p*)/z has the same property,
    where p* has the coefficients reversed. No rounding: rational coefficients stay rational.

    Examples
    --------
    >>> from sympy import Rational
    >>> is_schur([1, 0, Rational(1, 2)]), is_schur([1, 0, Rational(3, 2)])
    (True, False)
    """
    current = list(coefficients)
    while len(current) > 1:
        leading, constant = current[0], current[-1]
        if not abs(constant) < abs(leading):
            return False
        reversed_ = current[::-1]
        current = [leading * a - constant * b for a, b in zip(current, reversed_, strict=True)][:-1]
    return True


def is_stable(matrix: Matrix) -> bool:
    """Whether a rational matrix has spectral radius < 1, decided exactly."""
    return is_schur(matrix.charpoly(Symbol("z")).all_coeffs())
