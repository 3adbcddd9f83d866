"""What is kept of learned optimizers on tasks that they have not seen, against those that one would
pick instead.

It is what ``lopt evaluate ... --suite out-of-distribution --small --scheduled`` finds, with the
kept runs of figures.general.meta_runs and three optimizers that were not meta-trained on their
tasks: AdamAggMo, normalized but not learned, the same orthogonalized, and the STAR that was
meta-trained on the Fashion-MNIST MLP. Learning rates are compared on one seed. Every finished curve
is in figures/results/contest; `python -m figures general --recompute` trains what is missing.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from figures.engine.figure import RESULTS
from figures.engine.store import rounded
from figures.general.meta_runs import experiments
from figures.star.meta_runs import KEPT
from lopt.keys import random_key
from lopt.meta.evaluation.outcome import Row, TaskOutcome
from lopt.meta.evaluation.suite import evaluate_scheduled
from lopt.optimizers.files.saved import Saved, load
from lopt.optimizers.star_update import HYPERPARAM, init_meta_parameters

PLACE = RESULTS / "contest"
SEEDS, SCREENING = 3, 1
NORMALIZED, ORTHOGONAL = "AdamAggMo-normalized", "AdamAggMo-orthogonalized"
NARROW = "fashion-mnist-mlp"
HOW = ("tuned", "untuned")
STEPS: dict[str, int] = {
    "cifar10-mlp-layernorm-small": 1000,
    "cifar10-mlp-128x128x128-small": 1000,
    "cifar10-mlp-wide-small": 300,
    "cifar10-mlp-batchnorm-small": 1000,
    "cifar10-mlp-dropout-mse-small": 1000,
    "cifar100-mlp-tanh-small": 1000,
    "mnist-mlp-es1-small": 1000,
    "cifar10-mlp-es8-small": 1000,
    "mnist-autoencoder-small": 1000,
    "cifar10-autoencoder-small": 1000,
    "cifar10-convnet-32x64x64-small": 300,
    "cifar10-convnet-layernorm-small": 300,
    "imagenet32-resnet-small": 300,
    "lm1b-lstm-small": 300,
    "lm1b-gru-small": 300,
    "lm1b-transformer-small": 300,
}
"""The tasks in the order of the suite, with inner steps."""


def learned() -> dict[str, Saved]:
    """The optimizers of the runs that are kept, those that are not learned, and the narrow one.

    Examples
    --------
    >>> found = learned()
    >>> [found[name].config.orthogonalize_update for name in (NORMALIZED, ORTHOGONAL)]
    [False, True]
    """
    runs = [name for name in experiments() if (KEPT / f"{name}.npz").exists()]
    # With a last layer of zeros the controller does nothing, and the nominal term is left.
    config = replace(HYPERPARAM, initial_head_scale=0.0, normalize_update=True)
    theta = jax.device_get(init_meta_parameters(random_key(0), config))
    return {
        **{name: load(KEPT / f"{name}.npz") for name in runs},
        NARROW: load(NARROW),
        NORMALIZED: Saved(theta, config, {}),
        ORTHOGONAL: Saved(theta, replace(config, orthogonalize_update=True), {}),
    }


def compute(task: str) -> dict[str, Any]:
    """The outcome of a task, from what is kept; what is missing is computed and kept first."""
    return _numbers(*_evaluated(task, STEPS[task]))


def _evaluated(task: str, steps: int) -> tuple[TaskOutcome, TaskOutcome]:
    """Everyone at the best learning rate, and at the default."""
    tuned, untuned = evaluate_scheduled(
        learned(), [task], PLACE, seeds=SEEDS, steps=steps, screening_seeds=SCREENING
    )
    if tuned.skipped:
        raise ValueError(f"{task}: {tuned.skipped[task]}")
    return tuned.tasks[0], untuned.tasks[0]


def _numbers(tuned: TaskOutcome, untuned: TaskOutcome) -> dict[str, Any]:
    """What figure and captions use of a task."""
    return {
        "steps": tuned.steps,
        "tuned": {row.name: _row(tuned, row) for row in tuned.rows},
        "untuned": {row.name: _row(untuned, row) for row in untuned.rows},
    }


def _row(found: TaskOutcome, row: Row) -> dict[str, Any]:
    share = found.steps_to_adam(row)
    return {
        "rate": rounded(row.constants["learning_rate"], 4),
        "final": rounded(row.final, 4),
        "over_adamw": rounded(found.ratio(row, "final"), 4),
        "share": None if share is None else rounded(share / found.steps, 4),
        "diverged": row.diverged.tolist(),
    }


def shares(data: Any, name: str) -> list[float]:
    """The share of tuned AdamW's steps after which an optimizer has reached its final loss, task by
    task; infinite where it does not within as many steps.
    """
    each = [part["tuned"][name]["share"] for part in data.values()]
    return [np.inf if share is None else share for share in each]


def untuned(data: Any, name: str) -> list[float]:
    """The final loss over AdamW's, both at their default rates, task by task."""
    return [part["untuned"][name]["over_adamw"] for part in data.values()]


def diverged(data: Any, name: str) -> int:
    """The number of tasks on which any use of an optimizer diverges."""
    return sum(any(any(part[how][name]["diverged"]) for how in HOW) for part in data.values())


def names(data: Any) -> Sequence[str]:
    """The optimizers, AdamW first."""
    return list(next(iter(data.values()))["tuned"])
