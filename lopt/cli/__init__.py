"""The command line of lopt, with a module for each subcommand."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from lopt import startup  # before JAX: it says what XLA logs

# isort: split
from lopt.cli import convert, data, evaluate, inspect, monitor, runs, shipped, train
from lopt.cli.flags import HelpFormatter
from lopt.meta.run.directory import RunError
from lopt.meta.training.processes import several
from lopt.version import __version__
from nqm.cli.arguments import join_negative_values
from nqm.untrusted import LONGEST_LINE, one_line


class _Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line, with exit code 2."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"formatter_class": HelpFormatter, **settings})

    def error(self, message: str) -> None:  # type: ignore[override]
        end = f". See {self.prog} --help."
        room = LONGEST_LINE - len(self.prog) - len(end) - 2
        self.exit(2, f"{self.prog}: {one_line(message, room)}{end}\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with every command."""
    parser = _Parser(prog="lopt", description="Meta-train and use STAR learned optimizers.")
    parser.add_argument(
        "--version",
        action="version",
        version=f"lopt {__version__}",
        help="print the version of lopt and exit",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (train, runs, evaluate, convert, data, inspect, monitor, shipped):
        command.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    The code is 0 when the command is done, 1 when a run cannot go on, 2 for bad input (one line on
    standard error), and 130 or 143 when a signal has stopped the command.
    """
    words = join_negative_values(sys.argv[1:] if arguments is None else arguments)
    options = build_parser().parse_args(words)
    startup.use_compilation_cache()
    try:
        return int(options.run_command(options))
    except RunError as error:
        line = " ".join(str(error).split())
        print(f"lopt {options.command}: {line}", file=sys.stderr)
        return _ended(1)
    # What the system refuses is reported in its own words.
    except (ValueError, OSError) as error:
        print(one_line(f"lopt {options.command}: {error}"), file=sys.stderr)
        return _ended(2)
    except KeyboardInterrupt:
        print(f"lopt {options.command}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT


def _ended(code: int) -> int:
    """Return the exit code; one of several processes ends here, because JAX would make it wait for
    the others.
    """
    if several():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
