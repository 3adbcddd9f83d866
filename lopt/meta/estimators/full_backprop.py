"""The meta-gradient by backpropagation through whole episodes; see `gradient` for its memory."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp

from lopt.meta.estimators.interface import (
    Estimate,
    MakeOptimizer,
    MetaParameters,
    each,
    require_at_least_one,
)
from lopt.meta.estimators.schedule import Schedule, as_schedule
from lopt.meta.estimators.unroll import Count, InnerLoop, Keys, whole_episode
from lopt.tasks.task import Task


@dataclass(frozen=True, eq=False)
class FullBackprop:
    """Backpropagation through whole episodes, a fresh one for each particle every estimate: the
    gradient of the meta-loss itself, unbiased and not smoothed.

    An episode shorter than the schedule's longest is computed to the longest and cut.

    Parameters
    ----------
    task, make_optimizer, horizon, particles
        As for `TruncatedBackprop`.

    Examples
    --------
    >>> import optax
    >>> task = Task("bowl", lambda key: jnp.ones(()), lambda phi, key, batch: phi**2 / 2)
    >>> backprop = FullBackprop(task, optax.sgd, horizon=2, particles=1)
    >>> theta = jnp.float32(0.25)
    >>> state = backprop.init(theta, jax.random.key(0))
    >>> float(backprop.estimate(theta, state, (), jax.random.key(1))[0].gradient)
    -0.375
    """

    task: Task
    make_optimizer: MakeOptimizer
    horizon: int | Schedule
    particles: int
    objective: str = "train"

    def __post_init__(self) -> None:
        require_at_least_one(particles=self.particles)
        as_schedule(self.horizon)

    @cached_property
    def _inner(self) -> InnerLoop:
        schedule = as_schedule(self.horizon)
        return InnerLoop(self.task, self.make_optimizer, schedule, self.objective)

    @property
    def inner_steps(self) -> int:
        """Inner steps of one estimate, over all particles."""
        return self.particles * self._inner.schedule.longest

    def init(self, theta: MetaParameters, key: jax.Array) -> Count:
        """A count of zero for each particle."""
        del theta, key
        return Count(jnp.zeros(self.particles, jnp.int32))

    def estimate(
        self,
        theta: MetaParameters,
        state: Count,
        data: Any,
        key: jax.Array,
        first: jax.Array | int = 0,
    ) -> tuple[Estimate, Count]:
        """A whole episode of every particle: the meta-gradient, and the count afterwards."""
        return each(self.task, self._particle, theta, state, data, key, first)

    def _particle(
        self, theta: MetaParameters, state: Count, data: Any, key: jax.Array
    ) -> tuple[Estimate, Count]:
        keys, inner, step = Keys(*jax.random.split(key, 4)), self._inner, state.outer_step
        length = inner.schedule.draw(keys.length, step)

        def objective(theta: MetaParameters) -> Any:
            trace, _ = inner.unroll(
                theta,
                None,
                inner.begin(theta, keys.fresh, length),
                data,
                keys,
                step,
                steps=inner.schedule.longest,
                rematerialize=True,
            )
            return whole_episode(inner, trace, length, step)

        gradient, estimate = jax.grad(objective, has_aux=True)(theta)
        return estimate._replace(gradient=gradient), Count(step + 1)
