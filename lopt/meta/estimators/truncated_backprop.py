"""The meta-gradient by backpropagation through the inner loop, truncation by truncation.

The derivative runs through the inner gradients too, so that it contains the inner problem's
Hessian. Every inner step is rematerialized: memory holds the parameters and the hidden state
before each step, and the intermediate values of one.
"""

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any, NamedTuple

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
from lopt.meta.estimators.unroll import Episode, InnerLoop, Keys, first_nonfinite
from lopt.tasks.task import Task


class Particles(NamedTuple):
    """The particles between two truncations; every leaf has a leading axis over them."""

    episode: Episode
    outer_step: jax.Array
    """Estimates so far, int32 ``[particles]``."""


@dataclass(frozen=True, eq=False)
class TruncatedBackprop:
    """Backpropagation through the steps of one truncation alone.

    The state at its beginning counts as constant, which makes the estimate biased wherever theta
    acts for longer than a truncation (Wu, Ren, Liao, Grosse, ICLR 2018: short-horizon bias). At
    the end of its episode a particle starts over from fresh parameters, at whatever point of the
    truncation that is. Where an inner run overflows the gradient is not finite.

    Parameters
    ----------
    task, horizon, truncation, staggered, objective
        As for `PES`.
    make_optimizer
        Builds the inner optimizer from theta; for STAR, the unfused one.
    particles
        Runs, each with its own initial parameters, batches and lengths.

    Examples
    --------
    phi' = phi - theta phi from phi = 1, a truncation over the whole episode of two steps:

    >>> import optax
    >>> task = Task("bowl", lambda key: jnp.ones(()), lambda phi, key, batch: phi**2 / 2)
    >>> backprop = TruncatedBackprop(task, optax.sgd, horizon=2, truncation=2, particles=1)
    >>> theta = jnp.float32(0.25)
    >>> state = backprop.init(theta, jax.random.key(0))
    >>> float(backprop.estimate(theta, state, (), jax.random.key(1))[0].gradient)
    -0.375
    """

    task: Task
    make_optimizer: MakeOptimizer
    horizon: int | Schedule
    truncation: int
    particles: int
    _: KW_ONLY
    staggered: bool = True
    objective: str = "train"

    def __post_init__(self) -> None:
        require_at_least_one(truncation=self.truncation, particles=self.particles)
        as_schedule(self.horizon)

    @cached_property
    def _inner(self) -> InnerLoop:
        schedule = as_schedule(self.horizon)
        return InnerLoop(self.task, self.make_optimizer, schedule, self.objective)

    @property
    def inner_steps(self) -> int:
        """Inner steps of one estimate, over all particles."""
        return self.particles * self.truncation

    def init(self, theta: MetaParameters, key: jax.Array) -> Particles:
        """Fresh particles."""

        def one(index: jax.Array) -> Particles:
            episode = self._inner.staggered(
                theta, key, index, self.particles, self.truncation, stagger=self.staggered
            )
            return Particles(episode, jnp.int32(0))

        return jax.vmap(one)(jnp.arange(self.particles))

    def estimate(
        self,
        theta: MetaParameters,
        state: Particles,
        data: Any,
        key: jax.Array,
        first: jax.Array | int = 0,
    ) -> tuple[Estimate, Particles]:
        """One truncation of every particle: the meta-gradient, and the particles afterwards."""
        return each(self.task, self._particle, theta, state, data, key, first)

    def _particle(
        self, theta: MetaParameters, particle: Particles, data: Any, key: jax.Array
    ) -> tuple[Estimate, Particles]:
        keys, inner, outer_step = Keys(*jax.random.split(key, 4)), self._inner, particle.outer_step

        def objective(theta: MetaParameters) -> Any:
            trace, episode = inner.unroll(
                theta,
                None,
                particle.episode,
                data,
                keys,
                outer_step,
                steps=self.truncation,
                rematerialize=True,
            )
            clipped = inner.clipped(trace.losses)
            estimate = Estimate(
                gradient=(),
                meta_loss=jnp.mean(clipped),
                diverged=jnp.mean(~(trace.losses <= self.task.loss_ceiling)),
                nonfinite_step=first_nonfinite(trace),
            )
            return jnp.mean(inner.normalized(clipped)), (estimate, episode)

        gradient, (estimate, episode) = jax.grad(objective, has_aux=True)(theta)
        return estimate._replace(gradient=gradient), Particles(episode, outer_step + 1)
