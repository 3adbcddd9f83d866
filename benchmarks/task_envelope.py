"""Tuned Adam on tasks of the suite over the same on the tasks of learned_optimization.

    python -m benchmarks.task_envelope NAME [NAME ...] --archive FILE [--seeds N] [--save]
    python -m benchmarks.task_envelope

FILE is a table with a row for each task of the package and a column for each number of steps: the
lower envelope of Adam over constant learning rates, of losses that are taken every 10 steps,
averaged over seeds and smoothed exponentially with the factor 0.95, and its running minimum. The
same is computed here, so that the smoothing delays both alike, over fewer rates, which can only
raise it. Prints ours with its standard error over the seeds, the archive's, and their ratio.
``--save`` keeps the numbers in ``benchmarks/results/task_envelope.json``; without a name the kept
ones are printed.
"""

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optax
from numpy.typing import NDArray

from lopt.meta.evaluation.curves import held_out_keys, training_curves
from lopt.tasks import make_task, task_form

KEPT = Path(__file__).parent / "results" / "task_envelope.json"
STEPS = (0, 200, 500, 1000)
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
EVERY, SMOOTHING, EPSILON = 10, 0.95, 1e-8


def adam(rate: Any) -> optax.GradientTransformation:
    """Adam as the archive has it, with an epsilon under the root too."""
    return optax.adam(rate, eps=EPSILON, eps_root=EPSILON)


def envelope(losses: NDArray[np.floating]) -> NDArray[np.floating]:
    """The best smoothed loss so far at every tenth step, of training losses ``[rates, steps]``.

    A loss is the mean of the `EVERY` steps from one on, which are drawn before they are taken.
    """
    blocks = losses.reshape(len(losses), -1, EVERY).mean(axis=2)
    blocks[:, 0] = losses[:, 0]
    smooth = blocks.copy()
    for k in range(1, blocks.shape[1]):
        smooth[:, k] = SMOOTHING * smooth[:, k - 1] + (1 - SMOOTHING) * blocks[:, k]
    best = np.min(np.where(np.isfinite(smooth), smooth, np.inf), axis=0)
    return np.minimum.accumulate(best)


def read_archive(path: Path) -> dict[str, dict[str, float]]:
    """The rows of the table by the task's name in the package."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {row.pop("task"): {k: float(v) for k, v in row.items()} for row in rows}


def measured(
    name: str, reference: dict[str, float], seeds: int, rates: Sequence[float]
) -> dict[str, Any]:
    """The losses of one task beside the archive's."""
    length = (STEPS[-1] // EVERY + 1) * EVERY
    tried = np.array(rates, np.float32)
    curves = training_curves(make_task(name), adam, tried, length, held_out_keys(seeds))
    curves = curves.astype(np.float64)
    mean = curves.mean(axis=1)
    found = envelope(mean)
    best = int(np.argmin(np.nan_to_num(mean[:, -100:].mean(axis=1), nan=np.inf)))
    each = np.stack([envelope(one[None]) for one in curves[best]])
    error = each.std(axis=0, ddof=1) / np.sqrt(seeds)
    return {
        "seeds": seeds,
        "rates": list(rates),
        "best_rate": rates[best],
        "ours": {str(t): round(float(found[t // EVERY]), 4) for t in STEPS},
        "standard_error": {str(t): round(float(error[t // EVERY]), 4) for t in STEPS},
        "archive": {str(t): reference[str(t)] for t in STEPS},
    }


def table(kept: dict[str, dict[str, Any]]) -> str:
    """A line for each task."""
    head = f"{'task':28}{'seeds':>6}{'rate':>7}"
    lines = [head + "".join(f"{f'after {t}':>33}" for t in STEPS)]
    for name, one in kept.items():
        cells = "".join(
            f"{ours:9.4f} ±{one['standard_error'][t]:.3f} /{one['archive'][t]:7.4f} "
            f"={ours / one['archive'][t]:6.3f}"
            for t, ours in one["ours"].items()
        )
        lines.append(f"{name:28}{one['seeds']:6}{one['best_rate']:7.0e}{cells}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.task_envelope")
    parser.add_argument("names", nargs="*", metavar="NAME", help="tasks that have a reference")
    parser.add_argument("--archive", type=Path, help="the table of the package's losses")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each rate (default 5)")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="learning rates")
    parser.add_argument("--save", action="store_true", help="keep the numbers")
    options = parser.parse_args()
    kept = json.loads(KEPT.read_text("utf-8")) if KEPT.is_file() else {}
    if not options.names:
        print(table(kept))
        return
    if options.seeds < 2:
        parser.error("--seeds must be at least 2")
    if options.archive is None:
        parser.error("--archive is needed")
    archive = read_archive(options.archive)
    for name in options.names:
        form = task_form(name)
        if form is None or form.reference not in archive:
            parser.error(f"{name} has no row in {options.archive}")
        found = {name: measured(name, archive[form.reference], options.seeds, options.rates)}
        print(table(found), flush=True)
        if options.save:
            kept = json.loads(KEPT.read_text("utf-8")) if KEPT.is_file() else {}
            KEPT.write_text(json.dumps(kept | found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
