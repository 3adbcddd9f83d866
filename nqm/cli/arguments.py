"""Arguments that several commands share; the heavy imports wait for the call."""

import argparse
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nqm.examples import Example


# What argparse takes for an option, unless it is a plain number: -1e-3, -1,2, -inf.
NEGATIVE = re.compile(r"-(\.?\d.*|inf|infinity|nan)", re.IGNORECASE | re.DOTALL)


def join_negative_values(words: Sequence[str]) -> list[str]:
    """The words of a command line with ``--option -1e-3`` written ``--option=-1e-3``.

    Examples
    --------
    >>> join_negative_values(["loss", "--initial", "-1e-3", "--json", "--to", "-2"])
    ['loss', '--initial=-1e-3', '--json', '--to=-2']
    """
    joined: list[str] = []
    for word in words:
        before = joined[-1] if joined else ""
        if NEGATIVE.fullmatch(word) and before.startswith("--") and "=" not in before:
            joined[-1] = f"{before}={word}"
        else:
            joined.append(word)
    return joined


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


def check_picture(path: str) -> None:
    """Raise unless the name of a picture ends in .png, .svg or .pdf."""
    from nqm.files import is_file_name
    from nqm.untrusted import quoted

    if not is_file_name(path, (".png", ".svg", ".pdf")):
        raise ValueError(f"plot: {quoted(path)} must end in .png, .svg or .pdf.")


def named_example(value: str) -> "Example | None":
    """The example of that name, None for anything that looks like a file."""
    from nqm.examples import EXAMPLES
    from nqm.files import SUFFIXES, is_file_name
    from nqm.untrusted import quoted

    if value in EXAMPLES:
        return EXAMPLES[value]
    if is_file_name(value):
        return None
    raise ValueError(
        f"hessian: {quoted(value)} is neither a file ending in {', '.join(SUFFIXES)} nor one of "
        f"the examples {', '.join(EXAMPLES)}."
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


def read_preconditioners(path: str) -> Any:
    """A stack of P: several of them, one alone, those below one another, or a box's vertices.

    A .json or .npz file holds `preconditioners`, or `lower` and `upper` for a box, or
    `preconditioner`; a matrix of N columns and m N rows, as a .csv file has, holds m of them.
    """
    from nqm.examples import EXAMPLES
    from nqm.files import holds, read_array
    from nqm.switching.updates import preconditioner_box

    if path in EXAMPLES and EXAMPLES[path].preconditioner is not None:
        return EXAMPLES[path].preconditioner
    if holds(path, ("lower", "upper")):
        return preconditioner_box(read_array(path, "lower"), read_array(path, "upper"))
    single = holds(path, ("preconditioner",)) and not holds(path, ("preconditioners",))
    found = read_array(path, "preconditioner" if single else "preconditioners")
    if found.ndim == 2 and found.shape[1] and found.shape[0] % found.shape[1] == 0:
        return found.reshape(-1, found.shape[1], found.shape[1])
    return found


def read_vector(text: str, name: str, size: int) -> Any:
    """A vector from a file, or one number for all its entries."""
    import numpy as np

    from nqm.files import is_file_name, read_array
    from nqm.validate import scalar, vector

    if is_file_name(text):
        return vector(name, read_array(text, name), size)
    return np.full(size, scalar(name, text))


def read_noise(text: str, size: int) -> dict[str, Any]:
    """What --noise asks `check` for: a covariance on the minimum, or a batch size."""
    import numpy as np

    from nqm.files import is_file_name, read_array
    from nqm.validate import scalar

    if text.startswith("minibatch:"):
        return {"batch_size": scalar("noise minibatch", text.removeprefix("minibatch:"))}
    if is_file_name(text):
        return {"noise_covariance": read_array(text, "noise_covariance")}
    if text == "identity":
        return {"noise_covariance": np.eye(size)}
    return {"noise_covariance": scalar("noise", text) * np.eye(size)}
