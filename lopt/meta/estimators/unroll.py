"""The inner loop: steps of one particle, with a fresh episode wherever the old one is over."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lopt.checks import require_member
from lopt.meta.estimators.interface import Estimate, MakeOptimizer, MetaParameters
from lopt.meta.estimators.schedule import Annealed, Constant, Schedule
from lopt.tasks.task import Task

VALIDATION = "validation"
# The batch that a step learns from, another batch of the same data, or one of other data.
OBJECTIVES = ("train", "fresh-batch", VALIDATION)
# Keeps what is drawn beside the parameters and batches apart from them.
MEMBER = 0xFA


class Episode(NamedTuple):
    """One particle in the middle of its episode."""

    params: Any
    state: Any
    """Hidden state of the optimizer."""
    inner_step: jax.Array
    """Inner steps since the episode began, int32."""
    length: jax.Array
    """Inner steps until it is over, int32."""
    nonfinite_step: jax.Array
    """The first inner step of the episode whose loss was not finite, int32; -1 so far none."""
    member: Any = ()
    """Which member of a family of tasks the episode trains; nothing for a single task."""


class Trace(NamedTuple):
    """The record of an unroll; the leading axis runs over its steps."""

    losses: jax.Array
    current: jax.Array
    """Whether the step belongs to the episode that the unroll began in."""
    nonfinite_step: jax.Array
    """Where the loss is not finite, the first such step of its episode; -1 elsewhere."""


class Keys(NamedTuple):
    """The random keys of one unroll, one for each use."""

    fresh: jax.Array
    batch: jax.Array
    loss: jax.Array
    length: jax.Array


@dataclass(frozen=True, eq=False)
class InnerLoop:
    """Inner training of one task, or of members of a family, with the optimizer that theta makes.

    Parameters
    ----------
    task, make_optimizer
        As for `PES`.
    schedule
        The lengths of episodes, and whether their steps are annealed.
    objective
        One of `OBJECTIVES`: what the loss of a step is measured on.
    """

    task: Task
    make_optimizer: MakeOptimizer
    schedule: Schedule
    objective: str = "train"

    def __post_init__(self) -> None:
        require_member("objective", self.objective, OBJECTIVES)
        if self.objective == VALIDATION and not jax.tree.leaves(self.task.validation):
            raise ValueError(
                f"objective validation needs validation examples, and task {self.task.name!r} has "
                "none. Make them with lopt.tasks.with_validation."
            )

    def begin(self, theta: MetaParameters, key: jax.Array, length: jax.Array) -> Episode:
        """A fresh episode of the given length."""
        drawn = self.task.draw(jax.random.fold_in(key, MEMBER))
        params = self.task.member(drawn).init(key)
        state = self.make_optimizer(theta).init(params)
        return Episode(params, state, jnp.int32(0), length, jnp.int32(-1), drawn)

    def aligned(self, truncation: int) -> bool:
        """Whether every episode ends where a truncation does, given that the first one does: then
        no inner step has to ask, which would read and write the whole state.
        """
        schedule = self.schedule
        lengths = schedule.lengths if isinstance(schedule, Annealed) else schedule
        return isinstance(lengths, Constant) and lengths.steps % truncation == 0

    def staggered(
        self,
        theta: MetaParameters,
        key: jax.Array,
        index: jax.Array,
        count: int,
        truncation: int,
        *,
        stagger: bool,
    ) -> Episode:
        """The first episode of particle `index` of `count`: as if ``floor(index length / count)``
        steps had passed, so that particles do not start over all at once; whole truncations where
        all episodes are.
        """
        fresh, drawn = jax.random.split(jax.random.fold_in(key, index))
        length = self.schedule.draw(drawn, jnp.int32(0))
        episode = self.begin(theta, fresh, length)
        unit = truncation if self.aligned(truncation) else 1
        passed = (index * (length // unit) // count * unit).astype(jnp.int32)
        return episode._replace(inner_step=passed) if stagger else episode

    def unroll(
        self,
        theta: MetaParameters,
        later: MetaParameters | None,
        episode: Episode,
        data: Any,
        keys: Keys,
        outer_step: jax.Array,
        *,
        steps: int,
        rematerialize: bool = False,
    ) -> tuple[Trace, Episode]:
        """Take `steps` steps under `theta`; under `later`, if given, from a fresh episode on.

        `data` is the task's, and for the objective "validation" a pair of it and of the validation
        examples. With `rematerialize` a derivative keeps the episode before each step and nothing
        inside it.
        """
        data, others = data if self.objective == VALIDATION else (data, data)
        fresh = self.begin(theta if later is None else later, keys.fresh, episode.length)
        indices = self.task.indices(keys.batch, steps)
        apart = self._apart(keys.batch, others, steps)
        only_at_start = self.aligned(steps)

        def restart(episode: Episode, restarted: jax.Array, index: jax.Array | int) -> Any:
            over = episode.inner_step == episode.length
            length = self.schedule.draw(jax.random.fold_in(keys.length, index), outer_step)
            now = _where(over, fresh._replace(length=length), episode)
            restarted = restarted | over
            return now, restarted, theta if later is None else _where(restarted, later, theta)

        def step(carry: Any, inputs: Any) -> Any:
            (episode, restarted), (index, step_indices, other_indices) = carry, inputs
            now, used = episode, first_used
            if not only_at_start:
                now, restarted, used = restart(episode, restarted, index)
            task, loss_key = self.task.member(now.member), jax.random.fold_in(keys.loss, index)
            batch = task.batch(data, step_indices)
            loss, gradient = task.value_and_grad(now.params, loss_key, batch)
            if other_indices is not None:
                batch, loss_key = task.batch(others, other_indices), jax.random.fold_in(loss_key, 1)
                loss = task.loss(now.params, loss_key, batch)
            updates, state = self.make_optimizer(used).update(gradient, now.state, now.params)
            if isinstance(self.schedule, Annealed):
                factor = self.schedule.factor(now.inner_step, now.length)
                updates = jax.tree.map(lambda u: (factor * u).astype(u.dtype), updates)
            finite = jnp.isfinite(loss)
            first = jnp.where(
                finite | (now.nonfinite_step >= 0), now.nonfinite_step, now.inner_step
            )
            trace = Trace(loss, ~restarted, jnp.where(finite, -1, first))
            params = optax.apply_updates(now.params, updates)
            after = Episode(params, state, now.inner_step + 1, now.length, first, now.member)
            return (after, restarted), trace

        restarted, first_used = jnp.bool_(False), theta
        if only_at_start:
            episode, restarted, first_used = restart(episode, restarted, 0)
        body = jax.checkpoint(step, prevent_cse=False) if rematerialize else step
        carry = (episode, restarted)
        (episode, _), trace = jax.lax.scan(body, carry, (jnp.arange(steps), indices, apart))
        return trace, episode

    def _apart(self, key: jax.Array, data: Any, steps: int) -> jax.Array | None:
        """The indices of the batches that losses are measured on where no step learns from them."""
        if self.objective == "train":
            return None
        return self.task.indices(jax.random.fold_in(key, MEMBER), steps, data)

    def clipped(self, losses: jax.Array) -> jax.Array:
        """The losses, at most the task's ceiling, which also stands for NaN."""
        ceiling = self.task.loss_ceiling
        return jnp.minimum(jnp.where(jnp.isnan(losses), ceiling, losses), ceiling)

    def normalized(self, clipped: jax.Array) -> jax.Array:
        """The clipped losses as they enter the meta-loss."""
        return clipped if self.task.normalize is None else self.task.normalize(clipped)


def first_nonfinite(trace: Trace) -> jax.Array:
    """The first entry of the trace's `nonfinite_step` that is not -1, -1 if there is none."""
    found = trace.nonfinite_step
    where = jnp.argmax(found >= 0, axis=0)
    return jnp.take_along_axis(found, where[None], axis=0)[0]


class Count(NamedTuple):
    """The state that an estimator of whole episodes keeps between two estimates."""

    outer_step: jax.Array
    """Estimates so far, int32, an entry for each pair or particle."""

    @classmethod
    def zero(cls, count: int) -> "Count":
        """A count of zero for each of `count` pairs or particles."""
        return cls(jnp.zeros(count, jnp.int32))


def whole_episode(
    inner: InnerLoop, trace: Trace, length: jax.Array, outer_step: jax.Array
) -> tuple[jax.Array, Estimate]:
    """The sum of normalized losses of the trace's first episode over the expected length, with
    the axis of the runs where the trace has one, and the estimate without its gradient.

    Not over the length itself: every inner step weighs the same, in a short episode and in a
    long one, as it does for estimators that go on truncation by truncation.
    """
    axes = (slice(None),) + (None,) * (trace.losses.ndim - 1)
    current = trace.current[axes]
    clipped = jnp.where(current, inner.clipped(trace.losses), 0.0)
    normalized = jnp.where(current, inner.normalized(inner.clipped(trace.losses)), 0.0)
    expected = inner.schedule.mean(outer_step)
    above = current & ~(trace.losses <= inner.task.loss_ceiling)
    seen = trace._replace(nonfinite_step=jnp.where(current, trace.nonfinite_step, -1))
    estimate = Estimate(
        gradient=(),
        meta_loss=jnp.mean(jnp.sum(clipped, axis=0) / expected),
        diverged=jnp.mean(jnp.sum(above, axis=0) / length),
        nonfinite_step=first_nonfinite(seen),
    )
    return jnp.sum(normalized, axis=0) / expected, estimate


def _where(condition: jax.Array, left: Any, right: Any) -> Any:
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), left, right)
