"""`nqm examples`: the matrices and the rules that the other commands know by name."""

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add `nqm examples`."""
    parser = subparsers.add_parser(
        "examples",
        help="the matrices and rules known by name",
        description="What --hessian and --rule know by name; with NAME, that example as JSON, "
        "which --hessian and --preconditioner read back from a file.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="print this example's numbers")
    parser.set_defaults(run=run)


def listing() -> str:
    """Both tables."""
    from nqm.examples import EXAMPLES
    from nqm.rules.table import RULES

    lines = ["Examples, for --hessian:"]
    lines += [f"  {name:<27}{shown.summary}" for name, shown in EXAMPLES.items()]
    lines += ["", "Rules, for --rule, with g the gradient:"]
    for name, rule in RULES.items():
        defaults = ",".join(f"{k}={_word(v)}" for k, v in rule.parameters.items())
        lines.append(f"  {name + (':' if defaults else '') + defaults:<40}{rule.summary}")
    return "\n".join(lines)


def _word(value: Any) -> str:
    return "/".join(f"{v:g}" for v in value) if isinstance(value, tuple) else f"{value:g}"


def run(arguments: argparse.Namespace) -> int:
    """Print the tables, or one example."""
    import json

    from nqm.examples import example
    from nqm.json_values import json_value

    if arguments.name is None:
        print(listing())
        return 0
    shown = example(arguments.name)
    fields = {
        "name": shown.name,
        "summary": shown.summary,
        "hessian": shown.hessian,
        "preconditioner": shown.preconditioner,
        "nominal_step": shown.nominal_step,
        "disturbance_bound": shown.disturbance_bound,
    }
    print(json.dumps({k: json_value(v) for k, v in fields.items() if v is not None}, indent=2))
    return 0
