"""The meta-training runs of optimizers for tasks that they have not seen.

    python -m figures.general.meta_runs              list the runs and their states
    python -m figures.general.meta_runs NAME ...     do these; interrupted ones are resumed
    python -m figures.general.meta_runs --all        do all that are missing, in order

All but the last have one budget: four perceptrons with one hidden layer of 32 units on 8x8 images,
one global scale of their parameters for each episode, episodes from 100 to 2,000 steps, updates
that are normalized tensor by tensor, and steps that fall to zero over an episode as a cosine, which
is how these optimizers are used.
"""

import sys
from dataclasses import replace
from typing import Any

from figures.star import meta_runs
from lopt.meta.config import TrainConfig

TASKS = tuple(f"{name}-8x8-mlp-32" for name in ("mnist", "fashion-mnist", "cifar10", "cifar100"))
BUDGET: dict[str, Any] = {
    "tasks": TASKS,
    "augmentation": "global",
    "augmentation_min": 0.1,
    "augmentation_max": 10.0,
    "horizon": 2000,
    "horizon_schedule": "log-uniform",
    "horizon_min": 100,
    "inner_schedule": "cosine",
    "truncation": 50,
    "pairs": 2,
    "outer_steps": 10_000,
    "learning_rate": 1e-3,
    "final_learning_rate": 0.05,
    "checkpoint_every": 500,
    "devices": 1,
    "monitor_every": 0,
    "normalize_update": True,
    "initial_head_scale": 0.0,
    # Normalization leaves the ratio of the terms alone: here both start with the same step, in
    # gradients of any size.
    "precondition": False,
    "blackbox_step": 1e-3,
    # At the printed 1e-3 the controller has no effect (`python -m figures.star.controller`).
    "nominal_exponent": 0.1,
}


def experiments() -> dict[str, TrainConfig]:
    """Return every run by name."""
    star = TrainConfig(**BUDGET)
    alone = {
        "general-star": star,
        "general-blackbox": replace(star, optimizer="blackbox"),
        "general-hyperparam": replace(star, optimizer="hyperparam"),
    }
    return {
        **alone,
        # Muon's direction is an orthogonalized momentum.
        **{
            f"{name}-orthogonal": replace(run, orthogonalize_update=True)
            for name, run in alone.items()
        },
        "general-star-wd0": replace(star, weight_decay=0.0),
        # The best of them goes on, at the step that is best on most tasks once it is tuned.
        "general-hyperparam-orthogonal-5x": replace(
            alone["general-hyperparam"],
            orthogonalize_update=True,
            outer_steps=5 * star.outer_steps,
            normalized_step=3e-3,
        ),
    }


def main(arguments: list[str]) -> int:
    """List the runs, or do those that are named; return the exit code."""
    return meta_runs.main(arguments, experiments())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
