"""``lopt data``: which data sets are there, and fetching those that are not."""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from lopt.tasks.datasets import DATASETS, Dataset, cache_folder, dataset
from lopt.tasks.sources import fetch


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
        "--to", metavar="DIR", type=Path, help=f"the folder to put it in (default {cache_folder()})"
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
    table.add_column("images", no_wrap=True)
    table.add_column("where", overflow="fold")
    for known in DATASETS.values():
        sizes, where = _state(known)
        table.add_row(known.name, " x ".join(map(str, known.shape)), sizes, where)
    Console(highlight=False).print(table)
    return 0


def _state(known: Dataset) -> tuple[str, str]:
    """How many images there are, and where; or what brings them."""
    place = known.find()
    if place is None:
        return "", f"missing: {known.remedy}"
    try:
        train, test = known.sizes(place)
    except ValueError as error:
        return "", f"damaged: {error}"
    return f"{train} + {test}", str(place)


def fetch_command(options: argparse.Namespace) -> int:
    """Fetch, with a bar for every file, and say where the data set lies."""
    wanted = dataset(options.name)
    folder = options.to or cache_folder()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as progress:
        bars: dict[str, Any] = {}

        def report(name: str, done: int, total: int | None) -> None:
            if name not in bars:
                bars[name] = progress.add_task(name)
            progress.update(bars[name], completed=done, total=total)

        path, new = fetch(wanted, folder, base=options.url, report=report)
    print(f"{path}{'' if new else ' is there already'}")
    return 0
