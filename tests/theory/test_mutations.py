"""A wrong sign or factor in any formula makes its proof fail.

Each formula of each statement is replaced, one change at a time, through `dataclasses.replace`;
`prove` is then the very call that accepts the right formula.
"""

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
import sympy
from sympy import Basic, Matrix, MatrixBase

from theory.catalogue import STATEMENTS
from theory.engine.statement import ProofError, Statement


def mutants(formula: Basic) -> Iterator[tuple[str, Basic]]:
    """A formula with the wrong sign, the wrong factor, one term's sign or one number wrong."""
    if isinstance(formula, MatrixBase):
        yield from entry_mutants(formula)
        return
    yield "negated", -formula
    yield "doubled", 2 * formula
    for node in nodes(formula):
        if isinstance(node, sympy.Add | sympy.MatAdd):
            for term in node.args:
                flipped = node.func(*[-a if a == term else a for a in node.args])
                yield f"sign of {term}", formula.xreplace({node: flipped})
        if is_word(node) and not formula.has(sympy.Trace):  # a trace does not see every order
            yield f"order of {node}", formula.xreplace({node: node.func(*reversed(node.args))})
    for node in nodes(formula):
        if isinstance(node, sympy.Pow | sympy.MatPow) and node.exp.is_Rational:
            yield f"exponent of {node}", formula.xreplace({node: node.base ** (node.exp + 1)})
        if isinstance(node, sympy.Mul | sympy.MatMul) and node.args[0].is_Rational:
            yield f"factor of {node}", formula.xreplace({node: 3 * node})


def nodes(formula: Basic) -> Iterator[Basic]:
    """Every part of a formula, but for the shapes of its matrices."""
    yield formula
    if not isinstance(formula, sympy.MatrixSymbol):
        for part in formula.args:
            yield from nodes(part)


def is_word(node: Basic) -> bool:
    """Whether a node is a product of matrices whose reversal has the same shape and differs."""
    if not isinstance(node, sympy.MatMul) or not isinstance(node.args[0], sympy.MatrixExpr):
        return False
    return node.is_square and all(part.is_square for part in node.args)


def entry_mutants(formula: MatrixBase) -> Iterator[tuple[str, Basic]]:
    """An explicit matrix with one entry of the wrong sign or doubled."""
    for index in [i for i, entry in enumerate(formula) if entry != 0][:3]:
        for name, factor in (("negated", -1), ("doubled", 2)):
            entries = list(formula)
            entries[index] *= factor
            yield f"entry {index} {name}", Matrix(*formula.shape, entries)


def changes(statement: Statement) -> list[tuple[str, str, Basic]]:
    """Every mutation of a statement that differs from its formula."""
    found = []
    for key, formula in statement.formulas.items():
        for name, mutant in mutants(formula):
            if mutant != formula:
                found.append((key, name, mutant))
    return found


CASES = [(s, *change) for s in STATEMENTS for change in changes(s)]
# By default every fifth, at least one of each statement.
EVERY = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 5


def test_there_are_enough() -> None:
    assert len(CASES) >= 30
    mutated = {statement.name for statement, *_ in CASES}
    assert mutated == {s.name for s in STATEMENTS}, "every statement is mutated"


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: s.name)
def test_every_mutation_is_caught(statement: Statement) -> None:
    survivors = [
        f"{key}, {name}: {mutant}"
        for key, name, mutant in changes(statement)[::EVERY]
        if proves(replace(statement, formulas={**statement.formulas, key: mutant}))
    ]
    assert not survivors


def proves(statement: Statement) -> bool:
    """Whether `prove` accepts the statement."""
    try:
        statement.prove()
    except ProofError:
        return False
    return True


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: s.name)
def test_the_same_formula_written_otherwise_is_accepted(statement: Statement) -> None:
    """The control: it is the meaning that a proof checks, so a rewriting must not fail it."""
    rewritten = {}
    for key, formula in statement.formulas.items():
        scalar = isinstance(formula, sympy.Expr) and not formula.has(sympy.MatrixExpr, sympy.Sum)
        rewritten[key] = sympy.expand(formula) if scalar else formula
    assert proves(replace(statement, formulas=rewritten))


def witness_changes(statement: Statement) -> Iterator[tuple[str, Basic]]:
    """The numbers of a counterexample, each doubled or, when zero, set to one."""
    for key, value in statement.witness.items():
        if isinstance(value, MatrixBase):
            index = next(i for i, entry in enumerate(value) if entry != 0)
            entries = list(value)
            entries[index] = -3 * entries[index]
            yield key, Matrix(*value.shape, entries)
            if value.is_square:
                yield key, sympy.eye(value.rows)
        else:
            yield key, sympy.Integer(3) if value == 0 else -3 * value


@pytest.mark.parametrize("statement", [s for s in STATEMENTS if s.refute], ids=lambda s: s.name)
def test_a_wrong_counterexample_is_caught(statement: Statement) -> None:
    wrong = [
        replace(statement, witness={**statement.witness, key: value})
        for key, value in witness_changes(statement)
    ]
    assert not all(map(proves, wrong)), "the counterexample does not depend on its numbers"
