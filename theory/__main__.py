"""python -m theory: the table of statements, one statement's proof, or the errata document."""

import argparse
import sys
from collections.abc import Sequence

from theory.catalogue import STATEMENTS, UnknownStatementError, find
from theory.engine.statement import ProofError, Status
from theory.errata import Latex, Markdown, document
from theory.text import page, table


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(
        prog="python -m theory",
        description="Prove the statements of the paper, corrected where they must be, in SymPy.",
    )
    result.add_argument("name", nargs="?", help="one statement, as theorem-1, lemma-3, eq-a14")
    kind = result.add_mutually_exclusive_group()
    kind.add_argument("--markdown", action="store_true", help="the errata as Markdown")
    kind.add_argument("--latex", action="store_true", help="the errata as LaTeX")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 0: all proved, 1: a proof fails, 2: bad input."""
    chosen = parser().parse_args(arguments)
    if chosen.name and (chosen.markdown or chosen.latex):
        print(
            "--markdown and --latex write the whole document: leave out the name", file=sys.stderr
        )
        return 2
    try:
        statements = [find(chosen.name)] if chosen.name else list(STATEMENTS)
    except UnknownStatementError as error:
        print(error, file=sys.stderr)
        return 2
    if not (chosen.name or chosen.markdown or chosen.latex):
        return _table()
    try:
        proved = [(statement, statement.prove()) for statement in statements]
    except ProofError as error:
        print(error, file=sys.stderr)
        return 1
    if chosen.name:
        print("\n".join(page(*proved[0])))
    else:
        print(document(Latex() if chosen.latex else Markdown(), proved), end="")
    return 0


def _table() -> int:
    failures = []
    for statement in STATEMENTS:
        try:
            statement.prove()
        except ProofError as error:
            failures.append(error)
        print("\n".join(table([(statement, not failures or failures[-1].name != statement.name)])))
    counts = [f"{sum(s.status is k for s in STATEMENTS)} {k.value}" for k in Status]
    print(f"{len(STATEMENTS)} statements, {len(failures)} not proved: {'; '.join(counts)}")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
