"""`nqm check`: the verdict on one optimizer."""

import argparse
from typing import Any

from nqm.cli_arguments import add_problem, read_problem


def add_parser(subparsers: Any) -> None:
    """Add `nqm check`."""
    parser = subparsers.add_parser(
        "check",
        help="is it stable, by how much, and which step would be",
        description="Exit code: 0 stable, 1 unstable, 3 marginal, 2 bad input.",
    )
    add_problem(parser)
    parser.add_argument("--json", action="store_true", help="print JSON (docs/nqm.md)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the report and return its exit code."""
    from nqm.checker import check

    hessian, problem = read_problem(arguments)
    report = check(hessian, **problem)
    print(report.to_json() if arguments.json else report.text())
    return report.exit_code
