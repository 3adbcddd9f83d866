"""Markdown for captions, pages and cards: text with numbers filled in, and tables."""

import re
import textwrap
from collections.abc import Iterable, Sequence

COLUMNS = 100
VERBATIM = ("|", "#", "    ")
"""The beginnings of tables, headings and code, which are not wrapped."""


def filled(text: str, **numbers: object) -> str:
    r"""Return the text with its fields filled in as by `str.format` and its paragraphs wrapped.

    Examples
    --------
    >>> filled("{few[0]:.1f} of {all} hold.", few=[2.0], all=3)
    '2.0 of 3 hold.\n'
    """
    return wrapped(text.format(**numbers)) + "\n"


def wrapped(text: str) -> str:
    """Return the text with its paragraphs and list items wrapped to 100 columns."""
    return "\n\n".join(map(_wrapped, text.strip("\n").split("\n\n")))


def _wrapped(paragraph: str) -> str:
    if paragraph.startswith(VERBATIM):
        return paragraph
    return "\n".join(map(_filled_lines, re.split(r"\n(?=\* )", paragraph)))


def _filled_lines(item: str) -> str:
    """Wrap a paragraph or list item; text between backquotes stays on one line."""
    words = re.sub(r"`[^`]*`", lambda code: code[0].replace(" ", "\0"), " ".join(item.split()))
    lines = textwrap.fill(
        words,
        COLUMNS,
        subsequent_indent="  " if item.startswith("* ") else "",
        break_on_hyphens=False,
        break_long_words=False,
    )
    return lines.replace("\0", " ")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table with the given column names.

    Examples
    --------
    >>> print(table(("run", "loss"), [("a", "0.1")]))
    | run | loss |
    |---|---|
    | a | 0.1 |
    """
    lines = (f"| {' | '.join(cells)} |" for cells in (head, *rows))
    return "\n".join([next(lines), "|" + "---|" * len(head), *lines])
