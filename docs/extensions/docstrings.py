"""Docstrings as they are written here: code between single backticks, formulas in plain text."""

import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.parsers.rst.states import Inliner
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from docs.extensions.public import homes

# Outside of code a bar, a star or an underscore belongs to a formula and not to the markup.
CODE = re.compile(r"(``.+?``|:\w+:`[^`]+`|`[^`]+`|\\.|^\s*\* |(?<![\w*])\*\w[^*]*\*(?!\w))")
# Nor does a line that begins with "m." or "(9)" belong to a list.
LISTED = re.compile(r"^(\s*)([a-zA-Z]\.(?=\s|$)|\((?:\d+|[a-zA-Z])\)(?=\s|$))")


def code_name(
    role: str,
    rawtext: str,
    text: str,
    lineno: int,
    inliner: Inliner,
    options: Any = None,
    content: Any = None,
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """Code; a link where it names something of the reference."""
    shown = nodes.literal(rawtext, text)
    if not re.fullmatch(r"[\w.]+", text):
        return [shown], []
    link = addnodes.pending_xref(
        rawtext, shown, refdomain="py", reftype="obj", reftarget=text, optional=True
    )
    environment = inliner.document.settings.env
    link["py:module"] = environment.ref_context.get("py:module")
    link["py:class"] = environment.ref_context.get("py:class")
    return [link], []


def unresolved(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """A name of ours under its public path; what is not ours stays plain text.

    A reference that says where it leads, as ``:func:`nqm.check```, is left to be warned about.
    """
    target = node["reftarget"]
    if node.get("refdomain") != "py":
        return None
    home = homes().get(target)
    if home is not None and home != target:
        domain = env.get_domain("py")
        found = domain.resolve_xref(
            env, node.get("refdoc", ""), app.builder, "obj", home, node, content
        )
        if found is not None:
            return found
    ours = target.startswith(("nqm.", "lopt."))
    typed = node.get("reftype") in ("class", "obj") and not node.get("refexplicit")
    return content if node.get("optional") or not ours or (typed and home is None) else None


def plain_formulas(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Escape the formulas of a docstring that autodoc has read."""
    lines[:] = escaped(lines)


def escaped(lines: list[str]) -> list[str]:
    """Escape what reStructuredText would take for markup: ``|x|``, ``phi_``, ``a * b``."""
    found = []
    quoted = False
    for line in unnumbered(lines):
        # Nothing is markup in a doctest and in a directive's first line.
        quoted = line.startswith((">>>", "...")) or (quoted and bool(line.strip()))
        if not quoted and not line.lstrip().startswith((":", "..")):
            parts = CODE.split(line)
            parts[0] = LISTED.sub(r"\1\\\2", parts[0])
            line = "".join(part if i % 2 else _escaped(part) for i, part in enumerate(parts))
        found.append(line)
    return found


def unnumbered(lines: list[str]) -> Iterator[str]:
    """References as a list: as footnotes their numbers would clash with the next docstring's."""
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
    """Leave out the fields of a NamedTuple, which only say that they are fields."""
    doc = getattr(obj, "__doc__", None) or ""
    return True if doc.startswith("Alias for field number") else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the role and the events."""
    app.add_role("code-name", code_name)
    app.connect("missing-reference", unresolved)
    # Before napoleon, whose own output must stay as it is.
    app.connect("autodoc-process-docstring", plain_formulas, priority=400)
    app.connect("autodoc-skip-member", fields)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
