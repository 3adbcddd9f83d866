"""``lopt data``: which data sets are there, and fetching those that are not."""

import argparse
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from lopt.tasks.data.datasets import DATASETS, Dataset, cache_folder, dataset
from lopt.tasks.data.sources import fetch
from lopt.tasks.data.text import TEXTS, TextDataset
from lopt.tasks.data.text_sources import fetch_text
from nqm.untrusted import quoted

# Columns of the table in a log, so that no path is broken.
UNWRAPPED = 1000


def add_parser(commands: Any) -> None:
    """Add ``data`` to the command line."""
    parser = commands.add_parser(
        "data",
        help="list data sets, or fetch one",
        description="Data sets are looked for in the folder that LOPT_DATA_DIR names, then in the "
        "user's cache.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="every data set, and where it was found")
    listing.set_defaults(run_command=list_command)
    fetching = actions.add_parser(
        "fetch",
        help="download a data set",
        description="Download the published files, verify their checksums and convert them. "
        "Interrupted, the same command goes on where it was.",
    )
    fetching.add_argument("name", metavar="NAME", help="as lopt data list shows it")
    fetching.add_argument(
        "--to", metavar="DIR", type=Path, help="the folder to put it in (default: the user's cache)"
    )
    fetching.add_argument(
        "--url", metavar="BASE", help="an address that has the same files, instead of the authors'"
    )
    fetching.set_defaults(run_command=fetch_command)


def list_command(options: argparse.Namespace) -> int:
    """Print the table."""
    del options
    table = Table()
    table.add_column("name", no_wrap=True)
    table.add_column("shape", no_wrap=True)
    table.add_column("size", no_wrap=True)
    table.add_column("where", overflow="fold")
    for known in DATASETS.values():
        sizes, where = _state(known)
        table.add_row(known.name, " x ".join(map(str, known.shape)), sizes, where)
    for text in TEXTS.values():
        table.add_row(text.name, "text", *_text_state(text))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = UNWRAPPED
    console.print(table)
    return 0


def _state(known: Dataset) -> tuple[str, str]:
    """The number of images and where they lie, or the command that fetches them."""
    place = known.find()
    if place is None:
        return "", f"missing: {known.remedy}"
    try:
        train, test = known.sizes(place)
    except ValueError as error:
        return "", f"damaged: {error}"
    return f"{train} + {test}", str(place)


def _text_state(known: TextDataset) -> tuple[str, str]:
    """The bytes of a text and where they lie, or the command that fetches them."""
    place = known.find()
    if place is None:
        return "", f"missing: {known.remedy}"
    try:
        train, test = known.sizes(place)
    except ValueError as error:
        return "", f"damaged: {error}"
    return f"{train} + {test} bytes", str(place[0])


def fetch_command(options: argparse.Namespace) -> int:
    """Fetch, with a bar for every file, and say where the data set lies."""
    if options.name in TEXTS:
        return _fetch_text(options)
    if options.name not in DATASETS:
        known = (*DATASETS, *TEXTS)
        near = get_close_matches(options.name[:100], known, 1, cutoff=0.0)[0]
        raise ValueError(
            f"no data set is called {quoted(options.name)}; the nearest is {near}, all are "
            f"{', '.join(known)}."
        )
    wanted = dataset(options.name)
    found = None if options.to else wanted.find()
    if found:
        wanted.sizes(found)
        print(f"{found} is there already")
        return 0
    with Bars() as bars:
        folder = options.to or cache_folder()
        path, new = fetch(wanted, folder, base=options.url, report=bars.report)
    print(f"{path}{'' if new else ' is there already'}")
    return 0


def _fetch_text(options: argparse.Namespace) -> int:
    """Fetch a text, unless the published one is where texts are looked for."""
    wanted = TEXTS[options.name]
    found = None if options.to else wanted.find()
    if found and wanted.files[:1] in ((), ((found[0].name, found[1].name),)):
        print(f"{found[0]} is there already")
        return 0
    with Bars() as bars:
        folder = options.to or cache_folder()
        path, new = fetch_text(wanted, folder, base=options.url, report=bars.report)
    print(f"{path}{'' if new else ' is there already'}")
    return 0


class Bars:
    """A progress bar for every file that is fetched; in a log, nothing."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self.live = console.is_terminal
        self.tasks: dict[str, Any] = {}
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=console,
        )

    def __enter__(self) -> "Bars":
        return self

    def __exit__(self, *_: object) -> None:
        if self.tasks:
            self.progress.stop()

    def report(self, name: str, done: int, total: int | None) -> None:
        """Show how much of a file has come."""
        if not self.live:
            return
        if name not in self.tasks:
            self.progress.start()
            self.tasks[name] = self.progress.add_task(name)
        self.progress.update(self.tasks[name], completed=done, total=total)
