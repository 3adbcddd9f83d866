"""``lopt data``: list the data sets, and fetch those that are missing."""

import argparse
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from lopt.cli.tables import WordTable
from lopt.tasks.data.datasets import DATASETS, Dataset, cache_folder, dataset
from lopt.tasks.data.sources import fetch
from lopt.tasks.data.text import TEXTS, TextDataset
from lopt.tasks.data.text_sources import fetch_text
from nqm.untrusted import quoted

# The width of the table in a log, so that no path is broken.
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
    listing = actions.add_parser("list", help="list every data set and where it is")
    listing.set_defaults(run_command=list_command)
    fetching = actions.add_parser(
        "fetch",
        help="download a data set",
        description="Download the published files, verify their checksums and convert them. "
        "If it is interrupted, the same command continues where it stopped.",
    )
    fetching.add_argument("name", metavar="NAME", help="name of the data set, as in lopt data list")
    fetching.add_argument(
        "--to", metavar="DIR", type=Path, help="folder to put it in (default: the user's cache)"
    )
    fetching.add_argument("--url", metavar="BASE", help="address of a mirror with the same files")
    fetching.set_defaults(run_command=fetch_command)


def list_command(options: argparse.Namespace) -> int:
    """Print the table."""
    del options
    rows = [
        *((d.name, " x ".join(map(str, d.shape)), *_state(d)) for d in DATASETS.values()),
        *((text.name, "text", *_text_state(text)) for text in TEXTS.values()),
    ]
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = UNWRAPPED
    console.print(WordTable(("name", "shape", "size", "where"), rows, prose={3}), crop=False)
    return 0


def _state(known: Dataset) -> tuple[str, str]:
    """The number of images and their place, or the command that fetches them."""
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
    """Fetch the data set with a bar for every file, and print where it is."""
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
    """Progress bars, one for every file that is fetched; in a log there are none."""

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
        """Show how much of a file has been downloaded."""
        if not self.live:
            return
        if name not in self.tasks:
            self.progress.start()
            self.tasks[name] = self.progress.add_task(name)
        self.progress.update(self.tasks[name], completed=done, total=total)
