"""Helpers that make paragraphs, code and tables."""

from collections.abc import Iterable, Sequence

from docutils import nodes

Cell = str | nodes.Node | Sequence[str | nodes.Node]


def paragraph(*parts: str | nodes.Node) -> nodes.paragraph:
    """Return a paragraph of strings and nodes."""
    return nodes.paragraph("", "", *(nodes.Text(p) if isinstance(p, str) else p for p in parts))


def code(text: str) -> nodes.literal:
    """Return a text as code."""
    return nodes.literal(text, text)


def table(
    header: Sequence[str], rows: Iterable[Sequence[Cell]], widths: Sequence[int], *classes: str
) -> nodes.table:
    """Return a table; a cell is a string, a node, or a sequence of them in one paragraph."""
    group = nodes.tgroup(cols=len(header), classes=["colwidths-given"])
    group += [nodes.colspec(colwidth=width) for width in widths]
    group += nodes.thead("", _row(header))
    group += nodes.tbody("", *(_row(cells) for cells in rows))
    return nodes.table("", group, classes=["colwidths-given", *classes])


def lines(parts: Iterable[Sequence[str | nodes.Node]]) -> nodes.container:
    """Return several paragraphs for one cell."""
    return nodes.container("", *(paragraph(*part) for part in parts))


def _row(cells: Sequence[Cell]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", _content(cell)) for cell in cells))


def _content(cell: Cell) -> nodes.Element:
    if isinstance(cell, nodes.container):
        return cell
    return paragraph(*([cell] if isinstance(cell, str | nodes.Node) else cell))
