"""Means of polynomials in centered Gaussian variables, by Wick's rule (Isserlis' theorem)."""

from collections.abc import Sequence

import sympy
from sympy import Expr, Matrix, Symbol


def wick(indices: Sequence[int], covariance: Matrix) -> Expr:
    """E of the product of the variables with these indices: the sum over all pairings."""
    if len(indices) % 2:
        return sympy.S.Zero
    if not indices:
        return sympy.S.One
    first, rest = indices[0], list(indices[1:])
    return sympy.Add(
        *[
            covariance[first, other] * wick(rest[:i] + rest[i + 1 :], covariance)
            for i, other in enumerate(rest)
        ]
    )


def gaussian_mean(polynomial: Expr, variables: Sequence[Symbol], covariance: Matrix) -> Expr:
    """E p(x) for x ~ N(0, covariance).

    Examples
    --------
    >>> x = Symbol("x")
    >>> gaussian_mean(x**4 + x**3 + x**2, [x], Matrix([[2]]))
    14
    """
    total = sympy.S.Zero
    for powers, coefficient in sympy.Poly(polynomial, *variables).terms():
        indices = [i for i, power in enumerate(powers) for _ in range(power)]
        total += coefficient * wick(indices, covariance)
    return total


def gaussian_variance(polynomial: Expr, variables: Sequence[Symbol], covariance: Matrix) -> Expr:
    """Var p(x) for x ~ N(0, covariance)."""
    mean = gaussian_mean(polynomial, variables, covariance)
    return gaussian_mean(sympy.expand((polynomial) ** 2), variables, covariance) - mean**2
