"""Meta-training: PES estimates, AdamW on the meta-parameters, checkpoints, and the eigenvalue
monitor alongside.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lopt.meta.checkpoint import read_newest, write_checkpoint
from lopt.meta.config import TrainConfig
from lopt.meta.estimators import Estimate
from lopt.meta.run import RunDirectory, versions
from lopt.optimizers.saved import save
from lopt.optimizers.star import MetaParameters, init_meta_parameters
from lopt.tasks.task import Task

AXIS = "pairs"


class TrainState(NamedTuple):
    """Everything that a run carries from one outer step to the next."""

    theta: MetaParameters
    meta_optimizer: Any
    pairs: Any
    """State of the estimator, spread over the devices."""


class Progress(NamedTuple):
    """What is known after an outer step."""

    outer_step: int
    meta_loss: float
    diverged: float
    gradient_norm: float
    inner_steps_per_second: float
    skipped: int
    """Outer steps so far whose meta-gradient was not finite."""


class Measurement(Protocol):
    """What a monitor returns: a few words for a person, and JSON for the metrics."""

    def text(self) -> str: ...

    def to_json(self) -> dict[str, Any]: ...


class Observer(Protocol):
    """Who watches a run."""

    def step(self, progress: Progress) -> None: ...

    def measured(self, outer_step: int, measurement: Measurement) -> None: ...


class Trainer:
    """Meta-training of one configuration, step by step.

    `init` and `step` are deterministic functions of the configuration: the key of an outer step is
    derived from the seed and the step's index, so a run that resumes from a checkpoint goes on bit
    for bit as if it had never stopped.
    """

    def __init__(self, config: TrainConfig, task: Task | None = None) -> None:
        self.config = config
        self.task = task or config.make_task()
        self.estimator = config.make_estimator(self.task)
        self.meta_optimizer = config.make_meta_optimizer()
        self.key = jax.random.key(config.seed)
        self.mesh = _mesh(config.devices)
        self.everywhere = NamedSharding(self.mesh, PartitionSpec())
        spread = NamedSharding(self.mesh, PartitionSpec(AXIS))
        placement: list[Any] = [self.everywhere, self.everywhere, spread]
        self.placement = TrainState(*placement)
        self.data = jax.device_put(self.task.data, self.everywhere)
        names = ("meta_loss", "diverged", "gradient_norm", "skipped")
        seen = {**dict.fromkeys(names, self.everywhere), "nonfinite_step": spread}
        # Named shardings on both sides: inferred ones would differ after the first step and
        # compile it twice.
        self._step = jax.jit(
            self._outer_step,
            in_shardings=(self.placement, self.everywhere, self.everywhere),
            out_shardings=(self.placement, seen),
            donate_argnums=0,
        )

    def init(self) -> TrainState:
        """The state before the first outer step."""
        theta_key, pairs_key, _ = jax.random.split(self.key, 3)
        theta = init_meta_parameters(theta_key, self.config.star_config)
        pairs = jax.jit(self.estimator.init)(theta, pairs_key)
        return self.place(TrainState(theta, self.meta_optimizer.init(theta), pairs))

    def place(self, state: TrainState) -> TrainState:
        """The state on its devices: pairs spread over them, the rest on each."""
        placed = [jax.device_put(x, s) for x, s in zip(state, self.placement, strict=True)]
        return TrainState(*placed)

    def step(self, state: TrainState, outer_step: int) -> tuple[TrainState, dict[str, jax.Array]]:
        """One outer step, the `outer_step`-th counted from 0; `state` is used up.

        Beside it what was seen: scalars, and "nonfinite_step" of every pair (see `Estimate`),
        spread over the devices.
        """
        return self._step(state, self.data, jnp.uint32(outer_step))

    def _outer_step(
        self, state: TrainState, data: Any, outer_step: jax.Array
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        key = jax.random.fold_in(jax.random.split(self.key, 3)[2], outer_step)
        each = self.config.pairs // self.config.devices

        def local(theta: MetaParameters, pairs: Any, data: Any, key: jax.Array) -> Any:
            first = jax.lax.axis_index(AXIS) * each
            estimate, pairs = self.estimator.estimate(theta, pairs, data, key, first)
            gradient, loss, diverged = jax.lax.pmean(estimate[:3], AXIS)
            return Estimate(gradient, loss, diverged, estimate.nonfinite_step), pairs

        everywhere, spread = PartitionSpec(), PartitionSpec(AXIS)
        reduced: list[Any] = [everywhere, everywhere, everywhere, spread]
        estimate, pairs = jax.shard_map(
            local,
            mesh=self.mesh,
            in_specs=(everywhere, spread, everywhere, everywhere),
            out_specs=(Estimate(*reduced), spread),
            check_vma=False,
        )(state.theta, state.pairs, data, key)
        updates, meta_state = self.meta_optimizer.update(
            estimate.gradient, state.meta_optimizer, state.theta
        )
        theta = optax.apply_updates(state.theta, updates)
        seen = {
            "meta_loss": estimate.meta_loss,
            "diverged": estimate.diverged,
            "gradient_norm": optax.tree.norm(estimate.gradient),
            "skipped": meta_state.total_notfinite,
            "nonfinite_step": estimate.nonfinite_step,
        }
        return TrainState(theta, meta_state, pairs), seen


def train(
    config: TrainConfig,
    run: RunDirectory,
    *,
    task: Task | None = None,
    resume: bool = False,
    monitor: Callable[[MetaParameters], Measurement] | None = None,
    observer: Observer | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Meta-train in a run directory; return the number of outer steps done.

    `task` is the configuration's own unless given.
    Fewer than ``config.outer_steps`` means that `stop` asked for an end; a checkpoint was then
    written, and resuming goes on from there.
    """
    if not resume:
        run.require_new()
    trainer = Trainer(config, task)
    state, done = trainer.init(), 0
    if resume:
        done, saved = read_newest(run.checkpoints, state)
        state = trainer.place(saved)
        run.cut_metrics(done)
    else:
        run.create(config, lambda: _begin(run, config, state))
    with run.metrics_file.open("a") as metrics:
        for done, state in _steps(trainer, state, done, metrics, monitor, observer):  # noqa: B020
            stopping = stop()
            if stopping or done % config.checkpoint_every == 0 or done == config.outer_steps:
                metrics.flush()
                write_checkpoint(run.checkpoints, done, state)
            if stopping:
                break
    if done == config.outer_steps:
        origin = {"run": asdict(config), "outer_steps": done, "versions": versions()}
        save(run.result, state.theta, config.star_config, origin)
    return done


def _begin(run: RunDirectory, config: TrainConfig, state: TrainState) -> None:
    """Write what a run begins from."""
    save(run.initial, state.theta, config.star_config)
    write_checkpoint(run.checkpoints, 0, state)


def _steps(
    trainer: Trainer,
    state: TrainState,
    done: int,
    metrics: Any,
    monitor: Callable[[MetaParameters], Measurement] | None,
    observer: Observer | None,
) -> Iterator[tuple[int, TrainState]]:
    """Every remaining outer step: do it, write its metrics, measure where it is due."""
    config = trainer.config
    inner_steps = 2 * config.pairs * config.truncation
    if monitor and config.monitor_every and done == 0:
        _measure(monitor, state, 0, metrics, observer)
    for outer_step in range(done, config.outer_steps):
        start = time.perf_counter()
        state, seen = trainer.step(state, outer_step)
        scalars = {name: x for name, x in seen.items() if name != "nonfinite_step"}
        values = {name: np.asarray(value).item() for name, value in scalars.items()}
        rate = inner_steps / (time.perf_counter() - start)
        progress = Progress(outer_step=outer_step + 1, inner_steps_per_second=rate, **values)
        metrics.write(json.dumps(progress._asdict()) + "\n")
        if observer:
            observer.step(progress)
        last = outer_step + 1 == config.outer_steps
        due = config.monitor_every and (last or (outer_step + 1) % config.monitor_every == 0)
        if monitor and due:
            _measure(monitor, state, outer_step + 1, metrics, observer)
        yield outer_step + 1, state


def _measure(
    monitor: Callable[[MetaParameters], Measurement],
    state: TrainState,
    outer_step: int,
    metrics: Any,
    observer: Observer | None,
) -> None:
    measurement = monitor(state.theta)
    metrics.write(json.dumps({"outer_step": outer_step, "monitor": measurement.to_json()}) + "\n")
    if observer:
        observer.measured(outer_step, measurement)


def _mesh(devices: int) -> Mesh:
    """A mesh over the first `devices` devices."""
    present = jax.devices()
    if devices > len(present):
        raise ValueError(
            f"devices is {devices}, but JAX sees {len(present)} ({present[0].platform}). "
            "Take at most so many."
        )
    return Mesh(np.array(present[:devices]), (AXIS,))
