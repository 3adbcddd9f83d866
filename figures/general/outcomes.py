"""What is kept of learned optimizers on tasks that they have not seen, against those that one would
pick instead.

It is what ``lopt evaluate ... --suite out-of-distribution --small --scheduled`` finds, with runs of
figures.general.meta_runs and the same optimizer before it was meta-trained. Learning rates are
compared on one seed. Every finished curve is in figures/results/contest; `python -m figures general
--recompute` trains what is missing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from figures.engine.figure import RESULTS
from figures.engine.store import rounded
from figures.star.meta_runs import KEPT
from lopt.keys import random_key
from lopt.meta.evaluation.outcome import Row, TaskOutcome
from lopt.meta.evaluation.scheduled import ADAMW, BASELINES, RATES
from lopt.meta.evaluation.suite import evaluate_scheduled
from lopt.optimizers.files.saved import Saved, load
from lopt.optimizers.star_update import HYPERPARAM, init_meta_parameters

PLACE = RESULTS / "contest"
SEEDS, SCREENING = 3, 1
GENERAL = "general-hyperparam-orthogonal"
"""The run that ships as `general`, chosen on tasks apart from these."""
UNLEARNED = "AdamAggMo-orthogonalized"
HOW = ("tuned", "untuned")
STEPS: dict[str, int] = {
    "cifar10-mlp-layernorm-small": 500,
    "cifar10-mlp-128x128x128-small": 250,
    "cifar10-mlp-wide-small": 80,
    "cifar10-mlp-batchnorm-small": 250,
    "cifar10-mlp-dropout-mse-small": 250,
    "cifar100-mlp-tanh-small": 500,
    "mnist-mlp-es1-small": 500,
    "cifar10-mlp-es8-small": 500,
    "mnist-autoencoder-small": 500,
    "cifar10-autoencoder-small": 500,
    "cifar10-convnet-32x64x64-small": 150,
    "cifar10-convnet-layernorm-small": 200,
    "imagenet32-resnet-small": 150,
    "lm1b-lstm-small": 150,
    "lm1b-gru-small": 150,
    "lm1b-transformer-small": 50,
}
"""The tasks in the order of the suite, with inner steps."""
CONFIG = {"seeds": SEEDS, "screening": SCREENING, "steps": STEPS, "rates": list(RATES)}
"""What determines the results of every figure of these tasks."""


def learned() -> dict[str, Saved]:
    """The run that ships, and the same optimizer before it was meta-trained.

    Examples
    --------
    >>> list(learned())
    ['general-hyperparam-orthogonal', 'AdamAggMo-orthogonalized']
    """
    return {GENERAL: load(KEPT / f"{GENERAL}.npz"), UNLEARNED: unlearned(orthogonal=True)}


def unlearned(*, orthogonal: bool) -> Saved:
    """AdamAggMo, normalized, as it is before meta-training."""
    # With a last layer of zeros the controller does nothing, and the nominal term is left.
    config = replace(
        HYPERPARAM, initial_head_scale=0.0, normalize_update=True, orthogonalize_update=orthogonal
    )
    return Saved(jax.device_get(init_meta_parameters(random_key(0), config)), config, {})


def compute(task: str) -> dict[str, Any]:
    """The outcome of a task, from what is kept; what is missing is computed and kept first."""
    return numbers(*evaluated(task, learned(), BASELINES))


def evaluated(
    task: str, optimizers: Mapping[str, Saved], baselines: Iterable[str]
) -> tuple[TaskOutcome, TaskOutcome]:
    """Everyone at the best learning rate, and at the default."""
    tuned, untuned = evaluate_scheduled(
        optimizers,
        [task],
        PLACE,
        seeds=SEEDS,
        steps=STEPS[task],
        screening_seeds=SCREENING,
        baselines=tuple(baselines),
    )
    if tuned.skipped:
        raise ValueError(f"{task}: {tuned.skipped[task]}")
    return tuned.tasks[0], untuned.tasks[0]


def numbers(tuned: TaskOutcome, untuned: TaskOutcome) -> dict[str, Any]:
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


def faster(data: Any, name: str) -> int:
    """The number of tasks on which it takes fewer steps to tuned AdamW's final loss than AdamW
    itself, which may be there before its end.
    """
    both = zip(shares(data, name), shares(data, ADAMW), strict=True)
    return sum(own < adamw for own, adamw in both)


def over_adamw(data: Any, name: str, how: str) -> list[float]:
    """The final loss over AdamW's, both "tuned" or both "untuned", task by task."""
    return [part[how][name]["over_adamw"] for part in data.values()]


def diverged(data: Any, name: str) -> int:
    """The number of tasks on which any use of an optimizer diverges."""
    return sum(any(any(part[how][name]["diverged"]) for how in HOW) for part in data.values())


def at_the_largest_rate(data: Any, name: str) -> int:
    """The number of tasks on which the best of the rates is the largest."""
    return sum(part["tuned"][name]["rate"] == max(RATES) for part in data.values())


def names(data: Any) -> Sequence[str]:
    """The optimizers, AdamW first."""
    return list(next(iter(data.values()))["tuned"])


def named(name: str) -> str:
    """What tables call an optimizer."""
    return {GENERAL: "`general`", UNLEARNED: "`general` before meta-training"}.get(name, name)
