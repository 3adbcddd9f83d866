"""`nqm check`: the verdict on one optimizer."""

import argparse
from typing import Any

from nqm.cli.arguments import (
    add_problem,
    add_rule,
    read_noise,
    read_preconditioners,
    read_problem,
    read_vector,
)


def add_parser(subparsers: Any) -> None:
    """Add `nqm check`."""
    parser = subparsers.add_parser(
        "check",
        help="is it stable, by how much, and which step would be",
        description="Is the update stable, by how much, and which step would be? "
        "Exit code: 0 stable, 1 unstable, 3 marginal, 2 bad input.",
    )
    add_problem(parser)
    add_rule(parser)
    parser.add_argument(
        "--noise",
        metavar="FILE|X|minibatch:B",
        help="noise on the minimum (covariance S, or X times I) for the limit of the loss, or "
        "Gaussian minibatches of size B for mean-square stability",
    )
    parser.add_argument(
        "--dbar",
        metavar="FILE|X",
        help="bounds of the disturbance P = diag(d) P~, 0 < d <= dbar: is it stable for all?",
    )
    parser.add_argument(
        "--preconditioners",
        metavar="FILE|NAME",
        help="several P, another one at every step, in whatever order: is that stable? "
        "(docs/switched.md)",
    )
    parser.add_argument(
        "--rigorous", action="store_true", help="try a proof about these very numbers"
    )
    parser.add_argument("--json", action="store_true", help="print JSON (docs/nqm.md)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the report and return its exit code."""
    from nqm.quadratic import NoisyQuadratic
    from nqm.verdict.check import check

    if arguments.preconditioners is not None:
        return _run_switched(arguments)
    hessian, problem = read_problem(arguments)
    model = NoisyQuadratic(hessian)
    if arguments.noise is not None:
        problem |= read_noise(arguments.noise, model.dimension)
    if arguments.dbar is not None:
        bound = read_vector(arguments.dbar, "disturbance_bound", model.dimension)
        problem["disturbance_bound"] = bound
    report = check(model, **problem, rule=arguments.rule, rigorous=arguments.rigorous)
    print(report.to_json() if arguments.json else report.text())
    return report.exit_code


def _run_switched(arguments: argparse.Namespace) -> int:
    """Print the report on a P that changes at every step and return its exit code."""
    from nqm.quadratic import NoisyQuadratic
    from nqm.switching.switched import switched

    for option in ("preconditioner", "noise", "rigorous"):
        if getattr(arguments, option):
            raise ValueError(
                f"preconditioners cannot be combined with {option}; leave one of the two out."
            )
    hessian, problem = read_problem(arguments)
    model = NoisyQuadratic(hessian)
    bound = arguments.dbar
    if bound is not None:
        bound = read_vector(bound, "disturbance_bound", model.dimension)
    report = switched(
        model,
        read_preconditioners(arguments.preconditioners),
        problem["nominal_step"],
        rule=arguments.rule,
        disturbance_bound=bound,
    )
    print(report.to_json() if arguments.json else report.text())
    return report.exit_code
