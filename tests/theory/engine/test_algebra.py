"""The free algebra decides identities as random integer matrices do."""

import random

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Identity, Matrix, MatrixExpr, MatrixSymbol, Trace

from theory.engine.algebra import NoNormalFormError, at_one, equal, without_traces
from theory.engine.symbols import N

H, K = MatrixSymbol("H", N, N), MatrixSymbol("K", N, N)
A, B = MatrixSymbol("A", N, N), MatrixSymbol("B", N, N)
I = Identity(N)
SYMMETRIC = {H, K}


def explicit(expression: MatrixExpr, values: dict) -> Matrix:
    """The value of an expression for explicit 2 x 2 matrices."""
    match expression:
        case sympy.Identity():
            return sympy.eye(2)
        case sympy.ZeroMatrix():
            return sympy.zeros(2)
        case MatrixSymbol():
            return values[expression]
        case sympy.Transpose():
            return explicit(expression.arg, values).T
        case sympy.MatPow() | sympy.Inverse():
            return explicit(expression.base, values) ** expression.exp
    if not isinstance(expression, MatrixExpr):
        return expression
    parts = [explicit(part, values) for part in expression.args]
    total = parts[0]
    for part in parts[1:]:
        total = total + part if isinstance(expression, sympy.MatAdd) else total * part
    return total


def sampled(generator: random.Random) -> dict:
    """Random integer values, symmetric where they must be; invertible, and large: no accidents."""
    values = {}
    for letter in (H, K, A, B):
        while True:
            entries = Matrix(2, 2, [generator.randint(-9999, 9999) for _ in range(4)])
            entries = entries + entries.T if letter in SYMMETRIC else entries
            if entries.det() != 0:
                break
        values[letter] = entries
    return values


leaves = st.sampled_from([H, K, A, B, I, A.T, H**-1, B**2])
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda p: p[0] * p[1]),
        st.tuples(inner, inner).map(lambda p: p[0] - 2 * p[1]),
        inner.map(lambda e: e.T),
    ),
    max_leaves=5,
)


@settings(max_examples=40)
@given(left=expressions, right=expressions, seed=st.integers(0, 2**16))
def test_it_agrees_with_matrices(left: MatrixExpr, right: MatrixExpr, seed: int) -> None:
    generator = random.Random(seed)
    same = all(
        explicit(left, values) == explicit(right, values)
        for values in (sampled(generator) for _ in range(3))
    )
    assert equal(left, right, SYMMETRIC) == same


@settings(max_examples=40)
@given(first=expressions, second=expressions, third=expressions)
def test_ring_laws(first: MatrixExpr, second: MatrixExpr, third: MatrixExpr) -> None:
    assert equal(first * (second + third), first * second + first * third, SYMMETRIC)
    assert equal((first * second).T, second.T * first.T, SYMMETRIC)
    cycle = Trace(first * second * third) - Trace(second * third * first)
    assert sympy.expand(without_traces(cycle, SYMMETRIC)) == 0
    flip = Trace(first * second) - Trace((first * second).T)
    assert sympy.expand(without_traces(flip, SYMMETRIC)) == 0


def test_powers_and_order_matter() -> None:
    t = sympy.Symbol("t", integer=True)
    assert equal(A**t * A, A ** (t + 1), SYMMETRIC)
    assert equal(H**-1 * H, I, SYMMETRIC)
    assert not equal(H * K, K * H, SYMMETRIC)
    assert not equal(A.T, A, SYMMETRIC)
    assert equal(H.T, H, SYMMETRIC)
    assert not equal(H.T, H, set())


def test_what_has_no_normal_form_is_refused() -> None:
    with pytest.raises(NoNormalFormError, match="name the sum"):
        equal((A + B) ** -1, A, SYMMETRIC)


def test_value_at_one() -> None:
    values = {A: sympy.Integer(3), H: sympy.Rational(1, 2)}
    assert at_one((I - A * H) ** 2 * 4 - A.T, values) == 4 * sympy.Rational(1, 4) - 3
    assert at_one(Trace(A * H) * 2, values) == 3
