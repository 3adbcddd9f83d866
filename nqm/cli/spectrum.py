"""`nqm spectrum`: the eigenvalues, as a table or a picture."""

import argparse
from typing import Any

from nqm.cli.arguments import add_problem, add_rule, check_picture, read_problem
from nqm.untrusted import quoted, reason


def add_parser(subparsers: Any) -> None:
    """Add `nqm spectrum`."""
    parser = subparsers.add_parser(
        "spectrum",
        help="the eigenvalues of the update, as a table or a picture",
        description="The eigenvalues of the update by decreasing modulus, one a line.",
    )
    add_problem(parser)
    add_rule(parser)
    parser.add_argument(
        "--plot", metavar="FILE", help="draw them with the unit circle (.png, .svg or .pdf)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def table(report: Any) -> str:
    """Modulus, angle in turns, real and imaginary part, and how many steps halve or double it."""
    import numpy as np

    lines = [f"{'modulus':>12} {'angle/2pi':>10} {'real':>12} {'imaginary':>12}  change"]
    for value in report.spectrum.eigenvalues:
        modulus, turn = abs(value), np.angle(value) / (2 * np.pi)
        if modulus == 0:
            change = "gone in one step"
        elif abs(modulus - 1) <= report.spectrum.uncertainty:
            change = "stays"
        else:
            steps = np.log(2) / abs(np.log(modulus))
            change = f"{'halves' if modulus < 1 else 'doubles'} every {steps:.3g} steps"
        row = f"{modulus:12.6g} {turn:10.4f} {value.real:12.6g} {value.imag:12.6g}"
        lines.append(f"{row}  {change}")
    return "\n".join(lines)


def plot(report: Any, path: str) -> None:
    """The eigenvalues in the complex plane with the unit circle."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError("plot needs matplotlib; pip install 'nqm-lopt[figures]'.") from None
    import numpy as np

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    circle = np.exp(2j * np.pi * np.linspace(0, 1, 361))
    axes.plot(circle.real, circle.imag, color="0.5", linewidth=1)
    values = report.spectrum.eigenvalues
    outside = abs(values) > 1
    for chosen, color, label in (
        (~outside, "tab:blue", "inside or on the circle"),
        (outside, "tab:red", "outside"),
    ):
        if chosen.any():
            z = values[chosen]
            axes.scatter(z.real, z.imag, s=24, color=color, label=label, zorder=3)
    axes.set(aspect="equal", xlabel="real part", ylabel="imaginary part")
    axes.set_title(f"{report.verdict}: spectral radius {report.spectrum.spectral_radius:.6g}")
    axes.legend(loc="upper right", fontsize="small")
    axes.grid(color="0.9")
    figure.savefig(path, dpi=150)


def run(arguments: argparse.Namespace) -> int:
    """Print the table or draw the picture; the exit code is that of `nqm check`."""
    from nqm.verdict.check import check

    hessian, problem = read_problem(arguments)
    if arguments.plot is not None:
        check_picture(arguments.plot)
    report = check(hessian, **problem, rule=arguments.rule)
    if arguments.plot is not None:
        try:
            plot(report, arguments.plot)
        except OSError as error:
            raise ValueError(
                f"plot: cannot write {quoted(arguments.plot)}: {reason(error)}."
            ) from None
    if arguments.json:
        import json

        keys = ("schema_version", "verdict", "spectral_radius", "uncertainty", "eigenvalues")
        print(json.dumps({key: report.as_dict()[key] for key in keys}, indent=2))
    else:
        print(table(report) if arguments.plot is None else f"wrote {arguments.plot}")
    return report.exit_code
