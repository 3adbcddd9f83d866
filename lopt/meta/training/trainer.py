"""Meta-training step by step: PES estimates, AdamW on the meta-parameters."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from lopt.keys import random_key
from lopt.meta.config import TrainConfig
from lopt.meta.estimators import Estimate
from lopt.meta.estimators.interface import pairs_at_once
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
    """

    def __init__(self, config: TrainConfig, task: Task | None = None) -> None:
        self.config, self.task = config, task or config.make_task()
        self.estimator = config.make_estimator(self.task)
        self.devices = config.devices or config.spread(self._worth_using())
        self.config = config = replace(config, devices=self.devices)
        self.meta_optimizer = config.make_meta_optimizer()
        self.key = random_key(config.seed)
        self.mesh = _mesh(self.devices)
        self.everywhere = NamedSharding(self.mesh, PartitionSpec())
        spread = NamedSharding(self.mesh, PartitionSpec(AXIS))
        placement: list[Any] = [self.everywhere, self.everywhere, spread]
        self.placement = TrainState(*placement)
        self.data = place(self.task.data, self.everywhere)
        self._windows: Iterator[Any] = iter(())
        self._due = -1
        names = ("meta_loss", "diverged", "gradient_norm", "skipped")
        seen = {**dict.fromkeys(names, self.everywhere), "nonfinite_step": spread}
        # Named shardings on both sides: inferred ones would differ after the first step and
        # compile it twice.
        self._step = jax.jit(
            self._outer_step,
            in_shardings=(self.placement, self.everywhere, self.everywhere),
            out_shardings=(self.placement, seen),
            donate_argnums=0,
            compiler_options=compiler_options(),
        )

    def _worth_using(self) -> int:
        """The number of available devices; 1 on a CPU where all pairs fit into a core's cache: they
        then run as one program that uses every core (`python -m benchmarks.scaling`).
        """
        if jax.default_backend() == "cpu" and jax.process_count() == 1:
            key = random_key(0)
            state = jax.eval_shape(
                lambda: self.estimator.init(self.config.optimizer_config.init(key), key)
            )
            if pairs_at_once(state) == self.config.pairs:
                return 1
        return len(jax.devices())

    def init(self) -> TrainState:
        """The state before the first outer step."""
        theta_key, pairs_key, _ = jax.random.split(self.key, 3)
        theta = self.config.optimizer_config.init(theta_key)
        pairs = jax.jit(self.estimator.init)(theta, pairs_key)
        return self.place(TrainState(theta, self.meta_optimizer.init(theta), pairs))

    def place(self, state: TrainState) -> TrainState:
        """The state on its devices: pairs spread over them, the rest on each."""
        return TrainState(*(place(x, s) for x, s in zip(state, self.placement, strict=True)))

    def step(self, state: TrainState, outer_step: int) -> tuple[TrainState, dict[str, jax.Array]]:
        """One outer step, the `outer_step`-th counted from 0; `state` is used up.

        The second result holds the metrics: scalars, and "nonfinite_step" of every pair (see
        `Estimate`), spread over the devices.
        """
        return self._step(state, self._data(outer_step), np.uint32(outer_step))

    def _data(self, outer_step: int) -> Any:
        """The data, or this outer step's window of streamed data."""
        if self.task.stream is None:
            return self.data
        if self._due != outer_step:
            self._windows, self._due = self.task.stream.since(outer_step), outer_step
        self._due += 1
        return place(next(self._windows), self.everywhere)

    def _outer_step(
        self, state: TrainState, data: Any, outer_step: jax.Array
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        key = jax.random.fold_in(jax.random.split(self.key, 3)[2], outer_step)
        each = self.config.pairs // self.devices

        def local(theta: Any, pairs: Any, data: Any, key: jax.Array) -> Any:
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


def _mesh(devices: int) -> Mesh:
    """A mesh over the first `devices` devices of all processes."""
    present = jax.devices()
    if devices > len(present):
        raise ValueError(
            f"devices is {devices}, but JAX sees {len(present)} ({present[0].platform}). "
            "Take at most so many."
        )
    return Mesh(np.array(present[:devices]), (AXIS,))
