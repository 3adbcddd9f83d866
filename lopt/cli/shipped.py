"""``lopt shipped``: list the meta-parameters that come with the package, or describe one."""

import argparse
from typing import Any

from lopt.optimizers.files.saved import card, shipped


def add_parser(commands: Any) -> None:
    """Add ``shipped`` to the command line."""
    parser = commands.add_parser(
        "shipped",
        help="list the meta-trained optimizers that come with the package",
        description="List the meta-trained optimizers that come with the package, or print the "
        "card of one: how it was trained, where it works and where it does not. In Python, "
        "lopt.star(NAME) returns it.",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="print the card of this optimizer")
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Print the names with the first lines of their cards, or one card."""
    if options.name is not None:
        print(card(options.name).rstrip())
        return 0
    width = max(map(len, shipped()), default=0)
    for name in shipped():
        print(f"{name:{width}}  {card(name).splitlines()[0].lstrip('# ')}")
    return 0
