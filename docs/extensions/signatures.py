"""Signatures: without types where the docstring gives them, and a property's text as it is."""

import ast
import inspect
import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

# Stands for a colon while napoleon reads a property, which it would split at it.
COLON = "\ue000"


def without_types(
    app: Sphinx,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    signature: str | None,
    returned: str | None,
) -> tuple[str, str | None] | None:
    """The names and defaults alone, where a section of the docstring describes them."""
    text = inspect.getdoc(obj) or ""
    if getattr(obj, "_is_protocol", False):  # made by nobody
        return "", None
    if not signature or not ("Parameters\n-" in text or "Attributes\n-" in text):
        return None
    try:
        function = ast.parse(f"def f{signature}: ...").body[0]
    except SyntaxError:  # a default that is no expression
        return None
    assert isinstance(function, ast.FunctionDef)
    for node in ast.walk(function.args):
        if isinstance(node, ast.arg):
            node.annotation = None
    return f"({ast.unparse(function.args)})", returned


def hide_colons(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Before napoleon."""
    if what == "property":
        lines[:] = [line.replace(":", COLON) for line in lines]


def show_colons(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """After napoleon."""
    lines[:] = [line.replace(COLON, ":") for line in lines]


def plain_aliases(app: Sphinx, domain: str, objtype: str, content: addnodes.desc_content) -> None:
    """The name of an alias, where Sphinx writes the object that stands for it in a union."""
    for text in list(content.findall(nodes.Text)):
        plain = re.sub(r"TypeAliasForwardRef\('(\w+)'\)", r"\1", text)
        if plain != text:
            text.parent.replace(text, nodes.Text(plain))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the events; napoleon's priority is 500."""
    app.connect("autodoc-process-signature", without_types)
    app.connect("autodoc-process-docstring", hide_colons, priority=450)
    app.connect("autodoc-process-docstring", show_colons, priority=550)
    app.connect("object-description-transform", plain_aliases, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
