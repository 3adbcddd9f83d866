"""Docstrings with formulas in plain text."""

import re
from collections.abc import Iterator
from typing import Any

from sphinx.application import Sphinx
from sphinx.ext import autosummary

# Outside of code, a bar, a star or an underscore belongs to a formula, not to the markup.
CODE = re.compile(r"(``.+?``|:\w+:`[^`]+`|`[^`]+`|\\.|^\s*\* |(?<![\w*])\*\w[^*]*\*(?!\w))")
# A line that begins with "m." or "(9)" does not belong to a list.
LISTED = re.compile(r"^(\s*)([a-zA-Z]\.(?=\s|$)|\((?:\d+|[a-zA-Z])\)(?=\s|$))")
# The end of a sentence, which the dots of "A_T ... A_1" and of "s . H" are not.
PERIOD = re.compile(r"(?<=[^\s.])\.\s+")


def plain_formulas(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Escape the formulas of a docstring."""
    lines[:] = escaped(lines)


def escaped(lines: list[str]) -> list[str]:
    """Escape the markup characters of formulas such as ``|x|``, ``phi_`` and ``a * b``."""
    found = []
    quoted = False
    for line in unnumbered(lines):
        # A doctest and the first line of a directive contain no formulas to escape.
        quoted = line.startswith((">>>", "...")) or (quoted and bool(line.strip()))
        if not quoted and not line.lstrip().startswith((":", "..")):
            parts = CODE.split(line)
            parts[0] = LISTED.sub(r"\1\\\2", parts[0])
            line = "".join(part if i % 2 else _escaped(part) for i, part in enumerate(parts))
        found.append(line)
    return found


def unnumbered(lines: list[str]) -> Iterator[str]:
    """Turn references into a list, since footnote numbers would clash between docstrings."""
    reference = False
    for line in lines:
        if found := re.fullmatch(r"\.\. (\[\d+\] .*)", line):
            yield f"* {found[1]}"
        elif reference and line.startswith("   "):
            yield f"  {line.strip()}"
        else:
            yield re.sub(r"(\[\d+\])_(?!\w)", r"\1", line)
        reference = bool(found) or (reference and line.startswith("   "))


def _escaped(text: str) -> str:
    text = re.sub(r"(?<!\\)\|", r"\\|", text)
    text = re.sub(r"(?<!\*)\*\*(?=\w)", r"\\*\\*", text)
    text = re.sub(r"(\w)_(?!\w)", r"\1\\_", text)
    return re.sub(r"(?<![*\\])\*(?!\*)", r"\\*", text)


def fields(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out the fields of a NamedTuple, whose docstrings only say that they are fields."""
    doc = getattr(obj, "__doc__", None) or ""
    return True if doc.startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the events."""
    autosummary.periods_re = PERIOD
    # This runs before napoleon, whose output must not be escaped.
    app.connect("autodoc-process-docstring", plain_formulas, priority=400)
    app.connect("autodoc-skip-member", fields)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
