"""The command line `nqm`. Imports nothing heavy before a command runs."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from nqm.cli.arguments import join_negative_values

# Each module has add_parser(subparsers), which sets `run`, a function of the parsed arguments
# that returns the exit code.
COMMANDS = (
    "nqm.cli.check",
    "nqm.cli.spectrum",
    "nqm.cli.sweep",
    "nqm.cli.loss",
    "nqm.cli.examples",
)

DESCRIPTION = """\
Is an optimizer stable on a noisy quadratic, by how much, and can you prove it?"""


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line on stderr and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2 after one line on stderr."""
        from nqm.untrusted import one_line

        self.exit(2, f"{one_line(f'nqm: error: {message}')}\n")


class _Version(argparse.Action):
    """Print the version, which is looked up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *unused: object) -> NoReturn:
        from nqm.version import __version__

        print(f"nqm {__version__}")
        parser.exit()


def build_parser() -> OneLineParser:
    """The parser with every command."""
    parser = OneLineParser(prog="nqm", description=DESCRIPTION)
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="print the version of nqm and exit"
    )
    subparsers = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=OneLineParser
    )
    for module in COMMANDS:
        importlib.import_module(module).add_parser(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `nqm` with the given arguments and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; default those of the process.

    Returns
    -------
    int
        0 stable or done, 1 unstable, 3 marginal, 2 bad input with one line on stderr.

    Examples
    --------
    >>> from nqm.cli import main
    >>> main(["check", "--hessian", "paper", "--nominal-step", "0.5"])  # doctest: +ELLIPSIS
    STABLE: the spectral radius of the update is 0.937...
    0
    """
    try:
        words = join_negative_values(sys.argv[1:] if argv is None else argv)
        arguments = build_parser().parse_args(words)
        code: int = arguments.run(arguments)
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 2
    except ValueError as error:
        from nqm.untrusted import one_line

        print(one_line(f"nqm: error: {error}"), file=sys.stderr)
        return 2
    except MemoryError:
        print("nqm: error: the matrices do not fit into memory. Take fewer rows.", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output went away: not our error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code
