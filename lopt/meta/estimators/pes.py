"""Persistent evolution strategies, and by its options truncated and noise-reuse ES; what they have
in common is in `perturbation`.
"""

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from lopt.meta.estimators.interface import (
    Estimate,
    MakeOptimizer,
    MetaParameters,
    each,
    require_at_least_one,
)
from lopt.meta.estimators.perturbation import Perturbations, doubled, run_pair
from lopt.meta.estimators.schedule import Schedule, as_schedule
from lopt.meta.estimators.unroll import Episode, InnerLoop, Keys, first_nonfinite
from lopt.tasks.task import Task


class Pairs(NamedTuple):
    """The pairs between two truncations; every leaf has a leading axis over the pairs."""

    episode: Episode
    """Parameters, hidden state and `nonfinite_step` are ``[pairs, 2, ...]``, for both runs."""
    perturbation: MetaParameters
    """The sums ``xi`` of this episode, like theta with axes ``[pairs, 2]`` in front."""
    outer_step: jax.Array
    """Estimates so far, int32 ``[pairs]``."""


@dataclass(frozen=True, eq=False)
class PES:
    """Persistent evolution strategies for one task; with `persistent` and `noise` also truncated
    and noise-reuse ES.

    They estimate the gradient of the meta-loss (3), w_t = 1/T, smoothed over the perturbations. At
    the end of its episode a pair starts over from fresh parameters, at whatever point of the
    truncation that is: losses before and after are weighted by their own sums of perturbations.

    Parameters
    ----------
    task
        The inner problem.
    make_optimizer
        Builds the inner optimizer from theta.
    horizon
        Inner steps an episode, or a schedule of them.
    truncation
        Inner steps between two outer steps.
    pairs
        Pairs of runs; each has its own perturbations, and initial parameters, batches and lengths
        shared by its two runs.
    sigma
        Standard deviation of a perturbation.
    persistent
        False correlates with the last perturbation alone: truncated ES, which is biased.
    noise
        "individual" draws a new perturbation every truncation. "shared" keeps one for all
        truncations of an episode and draws the next where the next episode begins: NRES (Li,
        Harrison, Sohl-Dickstein, Smith, Metz, NeurIPS 2023; the same as Vicol's ES-Single, ICML
        2023). It is unbiased as PES is, for the loss smoothed by one perturbation an episode, and
        has nothing to sum, so that `persistent` must be True.
    antithetic, baseline
        See `Perturbations`.
    staggered
        Pair ``i`` of ``n`` begins as if ``floor(i length / n)`` steps of its episode had passed,
        rounded down to whole truncations where the truncation divides a constant length.
        False begins them all at step 0.
    objective
        What the loss of a step is measured on, before the step: "train", the batch that it learns
        from; "fresh-batch", another batch of the same data; "validation", a batch of the task's
        validation examples, for which `data` must be the pair of both.

    Examples
    --------
    One pair, phi' = phi - theta phi from phi = 1, over its whole episode of two steps: the losses
    are 1 and ``(1 - theta)^2``, and the directional derivative is exact.

    >>> import optax
    >>> task = Task("bowl", lambda key: jnp.ones(()), lambda phi, key, batch: phi**2 / 2)
    >>> pes = PES(task, optax.sgd, horizon=2, truncation=2, pairs=1, sigma=0.1)
    >>> theta = jnp.float32(0.25)
    >>> estimate, after = pes.estimate(theta, pes.init(theta, jax.random.key(0)), (),
    ...                                jax.random.key(1))
    >>> e = after.perturbation[0, 0]
    >>> bool(jnp.isclose(estimate.gradient, (theta - 1) / 2 * e**2 / 0.1**2, rtol=1e-4))
    True
    """

    task: Task
    make_optimizer: MakeOptimizer
    horizon: int | Schedule
    truncation: int
    pairs: int
    sigma: float
    _: KW_ONLY
    persistent: bool = True
    noise: Literal["individual", "shared"] = "individual"
    antithetic: bool = True
    baseline: bool = True
    staggered: bool = True
    objective: str = "train"

    def __post_init__(self) -> None:
        require_at_least_one(truncation=self.truncation, pairs=self.pairs)
        as_schedule(self.horizon)
        Perturbations(self.sigma, self.antithetic, self.baseline)
        if self.noise not in ("individual", "shared"):
            raise ValueError(f"noise must be individual or shared; it is {self.noise!r}.")
        if self.noise == "shared" and not self.persistent:
            raise ValueError("persistent must be True where noise is shared: there is one a sum.")

    @cached_property
    def _inner(self) -> InnerLoop:
        schedule = as_schedule(self.horizon)
        return InnerLoop(self.task, self.make_optimizer, schedule, self.objective)

    @cached_property
    def _perturbations(self) -> Perturbations:
        return Perturbations(self.sigma, self.antithetic, self.baseline)

    @property
    def inner_steps(self) -> int:
        """Inner steps of one estimate, over all particles."""
        return 2 * self.pairs * self.truncation

    def init(self, theta: MetaParameters, key: jax.Array) -> Pairs:
        """Fresh pairs."""

        def one(index: jax.Array) -> Pairs:
            begin, noise = jax.random.split(key)
            episode = self._inner.staggered(
                theta, begin, index, self.pairs, self.truncation, stagger=self.staggered
            )
            drawn = self._perturbations.draw(jax.random.fold_in(noise, index), theta)
            # Where the noise is shared the first episode needs its perturbation already.
            kept = drawn if self.noise == "shared" else jax.tree.map(jnp.zeros_like, drawn)
            return Pairs(doubled(episode), kept, jnp.int32(0))

        return jax.vmap(one)(jnp.arange(self.pairs))

    def estimate(
        self,
        theta: MetaParameters,
        pairs: Pairs,
        data: Any,
        key: jax.Array,
        first: jax.Array | int = 0,
    ) -> tuple[Estimate, Pairs]:
        """One truncation of every pair: the meta-gradient, and the pairs afterwards."""
        return each(self.task, self._pair, theta, pairs, data, key, first)

    def _pair(
        self, theta: MetaParameters, pair: Pairs, data: Any, key: jax.Array
    ) -> tuple[Estimate, Pairs]:
        noise_key, *rest = jax.random.split(key, 5)
        noise = self._perturbations.draw(noise_key, theta)
        if self.noise == "shared":
            now, later, since = pair.perturbation, noise, pair.perturbation
        else:
            now, later = noise, None
            since = jax.tree.map(jnp.add, pair.perturbation, noise) if self.persistent else noise
        trace, episode = run_pair(
            self._inner,
            theta,
            now,
            later,
            pair.episode,
            data,
            Keys(*rest),
            pair.outer_step,
            self.truncation,
        )
        clipped = self._inner.clipped(trace.losses)
        credit = self._perturbations.credit(self._inner.normalized(clipped))
        current = trace.current[:, None]
        parts = [
            self._perturbations.correlate(
                jnp.sum(jnp.where(where, credit, 0.0), axis=0) / self.truncation, perturbation
            )
            for where, perturbation in ((current, since), (~current, noise))
        ]
        estimate = Estimate(
            gradient=jax.tree.map(jnp.add, *parts),
            meta_loss=jnp.mean(clipped),
            diverged=jnp.mean(~(trace.losses <= self.task.loss_ceiling)),
            nonfinite_step=first_nonfinite(trace),
        )
        kept = jax.tree.map(lambda x, e: jnp.where(trace.current[-1], x, e), since, noise)
        return estimate, Pairs(episode, kept, pair.outer_step + 1)
