"""Each kind of step refuses what is false, and certificates that are not certificates."""

import pytest
import sympy
from sympy import Rational, Symbol

from theory.engine.gaussian import gaussian_mean, gaussian_variance
from theory.engine.schur import is_schur, is_stable
from theory.engine.statement import ProofError, Statement, Status, Wording
from theory.engine.steps import because, exact, identity, loewner, nonnegative, vanishes
from theory.engine.symbols import H, I, K, P

x, y = sympy.symbols("x y", real=True)
p = Symbol("p", nonnegative=True)
one = sympy.S.One


def test_identity() -> None:
    assert identity("", (x + y) ** 2, x**2 + 2 * x * y + y**2).holds
    assert not identity("", (x + y) ** 2, x**2 + x * y + y**2).holds
    assert identity("", sympy.eye(2), sympy.eye(2)).holds
    assert not identity("", sympy.eye(2), sympy.eye(3)).holds
    assert identity("", K * H, H * K, where={H: K**2}).holds
    assert not identity("", K * P, P * K).holds


@pytest.mark.parametrize(
    "expression", [sympy.sqrt(2) * sympy.sqrt(3) - sympy.sqrt(6), (x**2 - 1) / (x - 1) - x - 1]
)
def test_vanishes(expression: sympy.Expr) -> None:
    assert vanishes(expression)
    assert not vanishes(expression + Rational(1, 10**6))


def test_a_certificate_needs_signs_and_the_sum() -> None:
    assert nonnegative("", x**2 + p, [x**2, p]).holds
    assert not nonnegative("", x**2 + p, [x**2]).holds, "the sum is not the expression"
    assert not nonnegative("", x**2 + y, [x**2, y]).holds, "y has no sign"
    assert nonnegative("", x**2 + y, [x**2, y], {y}).holds
    assert not nonnegative("", x**2 - p, [x**2, -p]).holds, "a negative factor"


def test_a_loewner_certificate() -> None:
    room = I - P
    assert loewner("", K * room * K, [(one, K, room)], {room}).holds
    assert not loewner("", K * room * K, [(one, K, room)], set()).holds, "nothing is given"
    assert not loewner("", K * room * K, [(-one, K, room)], {room}).holds, "a negative coefficient"
    assert not loewner("", K * P * K, [(one, K, room)], {room}).holds, "another expression"


def test_exact() -> None:
    assert exact("", sympy.Lt(Rational(1, 3), Rational(1, 2), evaluate=False)).holds
    assert not exact("", sympy.Lt(Rational(1, 2), Rational(1, 3), evaluate=False)).holds
    assert not exact("", sympy.Lt(x, 1)).holds, "undecided is not true"


def test_words_alone_prove_nothing() -> None:
    def talk(formulas):
        yield because("it is obvious")

    empty = Statement("talk", "", Wording("", (), ()), {"f": x}, talk, Status.TRUE)
    with pytest.raises(ProofError):
        empty.prove()


@pytest.mark.parametrize(
    "roots", [(Rational(1, 2), Rational(-9, 10)), (Rational(1, 2), Rational(11, 10))]
)
def test_schur_cohn_counts_the_roots(roots: tuple[sympy.Rational, ...]) -> None:
    z = Symbol("z")
    polynomial = sympy.Poly(sympy.expand(sympy.Mul(*[z - r for r in roots]) * (3 * z**2 + 2)), z)
    assert is_schur(polynomial.all_coeffs()) == all(abs(r) < 1 for r in roots)


def test_is_stable_at_the_edge() -> None:
    turn = sympy.Matrix([[0, -1], [1, 0]])
    assert not is_stable(turn)
    assert is_stable(Rational(999, 1000) * turn)


def test_wick() -> None:
    covariance = sympy.Matrix([[2, 1], [1, 3]])
    assert gaussian_mean(x**2 * y**2, (x, y), covariance) == 2 * 3 + 2 * 1
    assert gaussian_variance(x**2, (x, y), covariance) == 2 * 2**2
    assert gaussian_mean(x**6, (x,), sympy.Matrix([[1]])) == 15
