"""The command line of lopt: one subcommand a module."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from lopt.cli import convert, data, evaluate, inspect, monitor, runs, shipped, train
from lopt.meta.processes import several
from lopt.meta.run import RunError
from lopt.version import __version__


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and exit code 2."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser with every command."""
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

    0 done, 1 a run that cannot go on, 2 bad input (one line on standard error), 130 or 143 stopped
    by a signal with a checkpoint written.
    """
    options = build_parser().parse_args(arguments)
    try:
        return int(options.run_command(options))
    except (RunError, ValueError) as error:
        line = " ".join(str(error).split())
        print(f"lopt {options.command}: {line}", file=sys.stderr)
        return _ended(1 if isinstance(error, RunError) else 2)
    except KeyboardInterrupt:
        print(f"lopt {options.command}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT


def _ended(code: int) -> int:
    """The exit code; one of several processes ends at once, because JAX would have it wait until
    the others do.
    """
    if several():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
