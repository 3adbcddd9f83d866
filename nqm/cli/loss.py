"""`nqm loss`: the expected loss at any horizon."""

import argparse
from typing import Any

from nqm.cli.arguments import add_problem, add_rule, read_problem


def add_parser(subparsers: Any) -> None:
    """Add `nqm loss`."""
    parser = subparsers.add_parser(
        "loss",
        help="the expected loss over any horizon",
        description="The mean over t = 1..T of the expected loss 1/2 E (phi_t - xi_t)^T H "
        "(phi_t - xi_t), for T up to any size, with its logarithm.",
    )
    add_problem(parser)
    add_rule(parser)
    add_state(parser)
    parser.add_argument(
        "--horizon", required=True, metavar="T[,T...]", help="T >= 1; several with commas"
    )
    parser.add_argument("--json", action="store_true", help="print JSON (docs/nqm-moments.md)")
    parser.set_defaults(run=run)


def add_state(parser: argparse.ArgumentParser) -> None:
    """The noise and the initial state, which default to the example's, or to zero."""
    noise = parser.add_mutually_exclusive_group()
    noise.add_argument(
        "--noise", metavar="FILE|X", help="S, covariance of the noise on the minimum, or X times I"
    )
    noise.add_argument(
        "--gradient-noise",
        metavar="FILE|X",
        help="covariance of the noise on the gradient; the loss is then 1/2 phi^T H phi",
    )
    parser.add_argument("--initial", metavar="FILE|X", help="mean of phi_0, or X for every entry")
    parser.add_argument(
        "--initial-covariance", metavar="FILE|X", help="covariance of phi_0, or X times I"
    )


def read_model(arguments: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The NoisyQuadratic with its state, and the keyword arguments of `read_problem`."""
    from nqm.cli.arguments import named_example, read_vector
    from nqm.quadratic import NoisyQuadratic

    hessian, problem = read_problem(arguments)
    bare = NoisyQuadratic(hessian)
    n, shown = bare.dimension, named_example(arguments.hessian)
    default = bare if shown is None else shown.quadratic
    mean, spread = default.initial_mean, default.initial_covariance
    if arguments.initial is not None:
        mean, spread = read_vector(arguments.initial, "initial", n), bare.initial_covariance
    if arguments.initial_covariance is not None:
        spread = read_covariance(arguments.initial_covariance, "initial_covariance", n)
    if arguments.gradient_noise is not None:
        noise = read_covariance(arguments.gradient_noise, "gradient_noise_covariance", n)
        return NoisyQuadratic.with_gradient_noise(hessian, noise, mean, spread), problem
    noise = default.noise_covariance
    if arguments.noise is not None:
        noise = read_covariance(arguments.noise, "noise", n)
    return NoisyQuadratic(hessian, noise, mean, spread), problem


def read_covariance(text: str, name: str, size: int) -> Any:
    """A covariance from a file, `identity`, or a number times the identity."""
    import numpy as np

    from nqm.files import is_file_name, read_array
    from nqm.validate import scalar, semidefinite

    if is_file_name(text):
        return semidefinite(name, read_array(text, name), size)
    return semidefinite(name, (1.0 if text == "identity" else scalar(name, text)) * np.eye(size))


def read_horizons(text: str) -> list[int]:
    """Whole numbers with commas between them, also written as 1e6, none of them rounded."""
    return [whole_number("horizon", word) for word in text.split(",")]


def whole_number(name: str, text: str) -> int:
    """A whole number from 1 to 1e300, exactly as it is written."""
    from decimal import Decimal, InvalidOperation

    from nqm.moments.loss import LONGEST
    from nqm.untrusted import quoted

    try:
        number = Decimal(text)
        if number.is_finite() and 1 <= number <= LONGEST and number == number.to_integral_value():
            return int(number)
    except InvalidOperation:
        pass
    raise ValueError(
        f"{name} must be a whole number from 1 to 1e300; it is {quoted(text)}. Try 1000."
    )


def build_rule(model: Any, rule: str, problem: dict[str, Any]) -> Any:
    """The UpdateRule of that name."""
    from nqm.rules.table import parse_rule
    from nqm.validate import scalar, square

    named, parameters = parse_rule(rule)
    P = problem["preconditioner"]
    P = None if P is None else square("preconditioner", P, model.dimension)
    alpha = scalar("nominal_step", problem["nominal_step"])
    return named.build(model.hessian, P, alpha, **parameters)


def losses_at(arguments: argparse.Namespace, model: Any, rule: str, problem: Any, T: Any) -> Any:
    """The expected loss, by the spectral form where the rule is plain and P symmetric."""
    import numpy as np

    from nqm.moments.loss import expected_loss
    from nqm.moments.symmetric_loss import spectral_loss

    P, noisy = problem["preconditioner"], arguments.gradient_noise is None
    if rule == "plain" and (P is None or np.array_equal(P, np.transpose(P))):
        step = problem["nominal_step"]
        return spectral_loss(model, step, P, horizon=T, noisy_minimum=noisy)
    return expected_loss(model, build_rule(model, rule, problem), T, noisy_minimum=noisy)


def run(arguments: argparse.Namespace) -> int:
    """Print the loss at each horizon and its limit; the exit code is 0."""
    from nqm.verdict.check import limit_of

    horizons = read_horizons(arguments.horizon)
    model, problem = read_model(arguments)
    losses = losses_at(arguments, model, arguments.rule, problem, horizons)
    limit = limit_of(model, arguments.rule, **problem)
    floor = float((model.hessian * model.noise_covariance).sum()) / 2
    value = limit.value - (floor if arguments.gradient_noise is not None else 0.0)
    if arguments.json:
        print(_json(horizons, losses, value, limit))
        return 0
    print(f"{'horizon':>12} {'expected loss':>16} {'its logarithm':>16} {'relative error':>15}")
    for T, loss, log, error in zip(horizons, *losses, strict=True):
        print(f"{T:>12} {loss:>16.9g} {log:>16.9g} {error:>15.1e}")
    print(f"limit: {value:.9g} ({limit.reason})")
    return 0


def _json(horizons: list[int], losses: Any, value: float, limit: Any) -> str:
    import json

    from nqm.json_values import json_value
    from nqm.verdict.report import SCHEMA_VERSION

    columns: dict[str, Any] = {
        "horizon": horizons,
        "expected_loss": json_value(losses.value),
        "log_expected_loss": json_value(losses.log),
        "relative_error": json_value(losses.relative_error),
    }
    if len(horizons) == 1:
        columns = {key: column[0] for key, column in columns.items()}
    head = {"schema_version": SCHEMA_VERSION}
    tail = {
        "limit": json_value(value),
        "limit_error": json_value(limit.error),
        "limit_reason": limit.reason,
    }
    return json.dumps(head | columns | tail, indent=2, allow_nan=False)
