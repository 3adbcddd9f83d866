"""Statements and proofs as lines of text for a terminal."""

import shutil
import textwrap
from collections.abc import Iterable

import sympy
from sympy import Basic, MatrixBase

from theory.engine.statement import Formulas, Proof, Statement, Status
from theory.engine.steps import Step
from theory.engine.symbols import MEANING

MARKS = {True: "[ok]", False: "[FAILS]", None: "    "}
LONGEST = 320  # characters of one relation; the longer ones are polynomials in many letters


def plain(expression: Basic) -> str:
    """An expression on one line, equations with an equals sign."""
    if isinstance(expression, MatrixBase):
        return str(expression.tolist())
    if isinstance(expression, sympy.Equality):
        return f"{plain(expression.lhs)} = {plain(expression.rhs)}"
    line = sympy.sstr(expression).replace("**", "^").replace("lamda", "lambda").replace(".T", "^T")
    return line.replace("Trace", "tr")


def trivial(relation: Basic) -> bool:
    """Whether both sides of an equation look alike, as when SymPy has evaluated them."""
    return isinstance(relation, sympy.Equality) and relation.lhs == relation.rhs


def shortened(line: str) -> str:
    """A line cut in its middle if it is too long to be read."""
    if len(line) <= LONGEST:
        return line
    return (
        f"{line[: LONGEST // 2]} ... ({len(line) - LONGEST} characters) ... {line[-LONGEST // 2 :]}"
    )


def folded(text: str, indent: str, first: str = "") -> list[str]:
    """Text folded to the width of the terminal, at most 100 columns."""
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    return textwrap.wrap(
        text, width, initial_indent=indent + first, subsequent_indent=indent + " " * len(first)
    ) or [indent]


def table(rows: Iterable[tuple[Statement, bool]]) -> list[str]:
    """Name, equations, status and title of each statement, one a line."""
    lines = []
    for statement, proved in rows:
        where = ", ".join(statement.statement.equations)
        state = statement.status.value if proved else "NOT PROVED"
        lines.append(f"{statement.name:26} {where:14} {state:29} {statement.title}".rstrip())
    return lines


def _steps(steps: Iterable[Step]) -> list[str]:
    lines = []
    for step in steps:
        lines += folded(step.says, "  ", f"{MARKS[step.holds]:5}")
        if step.shows is not None and not trivial(step.shows):
            lines += folded(shortened(plain(step.shows)), " " * 9)
    return lines


def _formulas(title: str, formulas: Formulas) -> list[str]:
    if not formulas:
        return []
    lines = ["", title]
    for name, formula in formulas.items():
        lines += folded(shortened(plain(formula)), "  ", f"{name} = ")
    return lines


def letters(statement: Statement) -> str:
    """What the letters of the statement's formulas stand for, where that is fixed."""
    names = {str(s) for f in statement.formulas.values() for s in f.free_symbols}
    return "; ".join(f"{name}: {meaning}" for name, meaning in MEANING.items() if name in names)


def page(statement: Statement, proof: Proof) -> list[str]:
    """The statement, its formulas, its proof step by step and the counterexample."""
    where = ", ".join(statement.statement.equations)
    lines = [f"{statement.name}: {statement.title}" + (f"  [{where}]" if where else "")]
    lines += [f"status: {statement.status.value}", ""]
    lines += folded(statement.statement.text, "  ")
    for assumption in statement.statement.assumptions:
        lines += folded(assumption, "  ", "assume: ")
    lines += folded(statement.remark, "  ", "remark: ") if statement.remark else []
    lines += _formulas("What holds", statement.formulas)
    lines += folded(letters(statement), "  ", "with ") if letters(statement) else []
    lines += ["", "Proof ([ok]: verified by SymPy; the rest are words that join the steps)"]
    lines += _steps(proof.steps)
    lines += _formulas("As printed", statement.printed)
    if proof.counterexample:
        against = (
            "what was printed" if statement.status is not Status.TRUE else "what the remark names"
        )
        lines += _formulas(f"Counterexample to {against}", statement.witness)
        lines += _steps(proof.counterexample)
    return lines
