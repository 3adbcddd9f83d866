"""Every statement, those of the paper first and in its order, and how to find one by name."""

import difflib
import re
from types import ModuleType

from theory.engine.statement import Statement
from theory.paper import (
    cancellation,
    dynamics,
    lemma2,
    lemma3,
    lemma4,
    lemma5,
    stability,
    theorem1,
)
from theory.sharper import (
    all_hessians,
    conditions,
    metagradient,
    moments,
    momentum,
    normalized,
    robust,
    stochastic,
    symmetric,
)

MODULES = (
    dynamics,
    cancellation,
    theorem1,
    lemma2,
    lemma3,
    lemma4,
    lemma5,
    stability,
    symmetric,
    conditions,
    all_hessians,
    robust,
    moments,
    metagradient,
    momentum,
    stochastic,
    normalized,
)


def of_module(module: ModuleType) -> list[Statement]:
    """The statements that a module defines, in its order."""
    return [value for value in vars(module).values() if isinstance(value, Statement)]


def paper_order(statement: Statement) -> tuple[int, int]:
    """Sort key: theorem, lemmas, (6) to (19), (A.1) to (A.29), the text, then the sharper ones."""
    name = statement.name
    for rank, pattern in enumerate((r"theorem-(\d+)", r"lemma-(\d+)", r"eq-(\d+)", r"eq-a(\d+)")):
        if found := re.fullmatch(pattern, name):
            return rank, int(found[1])
    return (4 if statement.of_the_paper else 5), 0


STATEMENTS: tuple[Statement, ...] = tuple(
    sorted((s for module in MODULES for s in of_module(module)), key=paper_order)
)
BY_NAME = {statement.name: statement for statement in STATEMENTS}


class UnknownStatementError(ValueError):
    """A name that no statement has."""


def find(name: str) -> Statement:
    """The statement of a name, in any of the usual spellings of an equation number.

    Raises
    ------
    UnknownStatementError
        With the nearest names, in one line.

    Examples
    --------
    >>> find("eq-10").statement.equations
    ('10',)
    >>> find("(A.14)").name
    'eq-a14'
    """
    plain = re.sub(r"[\s_.()]+", "-", name.lower()).strip("-")
    number = re.fullmatch(r"(?:eq-?)?(a?)-?(\d+)", plain)
    plain = f"eq-{number[1]}{number[2]}" if number else plain
    if plain in BY_NAME:
        return BY_NAME[plain]
    near = difflib.get_close_matches(plain, BY_NAME, n=3, cutoff=0.4)
    hint = f"nearest: {', '.join(near)}" if near else "`python -m theory` lists them"
    raise UnknownStatementError(f"no statement is called {name!r}; {hint}")
