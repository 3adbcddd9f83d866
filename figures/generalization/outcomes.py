"""What is kept of optimizers that were meta-trained on one MLP, on other tasks.

    python -m lopt evaluate figures/results/runs/star-wd0.1-0.npz ... --tasks NAME ... --steps 2000
        --rates 1e-4 3e-4 1e-3 3e-3 1e-2 --draws 0 --results figures/results/suite [--tune]

trains what is missing; the figures read what figures/results/suite keeps, and train the rest.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from figures.engine.figure import RESULTS
from figures.engine.store import rounded
from figures.engine.style import BLUE, GREEN, ORANGE, PURPLE
from figures.star.meta_runs import KEPT
from lopt.meta.evaluation.outcome import CHOSEN, Row, TaskOutcome, tail
from lopt.meta.evaluation.suite import evaluate_suite
from lopt.optimizers.files.saved import load

PLACE = RESULTS / "suite"
STEPS, RATES = 2000, (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
KINDS = {
    "STAR, weight decay 0.1": ("star-wd0.1", BLUE),
    "STAR, weight decay 0.5": ("star-wd0.5", GREEN),
    "Blackbox": ("blackbox", ORANGE),
    "Hyperparam": ("hyperparam", PURPLE),
}
STARS = tuple(KINDS)[:2]


class Extent(NamedTuple):
    """What of a task is computed: held-out seeds, seeds of meta-training, whether beta_1 of STAR is
    also chosen, for the first of these, and inner steps.
    """

    seeds: int
    runs: int = 1
    tuned: bool = False
    steps: int = STEPS


EXTENT: dict[str, Extent] = {
    "cifar10-mlp-layernorm-small": Extent(1, runs=3),
    "cifar10-mlp-128x128x128-small": Extent(1, runs=3),
    "cifar10-mlp-wide-small": Extent(1, steps=500),
    "cifar10-mlp-batchnorm-small": Extent(1, runs=3),
    "cifar10-mlp-dropout-mse-small": Extent(1),
    "cifar100-mlp-tanh-small": Extent(1, runs=3),
    "mnist-mlp-es1-small": Extent(1, runs=3, tuned=True),
    "cifar10-mlp-es8-small": Extent(1),
    "mnist-autoencoder-small": Extent(1, tuned=True),
    "cifar10-autoencoder-small": Extent(1),
    "cifar10-convnet-32x64x64-small": Extent(1, steps=500),
    "cifar10-convnet-layernorm-small": Extent(1, steps=500),
    "imagenet32-resnet-small": Extent(1),
    "lm1b-lstm-small": Extent(1, steps=1000),
    "lm1b-gru-small": Extent(1),
    "lm1b-transformer-small": Extent(1, steps=500),
}
"""The tasks with results, in the order of the suite."""


def compute(task: str) -> dict[str, Any]:
    """The outcome of a task, from what is kept; what is missing is computed and kept first."""
    extent = EXTENT[task]
    kinds = [kind for kind, _ in KINDS.values()]
    found = _evaluated(task, extent, kinds, tune=False)
    rows = list(found.rows)
    if extent.tuned:
        more = _evaluated(task, extent, [KINDS[star][0] for star in STARS], tune=True)
        rows += [row for row in more.rows if row.name.endswith(CHOSEN)]
    return {
        "ceiling": rounded(found.adam.ceiling, 5),
        "steps": found.steps,
        "rows": {row.name: _numbers(found, row) for row in rows},
    }


def _evaluated(task: str, extent: Extent, kinds: Iterable[str], *, tune: bool) -> TaskOutcome:
    count = 1 if tune else extent.runs
    runs = [f"{kind}-{seed}" for kind in kinds for seed in range(count)]
    saved = {run: load(KEPT / f"{run}.npz") for run in runs}
    found = evaluate_suite(
        saved, [task], PLACE, seeds=extent.seeds, rates=RATES, steps=extent.steps, tune=tune
    )
    if found.skipped:
        raise ValueError(f"{task}: {found.skipped[task]}")
    return found.tasks[0]


def _numbers(found: TaskOutcome, row: Row) -> dict[str, Any]:
    """What the figures and captions use of a row."""
    curve, width = row.cut.mean(axis=0), tail(row.curves)
    middle = len(curve) // 2
    return {
        "constants": rounded(row.constants, 4),
        "curve": rounded(curve, 4),
        "first": rounded(row.cut[:, 0], 4),
        "final": rounded(row.final, 4),
        "diverged": row.diverged.tolist(),
        "final_over_adam": rounded(found.ratio(row, "final"), 4),
        "mean_over_adam": rounded(found.ratio(row, "mean"), 4),
        "steps_to_adam": found.steps_to_adam(row),
        "halfway": rounded(row.cut[:, middle - width : middle].mean(axis=1), 4),
    }


def rows_of(part: Any, label: str, *, chosen: bool = False) -> list[Any]:
    """The rows of an optimizer, one for each seed of its meta-training."""
    kind, _ = KINDS[label]
    return [
        row
        for name, row in part["rows"].items()
        if name.startswith(f"{kind}-") and name.endswith(CHOSEN) == chosen
    ]


def final(rows: Sequence[Any]) -> float:
    """The mean final loss of some rows."""
    return float(np.mean([row["final"] for row in rows]))


def best_star(part: Any, *, chosen: bool = False) -> str:
    """The weight decay with the lower final loss."""
    return min(STARS, key=lambda star: final(rows_of(part, star, chosen=chosen)))
