"""``lopt monitor``: draw the eigenvalues of training over a meta-training run."""

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from lopt.meta.run.directory import RunDirectory
from lopt.meta.run.metrics import has_spectrum
from lopt.monitor.picture import (
    deciding_eigenvalue,
    largest_possible,
    pyplot,
    spectra_over_time,
)
from nqm.untrusted import one_line


def add_parser(commands: Any) -> None:
    """Add ``monitor`` to the command line."""
    parser = commands.add_parser(
        "monitor",
        help="draw the eigenvalues over a meta-training run",
        description="Summarize the measurements of a finished or running meta-training run, and "
        "draw them: the eigenvalues in the complex plane, and their radius over the outer steps.",
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="the run directory")
    parser.add_argument(
        "--out", metavar="PNG", type=Path, help="the picture to write (default: RUN/monitor.png)"
    )
    parser.set_defaults(run_command=run_command)


def _point_text(point: dict[str, Any]) -> str:
    """The verdict, what decided it, and the moduli of the eigenvalues."""
    words, one = [point.get("verdict") or "unresolved"], deciding_eigenvalue(point)
    if one is not None:
        words.append(f"decided by {point['direction']} of modulus {abs(one):.4g}")
    radius, bound = point["radius"], largest_possible(point)
    words.append("none converged" if radius is None else f"largest converged {radius:.4g}")
    if np.isfinite(bound):
        words.append(f"none beyond {bound:.4g}")
    return ", ".join(words)


def run_command(options: argparse.Namespace) -> int:
    """Draw the picture, and print the verdicts."""
    run = RunDirectory(options.run)
    run.read_config()
    metrics = run.metrics()
    measured = [line for line in metrics.lines if "monitor" in line]
    seen = [line for line in measured if has_spectrum(line)]
    told = list(metrics.told)
    if missing := len(measured) - len(seen):
        count = "1 measurement holds" if missing == 1 else f"{missing} measurements hold"
        told.append(f"{count} nothing to draw.")
    for message in told:
        print(one_line(f"lopt monitor: {message}"), file=sys.stderr)
    if not seen:
        raise ValueError(
            f"{run.path} has no measurements of the eigenvalues yet: they are written every "
            "--monitor-every outer steps, and not at all where that is 0."
        )
    out = options.out or run.path / "monitor.png"
    if options.out is None and out.is_symlink():
        raise ValueError(f"{out} is a link; name the picture to write with --out.")
    if not out.absolute().parent.is_dir():
        raise ValueError(f"the folder of {out} does not exist. Make it first.")
    plt = pyplot()
    plt.switch_backend("Agg")
    figure = spectra_over_time(seen)
    try:
        figure.savefig(out, dpi=150)
    except (OSError, ValueError) as error:
        raise ValueError(f"{out} cannot be written ({error}).") from None
    finally:
        plt.close(figure)
    verdicts = Counter(line["monitor"]["verdict"] for line in seen)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    last = seen[-1]
    text = f"{len(seen)} measurements: {counts}; at outer step {last['outer_step']}: "
    print(one_line(text + last["monitor"]["verdict"]))
    for point in last["monitor"]["points"]:
        task = f"{one_line(str(point['task']), 60)}, " if point.get("task") else ""
        print(f"{task}inner step {point['inner_step']}: {_point_text(point)}")
    print(f"Wrote {out}")
    return 0
