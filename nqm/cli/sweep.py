"""`nqm sweep`: a margin, radius, loss or gradient variance over a range."""

import argparse
import math
from typing import Any

from nqm.cli.arguments import add_problem, add_rule, check_picture
from nqm.cli.loss import (
    add_state,
    losses_at,
    read_horizons,
    read_model,
    whole_number,
)
from nqm.untrusted import quoted, reason

QUANTITIES = {
    "margin": ("margin",),
    "radius": ("spectral_radius",),
    "loss": ("expected_loss", "log_expected_loss"),
    "gradient-variance": ("trace_over_preconditioner", "nominal_step_variance"),
}
"""What can be swept -> its columns."""
OVER = ("nominal-step", "momentum", "horizon")


def add_parser(subparsers: Any) -> None:
    """Add `nqm sweep`."""
    parser = subparsers.add_parser(
        "sweep",
        help="a margin, radius, loss or gradient variance over a range",
        description="A quantity over the nominal step, the momentum or the horizon, as CSV, JSON "
        "or a picture. margin is 1 - spectral radius.",
    )
    add_problem(parser)
    add_rule(parser)
    add_state(parser)
    parser.add_argument(
        "--quantity", choices=QUANTITIES, default="radius", help="what to compute (default radius)"
    )
    parser.add_argument(
        "--over", choices=OVER, default="nominal-step", help="what varies (default nominal-step)"
    )
    parser.add_argument("--from", dest="start", required=True, metavar="X", help="where it starts")
    parser.add_argument("--to", dest="stop", required=True, metavar="X", help="where it ends")
    parser.add_argument("--points", default="50", metavar="K", help="how many (default 50)")
    parser.add_argument("--log", action="store_true", help="space the points geometrically")
    parser.add_argument(
        "--horizon", default="100", metavar="T", help="for loss and variance (default 100)"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON instead of CSV")
    output.add_argument("--plot", metavar="FILE", help="draw it (.png, .svg or .pdf)")
    parser.set_defaults(run=run)


def points(arguments: argparse.Namespace) -> list[float]:
    """The values to visit; integers, each once and the ends exact, for a horizon."""
    import numpy as np

    from nqm.validate import scalar

    start: float
    stop: float
    if arguments.over == "horizon":
        start, stop = (
            whole_number(name, text)
            for name, text in (("from", arguments.start), ("to", arguments.stop))
        )
    else:
        start, stop = scalar("from", arguments.start), scalar("to", arguments.stop)
    count = scalar("points", arguments.points)
    if not (count.is_integer() and 1 <= count <= 100_000):
        raise ValueError(
            f"points must be an integer from 1 to 100000; it is {quoted(arguments.points)}."
        )
    if arguments.log and min(start, stop) <= 0:
        raise ValueError(f"from must be positive with --log; it is {min(start, stop):g}.")
    space = np.geomspace if arguments.log else np.linspace
    values = space(float(start), float(stop), int(count))
    if arguments.over == "horizon":
        low, high = sorted((int(start), int(stop)))
        inner = {min(max(int(value), low), high) for value in np.round(values[1:-1])}
        return sorted(inner | ({low, high} if count > 1 else {int(start)}))
    return [float(value) for value in values]


def written(value: float) -> float:
    """A float, or the integer itself where that has too many digits for one."""
    return float(value) if float(value) == value else value


def rule_with_momentum(text: str, momentum: float) -> str:
    """The rule's word with its momentum replaced."""
    from nqm.rules.table import parse_rule

    named, parameters = parse_rule(text)
    if "momentum" not in parameters:
        raise ValueError(
            f"rule: {named.name} has no momentum to sweep. Pass one that has, such as heavy_ball."
        )
    parameters["momentum"] = momentum
    words = [
        f"{key}={'/'.join(map(repr, value)) if isinstance(value, tuple) else repr(value)}"
        for key, value in parameters.items()
    ]
    return f"{named.name}:{','.join(words)}"


def evaluate(arguments: argparse.Namespace, values: list[float]) -> list[tuple[float, ...]]:
    """The columns of the quantity at each value."""
    model, problem = read_model(arguments)
    if arguments.quantity == "gradient-variance":
        return _variances(arguments, model, problem, values)
    if arguments.over == "horizon":
        if arguments.quantity != "loss":
            raise ValueError(f"over: {arguments.quantity} does not depend on the horizon.")
        losses = losses_at(arguments, model, arguments.rule, problem, [int(T) for T in values])
        return list(zip(losses.value, losses.log, strict=True))
    return [_at(arguments, model, problem, value) for value in values]


def _at(arguments: argparse.Namespace, model: Any, problem: Any, value: float) -> tuple[float, ...]:
    from nqm.verdict.check import check

    rule = arguments.rule
    if arguments.over == "momentum":
        rule = rule_with_momentum(rule, value)
    else:
        problem = problem | {"nominal_step": value}
    if arguments.quantity == "loss":
        (T,) = read_horizons(arguments.horizon)
        losses = losses_at(arguments, model, rule, problem, T)
        return float(losses.value), float(losses.log)
    radius = check(model.hessian, **problem, rule=rule).spectrum.spectral_radius
    return (1 - radius if arguments.quantity == "margin" else radius,)


def _variances(
    arguments: argparse.Namespace, model: Any, problem: Any, values: list[float]
) -> list[tuple[float, ...]]:
    from nqm.gradients.variance import meta_gradient_variance

    if arguments.rule != "plain" or arguments.over == "momentum":
        raise ValueError("rule: the gradient variance is known for the plain rule only.")
    P = problem["preconditioner"]
    if arguments.over == "horizon":
        step, horizon = problem["nominal_step"], [int(T) for T in values]
        found = meta_gradient_variance(model, step, P, horizon=horizon)
    else:
        (T,) = read_horizons(arguments.horizon)
        found = meta_gradient_variance(model, values, P, horizon=T)
    return list(zip(found.trace, found.nominal_step, strict=True))


def plot(arguments: argparse.Namespace, values: list[float], rows: Any, path: str) -> None:
    """The first column over the range; losses and variances on a logarithmic axis."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError("plot needs matplotlib; pip install 'nqm-lopt[figures]'.") from None
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    shown = [row[0] if math.isfinite(row[0]) else math.nan for row in rows]
    axes.plot(values, shown, marker=".", color="tab:blue")
    axes.set(xlabel=arguments.over.replace("-", " "), ylabel=QUANTITIES[arguments.quantity][0])
    if arguments.log:
        axes.set_xscale("log")
    if arguments.quantity in ("loss", "gradient-variance"):
        if any(value > 0 for value in shown):
            axes.set_yscale("log")
    else:
        axes.axhline(0 if arguments.quantity == "margin" else 1, color="0.5", linewidth=1)
    axes.grid(color="0.9")
    figure.savefig(path, dpi=150)


def run(arguments: argparse.Namespace) -> int:
    """Print the sweep or draw it; the exit code is 0."""
    if arguments.plot is not None:
        check_picture(arguments.plot)
    values = points(arguments)
    rows = evaluate(arguments, values)
    names = (arguments.over.replace("-", "_"), *QUANTITIES[arguments.quantity])
    if arguments.plot is not None:
        try:
            plot(arguments, values, rows, arguments.plot)
        except OSError as error:
            raise ValueError(
                f"plot: cannot write {quoted(arguments.plot)}: {reason(error)}."
            ) from None
        print(f"wrote {arguments.plot}")
    elif arguments.json:
        import json

        from nqm.json_values import json_value
        from nqm.verdict.report import SCHEMA_VERSION

        table = [
            [written(value), *map(json_value, row)] for value, row in zip(values, rows, strict=True)
        ]
        columns = dict(zip(names, map(list, zip(*table, strict=True)), strict=True))
        print(json.dumps({"schema_version": SCHEMA_VERSION} | columns, indent=2, allow_nan=False))
    else:
        print(",".join(names))
        for value, row in zip(values, rows, strict=True):
            print(",".join(map(repr, (written(value), *map(float, row)))))
    return 0
