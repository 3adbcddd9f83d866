"""What a statement is: its words, its formulas, the proof that uses them, and its status."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import sympy
from sympy import Basic, MatrixSymbol
from sympy.printing.numpy import JaxPrinter, NumPyPrinter

from theory.engine.algebra import NoNormalFormError
from theory.engine.steps import Step
from theory.engine.symbols import N

Formulas = Mapping[str, Basic]
Derivation = Callable[[Formulas], Iterator[Step]]


class Status(Enum):
    """How a printed statement fares."""

    TRUE = "true as printed"
    CORRECTED = "true after a correction"
    FALSE = "false as printed"
    SHARPER = "sharper, proved"
    REFUTED = "conjecture, refuted"
    BOUND = "bound, proved; exactness open"


class Wording(NamedTuple):
    """What is claimed, under which assumptions, and which equations of the paper it covers."""

    text: str
    assumptions: tuple[str, ...]
    equations: tuple[str, ...]


class Proof(NamedTuple):
    """The verified steps of a derivation and of a counterexample to what was printed."""

    steps: tuple[Step, ...]
    counterexample: tuple[Step, ...]


class ProofError(Exception):
    """A step that SymPy does not confirm."""

    def __init__(self, name: str, step: Step) -> None:
        self.name = name
        super().__init__(f"{name}: not confirmed: {step.says} [{step.shows}]")
        self.step = step


@dataclass(frozen=True)
class Statement:
    """A statement whose formulas are what its proof proves and what `numeric` evaluates.

    Parameters
    ----------
    name, title
        The name on the command line and a line for the table.
    statement
        The words, assumptions and equation numbers.
    formulas
        What holds: the quantity's name and its expression. Proof, numeric form and documents all
        read these, so replacing one by something else makes `prove` fail.
    derive
        The proof: yields the steps for the given formulas.
    status, remark
        How the printed statement fares, and the correction in words.
    printed, refute
        The formulas as printed, where they differ, and the steps of the counterexample.
    witness
        The exact numbers of the counterexample.
    """

    name: str
    title: str
    statement: Wording
    formulas: Formulas
    derive: Derivation
    status: Status
    remark: str = ""
    printed: Formulas = field(default_factory=dict)
    refute: Callable[[Formulas, Formulas], Iterator[Step]] | None = None
    witness: Formulas = field(default_factory=dict)

    @property
    def of_the_paper(self) -> bool:
        """Whether the paper states it."""
        return bool(self.statement.equations)

    def prove(self) -> Proof:
        """Verify every step of the derivation and of the counterexample.

        Raises
        ------
        ProofError
            At the first step that is not confirmed, or if the derivation verifies nothing.
        """
        steps = tuple(self._confirmed(self.derive(self.formulas)))
        against = (
            tuple(self._confirmed(self.refute(self.printed, self.witness))) if self.refute else ()
        )
        for part in (steps, against):
            if part and all(step.holds is None for step in part):
                raise ProofError(self.name, part[0])
        return Proof(steps, against)

    def _confirmed(self, steps: Iterator[Step]) -> Iterator[Step]:
        try:
            for step in steps:
                if step.holds is False:
                    raise ProofError(self.name, step)
                yield step
        except NoNormalFormError as error:
            raise ProofError(self.name, Step(str(error), None, False)) from error

    def numeric(self, *, size: int = 2, modules: str = "numpy") -> dict[str, Callable[..., Any]]:
        """The formulas as functions of their letters, passed by name, in dimension `size`.

        Parameters
        ----------
        size
            The value of N.
        modules
            "numpy" or "jax": the namespace that the functions compute in. It is imported by
            `sympy.lambdify`, when this is called; this package itself imports neither.

        Examples
        --------
        >>> from theory.catalogue import find
        >>> find("eq-10").numeric()["upper"](alpha=0.5, h=2.0)
        0.5
        """
        return {
            name: _function(formula.subs(N, size), modules)
            for name, formula in self.formulas.items()
        }


class _NumPy(NumPyPrinter):
    def _print_Trace(self, expr: sympy.Trace) -> str:
        return f"{self._module_format(self._module + '.trace')}({self._print(expr.arg)})"


class _Jax(JaxPrinter):
    _print_Trace = _NumPy._print_Trace


PRINTERS = {"numpy": _NumPy, "jax": _Jax}


def _function(formula: Basic, modules: str) -> Callable[..., Any]:
    """One formula lambdified; its arguments are its letters, by name."""
    letters = sorted(formula.atoms(MatrixSymbol) | set(formula.free_symbols), key=str)
    letters = [letter for letter in letters if isinstance(letter, MatrixSymbol | sympy.Symbol)]
    printer = PRINTERS[modules](
        {"fully_qualified_modules": False, "inline": True, "allow_unknown_functions": True}
    )
    return sympy.lambdify(letters, formula, modules=modules, printer=printer)


def statement(
    name: str,
    title: str,
    text: str,
    formulas: Formulas,
    *,
    status: Status,
    assumptions: tuple[str, ...] = (),
    equations: tuple[str, ...] = (),
    **rest: Any,
) -> Callable[[Derivation], Statement]:
    """Decorator: makes of a derivation the statement that it proves."""

    def declare(derive: Derivation) -> Statement:
        wording = Wording(text, assumptions, equations)
        return Statement(name, title, wording, formulas, derive, status, **rest)

    return declare
