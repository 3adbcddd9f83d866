"""Evolution strategies over whole episodes."""

from dataclasses import KW_ONLY, dataclass
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
from lopt.meta.estimators.perturbation import RUNS, Perturbations, run_pair
from lopt.meta.estimators.schedule import Schedule, as_schedule
from lopt.meta.estimators.unroll import Count, InnerLoop, Keys, whole_episode
from lopt.tasks.task import Task


@dataclass(frozen=True, eq=False)
class FullES:
    """Evolution strategies over whole episodes: every estimate runs a fresh one for each pair.

    Unbiased for the loss smoothed by one perturbation an episode. An episode shorter than the
    schedule's longest is computed to the longest and cut.

    Parameters
    ----------
    task, make_optimizer, horizon, pairs, sigma, antithetic, baseline, objective
        As for `PES`.

    Examples
    --------
    One step phi' = phi - theta phi from phi = 1: the losses are 1/2 and ``(1 - theta)^2 / 2``.

    >>> import optax
    >>> task = Task("bowl", lambda key: jnp.ones(()), lambda phi, key, batch: phi**2 / 2)
    >>> es = FullES(task, optax.sgd, horizon=2, pairs=2000, sigma=0.01)
    >>> theta = jnp.float32(0.25)
    >>> estimate, _ = es.estimate(theta, es.init(theta, jax.random.key(0)), (), jax.random.key(1))
    >>> bool(abs(estimate.gradient - (theta - 1) / 2) < 0.05)
    True
    """

    task: Task
    make_optimizer: MakeOptimizer
    horizon: int | Schedule
    pairs: int
    sigma: float
    _: KW_ONLY
    antithetic: bool = True
    baseline: bool = True
    objective: str = "train"

    def __post_init__(self) -> None:
        require_at_least_one(pairs=self.pairs)
        as_schedule(self.horizon)
        Perturbations(self.sigma, self.antithetic, self.baseline)

    @cached_property
    def _inner(self) -> InnerLoop:
        schedule = as_schedule(self.horizon)
        return InnerLoop(self.task, self.make_optimizer, schedule, self.objective)

    @property
    def inner_steps(self) -> int:
        """Inner steps of one estimate, over all particles."""
        return 2 * self.pairs * self._inner.schedule.longest

    def init(self, theta: MetaParameters, key: jax.Array) -> Count:
        """A count of zero for each pair."""
        del theta, key
        return Count.zero(self.pairs)

    def estimate(
        self,
        theta: MetaParameters,
        state: Count,
        data: Any,
        key: jax.Array,
        first: jax.Array | int = 0,
    ) -> tuple[Estimate, Count]:
        """A whole episode of every pair: the meta-gradient, and the count afterwards."""
        return each(self.task, self._pair, theta, state, data, key, first)

    def _pair(
        self, theta: MetaParameters, state: Count, data: Any, key: jax.Array
    ) -> tuple[Estimate, Count]:
        perturbations = Perturbations(self.sigma, self.antithetic, self.baseline)
        noise_key, *rest = jax.random.split(key, 5)
        keys, inner, step = Keys(*rest), self._inner, state.outer_step
        noise = perturbations.draw(noise_key, theta)
        length = inner.schedule.draw(keys.length, step)
        begin = jax.vmap(
            lambda e: inner.begin(jax.tree.map(jnp.add, theta, e), keys.fresh, length),
            out_axes=RUNS,
        )
        trace, _ = run_pair(
            inner, theta, noise, None, begin(noise), data, keys, step, inner.schedule.longest
        )
        losses, estimate = whole_episode(inner, trace, length, step)
        gradient = perturbations.correlate(perturbations.credit(losses), noise)
        return estimate._replace(gradient=gradient), Count(step + 1)
