"""`numeric()` computes the formulas: against exact values, and against what they describe."""

import numpy as np
import pytest
import sympy
from sympy import Matrix, MatrixBase, MatrixSymbol

from theory.catalogue import STATEMENTS, find
from theory.engine.algebra import at_one
from theory.engine.statement import Statement
from theory.engine.symbols import N


def letters(formula: sympy.Basic) -> list[sympy.Basic]:
    """The free letters of a formula, by name."""
    return sorted(formula.free_symbols - {N}, key=str)


def values_at_one(formula: sympy.Basic) -> dict[sympy.Basic, sympy.Rational]:
    """A rational value for each letter, an integer where it must be one."""
    return {
        letter: sympy.Integer(2 + i) if letter.is_integer else sympy.Rational(3 + i, 11 + 2 * i)
        for i, letter in enumerate(letters(formula))
    }


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: s.name)
def test_it_agrees_with_exact_arithmetic_at_one(statement: Statement) -> None:
    for name, function in statement.numeric(size=1).items():
        formula = statement.formulas[name]
        place = values_at_one(formula)
        scalars = {k: v for k, v in place.items() if not isinstance(k, MatrixSymbol)}
        exact = formula.subs(scalars).doit() if formula.has(sympy.Sum) else formula.subs(scalars)
        if isinstance(formula, MatrixBase):
            expected = np.array(exact.tolist(), dtype=float)
        elif formula.has(sympy.Indexed):
            continue  # a sequence as argument; see below
        else:
            matrices = {m: place[m] for m in formula.atoms(MatrixSymbol)}
            expected = np.array([[float(at_one(exact, matrices))]])
        arguments = {
            str(k): np.full([int(n.subs(N, 1)) for n in k.shape], float(v))
            if isinstance(k, MatrixSymbol)
            else (int(v) if k.is_integer else float(v))
            for k, v in place.items()
        }
        if any(np.shape(a) not in ((), (1, 1)) for a in arguments.values()):
            continue  # the letters of twice the dimension; see the test of the variance
        np.testing.assert_allclose(
            np.ravel(function(**arguments)), np.ravel(expected), rtol=1e-12, atol=1e-14
        )


def test_a_sequence_as_argument() -> None:
    bound = find("eq-a13").numeric()["bound"]
    assert bound(a=[1.0, 0.5, 0.25], g=2.0, s=3.0, t=3) == pytest.approx(6 * 1.75)


def test_both_namespaces() -> None:
    for modules in ("numpy", "jax"):
        value = find("eq-6").numeric(size=2, modules=modules)["update_matrix"](
            H=np.diag([1.0, 2.0]), P=np.zeros((2, 2)), alpha=0.25
        )
        np.testing.assert_allclose(value, np.diag([0.75, 0.5]))


def test_the_loss_formula_is_the_unrolled_loss() -> None:
    """(8) with its factor 1/2, against propagated moments, N = 3."""
    generator = np.random.default_rng(0)
    hessian, noise, second = (m @ m.T for m in generator.normal(size=(3, 3, 3)))
    update = np.eye(3) - 0.3 / np.linalg.norm(hessian) * hessian
    state, total, gain = second, 0.0, np.eye(3) - update
    for _ in range(5):
        state = update @ state @ update.T + gain @ noise @ gain.T
        total += 0.5 * np.trace(hessian @ (state + noise))
    found = find("eq-8").numeric(size=3)["meta_loss"](A=update, H=hessian, S=noise, Pi0=second, T=5)
    np.testing.assert_allclose(found, total / 5, rtol=1e-12)
    closed = find("lemma-5").numeric(size=3)["meta_loss"]
    lyapunov = np.linalg.solve(
        np.eye(9) - np.kron(update.T, update.T), hessian.reshape(-1)
    ).reshape(3, 3)
    first = update @ second @ update.T + gain @ noise @ gain.T
    last = first
    for _ in range(5):
        last = update @ last @ update.T + gain @ noise @ gain.T
    value = closed(C=last, H=hessian, Pi=first, Q=gain @ noise @ gain.T, S=noise, T=5, X=lyapunov)
    np.testing.assert_allclose(value, total / 5, rtol=1e-9)


def test_matrices_are_returned_whole() -> None:
    cofactors = find("all-hessians-space").numeric()["cofactors"]
    entries = {f"z{i}{j}": float(3 * i + j * j) for i in (1, 2, 3) for j in (1, 2, 3)}
    exact = Matrix(3, 3, lambda i, j: 3 * (i + 1) + (j + 1) ** 2).cofactor_matrix()
    np.testing.assert_allclose(cofactors(**entries), np.array(exact.tolist(), dtype=float))
