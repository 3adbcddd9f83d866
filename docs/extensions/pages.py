"""Adapt pages that are written for the repository to the site."""

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

from docs.extensions.public import homes


def mirror(app: Sphinx) -> None:
    """Copy the notebooks to docs, where Sphinx reads pages."""
    source, copy = Path(app.srcdir).parent / "notebooks", Path(app.srcdir) / "notebooks"
    files = {path.name: path.read_bytes() for path in source.glob("*.*") if path.is_file()}
    if files:
        copy.mkdir(exist_ok=True)
    for path in copy.glob("*.*"):
        if path.name not in files:
            path.unlink()
    for name, content in files.items():
        target = copy / name
        if not target.exists() or target.read_bytes() != content:
            target.write_bytes(content)


def rewrite(app: Sphinx, name: str, source: list[str]) -> None:
    """Adapt links to the notebooks, which the site has inside docs, and drop the empty line at the
    end of an example, which only doctest needs.
    """
    source[0] = source[0].replace("\n\n```\n", "\n```\n")
    if name.startswith("notebooks/"):
        source[0] = source[0].replace("](../docs/", "](../")
    else:
        source[0] = source[0].replace("](../notebooks/", "](notebooks/")


def link_names(app: Sphinx, document: nodes.document) -> None:
    """Link code such as `nqm.check` and `lopt.star(theta)` to the reference."""
    for literal in list(document.findall(nodes.literal)):
        name = re.match(r"(?:nqm|lopt)(?:\.\w+)+(?=\(|$)", literal.astext())
        linked = isinstance(literal.parent, nodes.reference | addnodes.pending_xref)
        if name is None or name[0] not in homes() or linked:
            continue
        if isinstance(literal.parent, nodes.title):
            continue
        link = addnodes.pending_xref(
            "",
            refdomain="py",
            reftype="obj",
            reftarget=name[0],
            refexplicit=True,
            refdoc=app.env.docname,
        )
        literal.replace_self(link)
        link += literal


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the events."""
    app.connect("builder-inited", mirror)
    app.connect("source-read", rewrite)
    app.connect("doctree-read", link_names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
