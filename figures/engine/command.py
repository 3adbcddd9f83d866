"""The command ``python -m figures``, which lists, draws and recomputes figures."""

import argparse
import sys
import time
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from figures.engine.figure import DRAWN, PICTURES, Figure
from figures.engine.gallery import PAGE, page
from figures.engine.output import duration, save
from figures.engine.registry import MODULES, find
from figures.engine.store import kept, load, recompute, write
from figures.engine.style import plt

LOG_EVERY_SECONDS = 5.0


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"figures: error: {message}\n")


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    found = _Parser(
        prog="python -m figures",
        description="List the figures, draw them from their stored results, or recompute these.",
    )
    found.add_argument(
        "names", nargs="*", metavar="NAME", help="figures to draw (default: list all)"
    )
    found.add_argument("--all", action="store_true", help="draw all figures")
    found.add_argument("--recompute", action="store_true", help="recompute the results first")
    found.add_argument(
        "--out",
        type=Path,
        default=DRAWN,
        metavar="FOLDER",
        help="folder for the files (default: build/figures, with the pages and pictures of docs)",
    )
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return 0, 2 for bad input (one line on standard error), or 130."""
    plt.switch_backend("Agg")  # no window is opened
    console = Console(highlight=False, soft_wrap=True)
    try:
        asked = parser().parse_args(arguments)
        names = list(MODULES) if asked.all else list(dict.fromkeys(asked.names))
        figures = [find(name) for name in names]
        if not figures:
            if asked.recompute:
                raise ValueError("name the figures to recompute, or use --all.")
            _list(console)
        for figure in figures:
            _make(console, figure, asked.out, again=asked.recompute)
        if figures and asked.out == DRAWN:
            write(PAGE, page())
    except SystemExit as exit_:
        return int(exit_.code or 0)
    except ValueError as error:
        print(f"figures: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("figures: interrupted; the same command resumes.", file=sys.stderr)
        return 130
    return 0


def _list(console: Console) -> None:
    width = max(map(len, MODULES)) + 2
    for name in MODULES:
        figure = find(name)
        try:
            cost = f"recomputed in {duration(load(figure)['seconds'])}"
        except ValueError:
            cost = "not computed yet"
        console.print(f"{name:<{width}}{figure.title} ({cost})", markup=False)


def _make(console: Console, figure: Figure, out: Path, *, again: bool) -> None:
    record = _recompute(console, figure) if again else load(figure)
    began = time.monotonic()
    files = save(figure, record, out)
    if out == DRAWN:
        picture = out / f"{figure.name}.png"
        write(PICTURES / picture.name, picture.read_bytes())
        for path, text in figure.pages(record["parts"]).items():
            write(path, text)
    took = time.monotonic() - began
    kinds = ", ".join(path.suffix[1:] for path in files)
    console.print(f"{files[0].with_suffix('')}: {kinds} ({took:.1f} s)", markup=False)


def _recompute(console: Console, figure: Figure) -> dict:
    try:
        expected = f"it took about {duration(load(figure)['seconds'])} when last computed"
    except ValueError:
        expected = "it was not computed with this configuration before"
    done, total = len(kept(figure)["parts"]), len(figure.parts)
    resumed = f", of which {done} are kept" if done else ""
    console.print(
        f"{figure.name}: {total} part{'s' * (total > 1)}{resumed}; {expected}", markup=False
    )
    began = last = time.monotonic()
    bar = Progress(
        TextColumn(figure.name), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(),
        console=console, disable=not console.is_terminal, transient=True,
    )  # fmt: skip

    def report(count: int, parts: int) -> None:
        nonlocal last
        bar.update(task, completed=count)
        now = time.monotonic()
        if console.is_terminal or count == done or now - last < LOG_EVERY_SECONDS:
            return
        last = now
        left = (parts - count) * (now - began) / (count - done)
        console.print(f"{figure.name}: {count} of {parts}, {left:.0f} s left", markup=False)

    with bar:
        task = bar.add_task("", total=total, completed=done)
        return recompute(figure, report=report)
