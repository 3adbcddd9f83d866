"""Does what the monitor sees at the horizon foretell what a learned optimizer does beyond it?

    python -m figures.predictions [--again]

Learned optimizers at several outer steps of short meta-training runs are used on two tasks. The
monitor measures each at the horizon; held-out seeds train on to ten horizons. What was measured is
kept in figures/results/predictions.json, from which the table, docs/predictions.md and
docs/predictions.png are made. ``--again`` meta-trains and measures anew.
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

import lopt
from figures.association import survival
from figures.demo import smooth
from lopt.meta.config import OPTIMIZERS
from lopt.meta.evaluate import clipped, held_out_keys, training_curves
from lopt.meta.watch import probe
from lopt.tasks.datasets import fashion_mnist_8x8
from lopt.tasks.images import image_task
from lopt.tasks.networks import MLP

RESULTS = Path(__file__).parent / "results" / "predictions.json"
OUTER_STEPS = (0, 50, 150, 400)
HORIZON, HORIZONS, SEEDS = 200, 10, 6
NUMBERS = ("radius", "oscillatory_radius", "ascent_radius", "growth", "sharpness")
BETAS = ("nominal_step", "nominal_exponent", "blackbox_step", "blackbox_exponent")


@dataclass(frozen=True)
class Run:
    """A learned optimizer with its constants, meta-trained on the embedded task.

    `used_step` is the nominal step that it is used with where that is another than it was trained
    with.
    """

    name: str
    optimizer: str
    seed: int
    nominal_step: float = 0.01
    blackbox_step: float = 0.0
    exponent: float = 1e-3
    used_step: float | None = None

    def config(self) -> lopt.TrainConfig:
        """Of its meta-training: short, that of the demo in small."""
        return lopt.TrainConfig(
            optimizer=self.optimizer,
            nominal_step=self.nominal_step,
            nominal_exponent=self.exponent,
            blackbox_step=self.blackbox_step,
            blackbox_exponent=self.exponent,
            horizon=HORIZON,
            pairs=4,
            learning_rate=3e-3,
            outer_steps=max(OUTER_STEPS),
            seed=self.seed,
        )

    def constants(self) -> dict[str, jax.Array]:
        """beta_1 to beta_4 in use, as arrays: with them traced one compilation serves them all."""
        config = self.config().star_config
        if self.used_step is not None:
            config = replace(config, nominal_step=self.used_step)
        return {name: jnp.float32(getattr(config, name)) for name in BETAS}


RUNS = (
    Run("STAR, β₃ = 1e-5", "star", 0, blackbox_step=1e-5),
    Run("STAR, β₃ = 1e-4", "star", 1, blackbox_step=1e-4),
    Run("STAR, β₃ = 1e-4, β₂ = β₄ = 0.1", "star", 2, blackbox_step=1e-4, exponent=0.1),
    Run("STAR, β₃ = 1e-3", "star", 3, blackbox_step=1e-3),
    Run("Blackbox, β₃ = 1e-4", "blackbox", 4, blackbox_step=1e-4),
    Run("Blackbox, β₃ = 1e-3", "blackbox", 5, blackbox_step=1e-3),
    Run("Hyperparam", "hyperparam", 6),
    Run("Hyperparam, used at 10 β₁", "hyperparam", 6, used_step=0.1),
)


def tasks() -> tuple[lopt.Task, ...]:
    """The one that is trained on, and a deeper and narrower network on the same images."""
    data = fashion_mnist_8x8().train
    other = image_task("fashion-mnist-8x8-mlp, 16-16", data, MLP((16, 16), 10), classes=10)
    return lopt.make_task("fashion-mnist-8x8-mlp"), other


def meta_train(run: Run) -> list[lopt.MetaParameters]:
    """The meta-parameters at each of `OUTER_STEPS`."""
    return _checkpoints(run.config())


@lru_cache
def _checkpoints(config: lopt.TrainConfig) -> list[lopt.MetaParameters]:
    trainer, found = lopt.Trainer(config), []
    state = trainer.init()
    for step in range(max(OUTER_STEPS) + 1):
        if step in OUTER_STEPS:
            found.append(jax.tree.map(np.asarray, jax.device_get(state.theta)))
        if step < max(OUTER_STEPS):
            state, _ = trainer.step(state, step)
    return found


def make_optimizer(optimizer: str, used: Any, *, fused: bool) -> optax.GradientTransformation:
    """Of meta-parameters and constants, all of which may be traced."""
    theta, constants = used
    return lopt.star(theta, replace(OPTIMIZERS[optimizer], **constants), fused=fused)


def numbers(found: lopt.monitor.ProbeReport) -> dict[str, Any]:
    """The monitor's, at the last point of its trajectory; None where there is none."""
    point = found.points[-1].to_json()
    return {name: _short(point[name]) for name in ("verdict", "direction", *NUMBERS)}


def outcome(curves: NDArray[np.float32], ceiling: float) -> dict[str, list[Any]]:
    """Of every seed: the steps it survives, and its loss around half the horizon, the horizon and
    the end.
    """
    width = HORIZON // 10
    smoothed = smooth(clipped(curves, 10 * ceiling), width)
    at = {"half": HORIZON // 2, "horizon": HORIZON, "end": curves.shape[1]}
    return {
        "survival": survival(curves, smoothed, ceiling),
        **{name: [_short(float(v)) for v in smoothed[:, step - 1]] for name, step in at.items()},
    }


def measure(
    task: lopt.Task, optimizer: str, cases: list[tuple[Run, int, lopt.MetaParameters]]
) -> Iterator[dict[str, Any]]:
    """What the monitor says of optimizers of one kind on a task, and what becomes of them."""
    used = [(theta, run.constants()) for run, _, theta in cases]
    watch = replace(
        probe(cases[0][0].config(), task),
        make_transformation=lambda one: make_optimizer(optimizer, one, fused=False),
    )
    curves = training_curves(
        task,
        lambda one: make_optimizer(optimizer, one, fused=True),
        jax.tree.map(lambda *leaves: jnp.stack(leaves), *used),
        HORIZONS * HORIZON,
        held_out_keys(SEEDS),
    )
    for (run, step, _), one, losses in zip(cases, used, curves, strict=True):
        named = {"task": task.name, "run": run.name, "optimizer": optimizer, "outer_step": step}
        yield named | numbers(watch.measure(one)) | outcome(losses, task.loss_ceiling)


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
