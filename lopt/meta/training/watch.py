"""What a meta-training run watches: the eigenvalues of its own particles' training dynamics."""

import math
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import numpy as np

from lopt.keys import random_key
from lopt.meta.config import TrainConfig
from lopt.monitor import (
    Probe,
    ProbeReport,
    ProbeSettings,
    QuadraticProbe,
    factorize,
    resolve,
    update_map,
)
from lopt.optimizers.compiling import quick_options
from lopt.optimizers.linear import LinearConfig
from lopt.tasks.task import Batch, Params, Task

# Set apart from what training and evaluation draw.
PROBE_KEY = 0xE16E
EXAMPLES = 1024
# Fewer vectors than an inspection takes, half its time: the outermost eigenvalues are the first
# to converge, and what has not is flagged.
SETTINGS = ProbeSettings(vectors=32, hessian_vectors=16, sweeps=6)
# The share of the time that measurements take unless `monitor_every` is given, and how many
# evaluations of the loss one product takes; measured by benchmarks.meta_training.
SHARE, PRODUCT = 0.04, 2.0

Loss = Callable[[Params, tuple[Batch, jax.Array]], jax.Array]


class Held(NamedTuple):
    """What every measurement of a run is taken on."""

    loss: Loss
    params: Params
    batch: tuple[Batch, jax.Array]


def probe(config: TrainConfig, task: Task, examples: int = EXAMPLES) -> Probe | QuadraticProbe:
    """Return a probe that runs its own trajectory and measures it at a tenth of the horizon and at
    the horizon; for the linear optimizer, whose dynamics never change, an exact one.

    The trajectory starts from fixed parameters and runs over fixed batches, a loss that is random
    in itself over fixed draws; the eigenvalues are those of one step on a fixed batch of
    `examples` examples. None of it changes during a run, so that what changes is the optimizer.
    """
    if isinstance(config.optimizer_config, LinearConfig) and task.quadratic is not None:
        return QuadraticProbe(task.quadratic, config.optimizer_config.nominal_step)
    horizon = config.horizon
    loss, params, batch = held(task, examples)
    batch_key, loss_key = jax.random.split(jax.random.fold_in(random_key(PROBE_KEY), 1))
    return Probe(
        make_transformation=partial(config.make_optimizer, fused=False),
        loss=loss,
        params=params,
        batches=(
            jax.vmap(lambda i: task.batch(task.data, i))(task.indices(batch_key, horizon)),
            jax.random.split(loss_key, horizon),
        ),
        batch=batch,
        steps=targets(config),
        loss_ceiling=task.loss_ceiling,
        value_and_grad=replaced_gradient(task),
    )


def replaced_gradient(task: Task) -> Callable[..., tuple[jax.Array, Params]] | None:
    """Return the loss and gradient of a step on a batch and its key, where the task has its own
    estimate of them.
    """
    if task.estimate is None:
        return None

    def value_and_grad(
        params: Params, batch_and_key: tuple[Batch, jax.Array]
    ) -> tuple[jax.Array, Params]:
        batch, key = batch_and_key
        return task.value_and_grad(params, key, batch)

    return value_and_grad


def held(task: Task, examples: int = EXAMPLES) -> Held:
    """Return initial parameters and a batch of `examples` examples that depend on the task only."""
    init_key, examples_key, loss_key = jax.random.split(random_key(PROBE_KEY), 3)

    def loss(params: Params, batch_and_key: tuple[Batch, jax.Array]) -> jax.Array:
        batch, key = batch_and_key
        return task.loss(params, key, batch)

    fixed = jax.random.randint(examples_key, (examples,), 0, task.examples)
    return Held(loss, task.init(init_key), (task.batch(task.data, fixed), loss_key))


def targets(config: TrainConfig) -> tuple[int, ...]:
    """The inner steps to look at: a tenth of the horizon, and the horizon."""
    return tuple(sorted({max(1, config.horizon // 10), config.horizon}))


def measurement_interval(config: TrainConfig, task: Task | Sequence[Task]) -> int:
    """Outer steps between two measurements: what the configuration says, or as many as let them
    take `SHARE` of the time, counted in inner steps and so the same on every machine.

    Examples
    --------
    >>> from lopt.tasks.registry import make_task
    >>> measurement_interval(TrainConfig(), make_task("fashion-mnist-8x8-mlp"))
    188
    """
    if config.monitor_every is not None:
        return config.monitor_every
    spent, steps = 0.0, 0
    for one in (task,) if isinstance(task, Task) else task:
        batches = max(1.0, EXAMPLES / one.batch_size) if jax.tree.leaves(one.data) else 1.0
        spent += len(targets(config)) * SETTINGS.products * PRODUCT * batches
        steps += config.make_estimator(one).inner_steps
    return math.ceil(spent / (SHARE * max(1, steps)))


class Particle(NamedTuple):
    """An inner problem in the middle of its episode."""

    params: Any
    state: Any
    inner_step: int
    """Steps that it has really taken; a staggered first episode is shorter than its count."""


def live_particles(episode: Any, outer_step: int, truncation: int, steps: Any) -> list[Particle]:
    """For each of `steps` the particle that is nearest to it, on the host, in order, each once.

    `episode` has a leading axis over the pairs, or particles; of a pair the run with the positive
    perturbation is taken. Of several processes each sees its own particles.
    """
    taken = {
        place + (shard.index[0].start or 0): min(int(count), outer_step * truncation)
        for shard in episode.inner_step.addressable_shards
        for place, count in enumerate(np.asarray(shard.data))
    }
    places = {min(taken, key=lambda place: abs(taken[place] - step)) for step in steps}
    of_pair = episode.nonfinite_step.ndim > 1

    def one(place: int, array: jax.Array) -> np.ndarray:
        row = _row(array, place)
        return row[0] if of_pair else row

    def whole(place: int) -> Particle:
        params, state = jax.tree.map(partial(one, place), (episode.params, episode.state))
        return Particle(params, state, taken[place])

    return [whole(place) for place in sorted(places, key=lambda place: taken[place])]


def _row(array: jax.Array, place: int) -> np.ndarray:
    """One row of an array that is spread along its leading axis, held by this process."""
    for shard in array.addressable_shards:
        inside = place - (shard.index[0].start or 0)
        if 0 <= inside < shard.data.shape[0]:
            return np.asarray(shard.data[inside])
    raise IndexError(f"row {place} is held by another process")


class Watch:
    """Measures a run: `measure` is what `lopt.meta.training.loop.train` takes as its monitor.

    It measures the live particles nearest to `targets` under the unperturbed meta-parameters: one
    optimizer step from their parameters and hidden state, on a batch that stays the same during the
    run. This costs no inner steps. Before the first outer step it runs one truncation from the
    task's initial parameters. For an estimator without live particles (of whole episodes) it
    measures `probe`'s trajectory instead, and the linear optimizer is measured exactly.

    Parameters
    ----------
    config, task
        The run's.
    examples
        The size of the batch on which eigenvalues are measured.
    settings
        What a measurement spends.
    """

    def __init__(
        self,
        config: TrainConfig,
        task: Task,
        examples: int = EXAMPLES,
        settings: ProbeSettings = SETTINGS,
    ) -> None:
        self.config, self.task, self.examples, self.settings = config, task, examples, settings

    @cached_property
    def _probe(self) -> Probe | QuadraticProbe:
        return probe(self.config, self.task, self.examples)

    @cached_property
    def _held(self) -> Held:
        return held(self.task, self.examples)

    @cached_property
    def _factorize(self) -> Callable[..., Any]:
        fixed = self._held

        def point(theta: Any, params: Any, state: Any, batch: Any) -> Any:
            optimizer = self.config.make_optimizer(theta, fused=False)
            return factorize(optimizer, fixed.loss, params, state, batch, self.settings)

        size = sum(x.size for x in jax.tree.leaves(fixed.params))
        return partial(jax.jit(point, compiler_options=quick_options(size)), batch=fixed.batch)

    @cached_property
    def _warm(self) -> Callable[..., Any]:
        """Parameters and hidden state after one truncation from the task's own start."""
        fixed, truncation = self._held, self.config.truncation
        replaced = replaced_gradient(self.task)

        def run(theta: Any, data: Any) -> Any:
            optimizer = self.config.make_optimizer(theta, fused=False)

            def step(index: jax.Array, carry: Any) -> Any:
                batch_key, key = jax.random.split(jax.random.fold_in(fixed.batch[1], index))
                batch = (self.task.sample(batch_key, data), key)
                return update_map(optimizer, fixed.loss, batch, replaced)(*carry)

            start = fixed.params, optimizer.init(fixed.params)
            return jax.lax.fori_loop(0, truncation, step, start)

        return partial(jax.jit(run), data=self.task.data)

    def measure(self, theta: Any, particles: Any = None, outer_step: int = 0) -> ProbeReport:
        """The report for meta-parameters theta and the state of the estimator after `outer_step`.

        `particles` is the state of the estimator, on its devices.
        """
        episode = getattr(particles, "episode", None)
        if episode is None or isinstance(self.config.optimizer_config, LinearConfig):
            return self._probe.measure(theta)
        steps, truncation = targets(self.config), self.config.truncation
        if outer_step == 0:  # no particle has taken a step, and no hidden state is filled
            params, state = self._warm(theta)
            found = [Particle(params, state, truncation)]
        else:
            found = live_particles(episode, outer_step, truncation, steps)
        points = tuple(
            resolve(
                jax.device_get(self._factorize(theta, particle.params, particle.state)),
                self.settings,
                inner_step=particle.inner_step,
                loss_ceiling=self.task.loss_ceiling,
            )
            for particle in found
        )
        return ProbeReport(points=points, finite_steps=found[-1].inner_step)
