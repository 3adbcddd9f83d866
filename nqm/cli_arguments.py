"""Arguments that several commands share; the heavy imports wait for the call."""

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nqm.examples import Example


def add_problem(parser: argparse.ArgumentParser) -> None:
    """--hessian, --preconditioner and --nominal-step."""
    parser.add_argument(
        "--hessian",
        required=True,
        metavar="FILE|NAME",
        help="H: a .npy, .npz, .csv or .json file, or a name that `nqm examples` lists",
    )
    parser.add_argument(
        "--preconditioner",
        metavar="FILE",
        help="P, any real matrix; default zero or the example's",
    )
    parser.add_argument(
        "--nominal-step", metavar="X", help="alpha, the step; default 0, or the example's"
    )


def add_rule(parser: argparse.ArgumentParser) -> None:
    """--rule."""
    parser.add_argument(
        "--rule",
        default="plain",
        metavar="RULE",
        help="how the gradient is used, such as heavy_ball:momentum=0.9 (list: `nqm examples`; "
        "default plain)",
    )


def named_example(value: str) -> "Example | None":
    """The example of that name, None for anything that looks like a file."""
    from nqm.examples import EXAMPLES
    from nqm.files import SUFFIXES

    if value in EXAMPLES:
        return EXAMPLES[value]
    if value.endswith(SUFFIXES):
        return None
    raise ValueError(
        f"hessian: {value!r} is neither a file ending in {', '.join(SUFFIXES)} nor one of the "
        f"examples {', '.join(EXAMPLES)}."
    )


def read_problem(arguments: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """H, and the keyword arguments preconditioner and nominal_step of `nqm.check`."""
    from nqm.files import read_array
    from nqm.validate import scalar

    shown = named_example(arguments.hessian)
    H = shown.hessian if shown is not None else read_array(arguments.hessian, "hessian")
    P = shown.preconditioner if shown is not None else None
    alpha = shown.nominal_step if shown is not None else None
    if arguments.preconditioner is not None:
        P = read_array(arguments.preconditioner, "preconditioner")
    if arguments.nominal_step is not None:
        alpha = scalar("nominal_step", arguments.nominal_step)
    return H, {"preconditioner": P, "nominal_step": 0.0 if alpha is None else alpha}


def read_vector(text: str, name: str, size: int) -> Any:
    """A vector from a file, or one number for all its entries."""
    import numpy as np

    from nqm.files import SUFFIXES, read_array
    from nqm.validate import scalar, vector

    if text.endswith(SUFFIXES):
        return vector(name, read_array(text, name), size)
    return np.full(size, scalar(name, text))


def read_noise(text: str, size: int) -> dict[str, Any]:
    """What --noise asks `check` for: a covariance on the minimum, or a batch size."""
    import numpy as np

    from nqm.files import SUFFIXES, read_array
    from nqm.validate import scalar

    if text.startswith("minibatch:"):
        return {"batch_size": scalar("noise minibatch", text.removeprefix("minibatch:"))}
    if text.endswith(SUFFIXES):
        return {"noise_covariance": read_array(text, "noise_covariance")}
    if text == "identity":
        return {"noise_covariance": np.eye(size)}
    return {"noise_covariance": scalar("noise", text) * np.eye(size)}
