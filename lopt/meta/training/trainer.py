"""Meta-training step by step: PES estimates, AdamW on the meta-parameters."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lopt.keys import random_key
from lopt.meta.config import TrainConfig
from lopt.meta.estimators import Estimate, Estimator
from lopt.meta.estimators.together import runs_at_once
from lopt.meta.estimators.unroll import VALIDATION
from lopt.meta.training.processes import place
from lopt.optimizers.compiling import compiler_options
from lopt.tasks.task import Task

AXIS = "pairs"


class TrainState(NamedTuple):
    """Everything that a run carries from one outer step to the next."""

    theta: Any
    meta_optimizer: Any
    pairs: Any
    """State of the estimator, spread over the devices."""


class Trainer:
    """Meta-training of one configuration, step by step.

    `init` and `step` are deterministic functions of the configuration: the key of an outer step is
    derived from the seed and the step's index, so a run that resumes from a checkpoint goes on bit
    for bit as if it had never stopped.

    Several tasks are a mixture: an outer step follows the mean of their meta-gradients, each
    estimated with all the pairs of the configuration by a compiled program of its own.

    Parameters
    ----------
    config
        The configuration.
    task
        A task, or several, instead of those that the configuration names. They are taken as they
        are: the configuration's augmentation is not applied to them.
    """

    def __init__(self, config: TrainConfig, task: Task | Sequence[Task] | None = None) -> None:
        given = config.make_tasks() if task is None else task
        self.tasks = (given,) if isinstance(given, Task) else tuple(given)
        self.task, self.names = self.tasks[0], unique_names(self.tasks)
        self.estimators = tuple(config.make_estimator(task) for task in self.tasks)
        self.devices = config.devices or config.spread(self._worth_using(config))
        self.config = config = replace(config, devices=self.devices)
        self.meta_optimizer = config.make_meta_optimizer()
        self.key = random_key(config.seed)
        self.mesh = _mesh(self.devices)
        self.everywhere = NamedSharding(self.mesh, PartitionSpec())
        spread = NamedSharding(self.mesh, PartitionSpec(AXIS))
        placement: list[Any] = [self.everywhere, self.everywhere, spread]
        self.placement = TrainState(*placement)
        self.data = tuple(self._placed(task, task.data) for task in self.tasks)
        self._windows: dict[int, Iterator[Any]] = {}
        self._due = [-1] * len(self.tasks)
        # Named shardings on both sides: inferred ones would differ after the first step and
        # compile it twice.
        everywhere = self.everywhere
        estimates: list[Any] = [everywhere, everywhere, everywhere, spread]
        names = ("meta_loss", "diverged", "gradient_norm", "skipped")
        metrics = dict.fromkeys(names, everywhere)
        options = compiler_options()
        if len(self.tasks) == 1:
            self._programs = [
                jax.jit(
                    self._outer_step,
                    in_shardings=(self.placement, everywhere, everywhere),
                    out_shardings=(self.placement, {**metrics, "nonfinite_step": spread}),
                    donate_argnums=0,
                    compiler_options=options,
                )
            ]
            return
        self._programs = [
            jax.jit(
                partial(self._estimate, index),
                in_shardings=(everywhere, spread, everywhere, everywhere),
                out_shardings=(Estimate(*estimates), spread),
                donate_argnums=1,
                compiler_options=options,
            )
            for index in range(len(self.tasks))
        ]
        self._update = jax.jit(self._follow, donate_argnums=1, compiler_options=options)

    @property
    def estimator(self) -> Estimator:
        """The estimator of the first task."""
        return self.estimators[0]

    @property
    def inner_steps(self) -> int:
        """Inner steps of one outer step, over all particles of all tasks."""
        return sum(estimator.inner_steps for estimator in self.estimators)

    def _worth_using(self, config: TrainConfig) -> int:
        """The number of available devices; 1 on a CPU where all pairs fit into a core's cache: they
        then run as one program that uses every core (`python -m benchmarks.scaling`).
        """

        def fits(task: Task, estimator: Estimator) -> bool:
            key = random_key(0)
            state = jax.eval_shape(lambda: estimator.init(config.optimizer_config.init(key), key))
            return runs_at_once(state, task) == config.pairs

        local = jax.default_backend() == "cpu" and jax.process_count() == 1
        fit = local and all(map(fits, self.tasks, self.estimators))
        return 1 if fit else len(jax.devices())

    def init(self) -> TrainState:
        """The state before the first outer step."""
        theta_key, pairs_key, _ = jax.random.split(self.key, 3)
        theta = self.config.optimizer_config.init(theta_key)
        pairs: Any = tuple(
            jax.jit(estimator.init)(theta, self._key_of(index, pairs_key))
            for index, estimator in enumerate(self.estimators)
        )
        pairs = pairs if len(self.tasks) > 1 else pairs[0]
        return self.place(TrainState(theta, self.meta_optimizer.init(theta), pairs))

    def place(self, state: TrainState) -> TrainState:
        """The state on its devices: pairs spread over them, the rest on each."""
        return TrainState(*(place(x, s) for x, s in zip(state, self.placement, strict=True)))

    def step(self, state: TrainState, outer_step: int) -> tuple[TrainState, dict[str, Any]]:
        """One outer step, the `outer_step`-th counted from 0; `state` is used up.

        The second result holds the metrics: scalars, and "nonfinite_step" of every pair (see
        `Estimate`), spread over the devices. Of several tasks it also holds "tasks", by name the
        meta-loss and the share of diverged losses of each, and "nonfinite_step" by name.
        """
        count = np.uint32(outer_step)
        if len(self.tasks) == 1:
            return self._programs[0](state, self._data(0, outer_step), count)
        estimates, pairs = [], []
        for index, estimate in enumerate(self._programs):
            data = self._data(index, outer_step)
            found, after = estimate(state.theta, state.pairs[index], data, count)
            estimates.append(found)
            pairs.append(after)
        theta, meta_optimizer, seen = self._update(
            state.theta, state.meta_optimizer, [found[:3] for found in estimates]
        )
        by_name = dict(zip(self.names, estimates, strict=True))
        seen["tasks"] = {
            name: {"meta_loss": found.meta_loss, "diverged": found.diverged}
            for name, found in by_name.items()
        }
        seen["nonfinite_step"] = {name: found.nonfinite_step for name, found in by_name.items()}
        return TrainState(theta, meta_optimizer, tuple(pairs)), seen

    def _key_of(self, index: int, key: jax.Array) -> jax.Array:
        """The key of one of several tasks; a single one takes the key itself."""
        return key if len(self.tasks) == 1 else jax.random.fold_in(key, index)

    def _placed(self, task: Task, data: Any) -> Any:
        """The data of a task on every device, with the validation examples where they are used."""
        if self.config.meta_objective == VALIDATION:
            data = (data, task.validation)
        return place(data, self.everywhere)

    def _data(self, index: int, outer_step: int) -> Any:
        """The data of a task, or this outer step's window of streamed data."""
        task = self.tasks[index]
        if task.stream is None:
            return self.data[index]
        if self._due[index] != outer_step:
            self._windows[index], self._due[index] = task.stream.since(outer_step), outer_step
        self._due[index] += 1
        return self._placed(task, next(self._windows[index]))

    def _outer_step(
        self, state: TrainState, data: Any, outer_step: jax.Array
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        """The whole step of a single task as one program."""
        estimate, pairs = self._estimate(0, state.theta, state.pairs, data, outer_step)
        theta, meta_state, seen = self._follow(state.theta, state.meta_optimizer, [estimate[:3]])
        seen["nonfinite_step"] = estimate.nonfinite_step
        return TrainState(theta, meta_state, pairs), seen

    def _estimate(
        self, index: int, theta: Any, pairs: Any, data: Any, outer_step: jax.Array
    ) -> tuple[Estimate, Any]:
        """The estimate of one task, its pairs spread over the devices."""
        drawn = jax.random.fold_in(jax.random.split(self.key, 3)[2], outer_step)
        estimator, each = self.estimators[index], self.config.pairs // self.devices

        def local(theta: Any, pairs: Any, data: Any, key: jax.Array) -> Any:
            first = jax.lax.axis_index(AXIS) * each
            estimate, pairs = estimator.estimate(theta, pairs, data, key, first)
            gradient, loss, diverged = jax.lax.pmean(estimate[:3], AXIS)
            return Estimate(gradient, loss, diverged, estimate.nonfinite_step), pairs

        everywhere, spread = PartitionSpec(), PartitionSpec(AXIS)
        reduced: list[Any] = [everywhere, everywhere, everywhere, spread]
        return jax.shard_map(
            local,
            mesh=self.mesh,
            in_specs=(everywhere, spread, everywhere, everywhere),
            out_specs=(Estimate(*reduced), spread),
            check_vma=False,
        )(theta, pairs, data, self._key_of(index, drawn))

    def _follow(
        self, theta: Any, meta_state: Any, estimates: list[Any]
    ) -> tuple[Any, Any, dict[str, Any]]:
        """The meta-parameters after a step along the mean of the estimates, which are each a
        meta-gradient, a meta-loss and a share of diverged losses.
        """
        gradient, meta_loss, diverged = jax.tree.map(
            lambda *parts: sum(parts[1:], parts[0]) / len(parts) if parts[1:] else parts[0],
            *estimates,
        )
        updates, meta_state = self.meta_optimizer.update(gradient, meta_state, theta)
        seen = {
            "meta_loss": meta_loss,
            "diverged": diverged,
            "gradient_norm": optax.tree.norm(gradient),
            "skipped": meta_state.total_notfinite,
        }
        return optax.apply_updates(theta, updates), meta_state, seen


def unique_names(tasks: Sequence[Task]) -> tuple[str, ...]:
    """The names of tasks, numbered where two are equal.

    Examples
    --------
    >>> bowl = Task("bowl", lambda key: 0.0, lambda phi, key, batch: phi)
    >>> unique_names([bowl]), unique_names([bowl, bowl])
    (('bowl',), ('bowl 1', 'bowl 2'))
    """
    names = [task.name for task in tasks]
    return tuple(
        name if names.count(name) == 1 else f"{name} {names[: k + 1].count(name)}"
        for k, name in enumerate(names)
    )


def _mesh(devices: int) -> Mesh:
    """A mesh over the first `devices` devices of all processes."""
    present = jax.devices()
    if devices > len(present):
        raise ValueError(
            f"devices is {devices}, but JAX sees {len(present)} ({present[0].platform}). "
            "Take at most so many."
        )
    return Mesh(np.array(present[:devices]), (AXIS,))
