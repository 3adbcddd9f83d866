"""Text for a terminal of any width: lines break between words, and no name is ever cut."""

import re
from collections.abc import Collection, Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

# The width of a table in a log, which has none of its own.
WIDE = 130


def table_console() -> Console:
    """Where tables are printed: a log has no width of its own, and shows all of them."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=WIDE, highlight=False)


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print a sentence: a terminal breaks it between words and never within a name; in a log it is
    one line.
    """
    if console.is_terminal:
        for line in broken(Text(text), console.width):
            console.print(line, style=style, no_wrap=True, overflow="ignore", crop=False)
    else:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def show(table: RenderableType) -> None:
    """Print a table on standard output, and cut nothing off."""
    table_console().print(table, crop=False)


def broken(text: Text, width: int) -> Iterator[Text]:
    """The lines of a text broken between words; a longer word stays whole on a line of its own.

    Examples
    --------
    >>> [line.plain for line in broken(Text("so it is called runs/a-long-name"), 9)]
    ['so it is', 'called', 'runs/a-long-name']
    """
    start, breaks = 0, []
    for word in re.finditer(r"\S+", text.plain):
        if word.start() > start and cell_len(text.plain[start : word.end()]) > width:
            start = word.start()
            breaks.append(start)
    for line in text.divide(breaks):
        line.rstrip()
        line.no_wrap, line.overflow = True, "ignore"
        yield line


class WordTable:
    """A table whose first column names the rows.

    Where it is too wide, its lines go first, and cells in the columns `prose` are broken between
    words. Where that is not enough, each row becomes a paragraph: its name, and below it every
    column with its value.

    Parameters
    ----------
    columns, rows
        The names of the columns, and a cell for each in every row; an empty cell is left out of a
        paragraph.
    prose
        The columns whose cells may be broken.
    listed
        Whether each value of a paragraph has a line of its own.
    right
        Whether all columns but the first are aligned on the right.
    title, note
        What is said above and below.
    """

    def __init__(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str | Text]],
        *,
        prose: Collection[int] = (),
        listed: bool = False,
        right: bool = False,
        title: str = "",
        note: str = "",
    ) -> None:
        self.columns = [Text(name) for name in columns]
        self.rows = [[_text(cell) for cell in row] for row in rows]
        self.prose, self.listed, self.right = prose, listed, right
        self.title, self.note = title, note

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """The title, the widest form that there is room for, and the note."""
        if self.title:
            yield from broken(Text(self.title, style="italic"), options.max_width)
        yield from self._body(options.max_width)
        if self.note:
            yield from broken(Text(self.note, style="dim italic"), options.max_width)

    def _body(self, room: int) -> Iterator[RenderableType]:
        natural = [max(map(_length, column)) for column in self._by_column()]
        least = [
            max(map(_longest_word, column)) if index in self.prose else natural[index]
            for index, column in enumerate(self._by_column())
        ]
        count = len(natural)
        if sum(natural) + 3 * count + 1 <= room:
            yield self._fill(Table(), natural)
        elif sum(least) + 2 * (count - 1) <= room:
            bare = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
            yield self._fill(bare, _shared(natural, least, room - 2 * (count - 1)))
        else:
            yield from self._paragraphs(room)

    def _by_column(self) -> list[list[Text]]:
        return [
            [name, *(row[index] for row in self.rows)] for index, name in enumerate(self.columns)
        ]

    def _fill(self, table: Table, widths: Sequence[int]) -> Table:
        for index, (name, width) in enumerate(zip(self.columns, widths, strict=True)):
            table.add_column(name, justify="right" if self.right and index else "left", width=width)
        for row in self.rows:
            table.add_row(*row)
        return table

    def _paragraphs(self, room: int) -> Iterator[Text]:
        width = max(name.cell_len for name in self.columns[1:]) + 1 if self.listed else 0
        for name, *values in self.rows:
            yield Text.assemble((name.plain, "bold"), overflow="ignore")
            lines: list[Text] = []
            for column, value in zip(self.columns[1:], values, strict=True):
                if not value.plain:
                    continue
                padding = " " * max(1, width - column.cell_len + 1)
                item = Text.assemble((f"{column.plain}{padding}", "dim"), value)
                if lines and not self.listed and lines[-1].cell_len + item.cell_len + 2 <= room - 2:
                    lines[-1].append("  ").append_text(item)
                else:
                    lines.extend(broken(item, room - 2))
            for line in lines:
                yield Text.assemble("  ", line, overflow="ignore", no_wrap=True)


def _shared(natural: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """The natural widths, the widest made narrower until they fit, but none below its least."""
    widths = list(natural)
    while sum(widths) > room:
        spare = [w - low and w for w, low in zip(widths, least, strict=True)]
        widths[spare.index(max(spare))] -= 1
    return widths


def _length(cell: Text) -> int:
    return max(map(cell_len, cell.plain.split("\n")))


def _longest_word(cell: Text) -> int:
    return max(map(cell_len, cell.plain.split()), default=0)


def _text(cell: str | Text) -> Text:
    return cell if isinstance(cell, Text) else Text(cell)
