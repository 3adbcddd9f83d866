"""The directive `paper-table`: the paper's numbered items, with their code and their truth."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from docs.extensions.nodes import code, lines, table
from theory.catalogue import STATEMENTS
from theory.engine.statement import Statement

FOLDER = Path(__file__).resolve().parents[1]


class Row(NamedTuple):
    """A numbered item of the paper."""

    kind: str
    number: str
    what: str
    by: tuple[str, ...]
    note: str

    @property
    def printed(self) -> str:
        """The number as in the text, with parentheses for an equation."""
        return f"({self.number})" if self.kind == "equation" else self.number

    @property
    def anchor(self) -> str:
        """The id of the row."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.kind} {self.number}".lower())

    def statements(self) -> list[Statement]:
        """The statements of `theory` about this item."""
        own = re.sub(r"\W+", "-", self.number.lower())
        return [s for s in STATEMENTS if s.name == own or self.number in s.statement.equations]


@cache
def rows(kind: str) -> tuple[Row, ...]:
    """Read the rows of one kind: equation, result, figure or section."""
    data = tomllib.loads((FOLDER / "equations.toml").read_text("utf-8"))[kind]
    return tuple(
        Row(kind, number, row["what"], tuple(row.get("by", ())), row.get("note", ""))
        for number, row in data.items()
    )


@cache
def errata_anchors() -> dict[str, str]:
    """Map the names of statements to the anchors of their headings in the errata."""
    text = (FOLDER / "errata.md").read_text("utf-8")
    found = {}
    for heading in re.findall(r"^### (.+)$", text, re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower().replace("\\", "")).replace(" ", "-")
        found[heading.partition(",")[0].partition(":")[0]] = slug
    return found


class PaperTable(SphinxDirective):
    """A table of the items of one kind."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make the table; every name becomes a link, which must resolve."""
        header = ("paper", "content", "implementation", "theory, and status as printed")
        cells = [
            (self._number(row), row.what, self._here(row), self._statements(row))
            for row in rows(self.arguments[0])
        ]
        self.env.note_dependency(str(FOLDER / "equations.toml"))
        return [table(header, cells, (8, 26, 36, 30), "paper")]

    def _number(self, row: Row) -> list[str | nodes.Node]:
        target = nodes.target("", "", ids=[row.anchor])
        self.state.document.note_explicit_target(target)
        entry = f"equation {row.printed}" if row.kind == "equation" else row.printed
        index = addnodes.index(entries=[("single", entry, row.anchor, "", None)])
        return [index, target, nodes.strong("", row.printed)]

    def _here(self, row: Row) -> list[str | nodes.Node]:
        found: list[str | nodes.Node] = []
        for path in row.by:
            found += [", "] * bool(found) + [_link(path)]
        if row.note:
            found += ["; "] * bool(found)
            for i, part in enumerate(row.note.split("`")):
                found.append(code(part) if i % 2 else part)
        return found

    def _statements(self, row: Row) -> nodes.container:
        found = []
        for statement in row.statements():
            anchor = errata_anchors().get(statement.name, "true-as-printed")
            link = nodes.reference("", "", code(statement.name), refuri=f"errata.html#{anchor}")
            status = nodes.inline("", statement.status.value, classes=[statement.status.name])
            found.append([link, " ", status])
        return lines(found)


def _link(path: str) -> addnodes.pending_xref:
    return addnodes.pending_xref(
        "",
        nodes.literal(path, path, classes=["xref"]),
        refdomain="py",
        reftype="obj",
        reftarget=path,
        refexplicit=True,
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("paper-table", PaperTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
