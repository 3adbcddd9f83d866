"""The meta-gradient by persistent evolution strategies (PES; Vicol, Metz, Sohl-Dickstein 2021).

A pair of inner problems runs under ``theta + e`` and ``theta - e`` with a new perturbation ``e ~
N(0, sigma^2 I)`` every truncation. With ``xi`` the sum of the perturbations since the episode
began, the estimate for the losses of one truncation is ``(L+ - L-) xi / (2 sigma^2)``: correlating
with the whole sum, and not with ``e`` alone as truncated ES does, accounts for what earlier
truncations did to the state and makes the estimate unbiased (for the loss smoothed by the
perturbations).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lopt.tasks.task import Task, take

MetaParameters = Any
MakeOptimizer = Callable[[MetaParameters], optax.GradientTransformation]


class Pairs(NamedTuple):
    """The antithetic pairs between two truncations; every leaf has a leading axis over the
    pairs.
    """

    params: Any
    """Inner parameters, ``[pairs, 2, ...]``: under the perturbation, and under its negative."""
    state: Any
    """Hidden state of the optimizer, likewise."""
    inner_step: jax.Array
    """Inner steps since the episode began, int32 ``[pairs]``."""
    perturbation: MetaParameters
    """The sum ``xi`` of the perturbations of this episode, like theta with the leading axis."""


class Estimate(NamedTuple):
    """A meta-gradient and what was seen on the way."""

    gradient: MetaParameters
    meta_loss: jax.Array
    """Mean clipped loss over pairs, signs and inner steps."""
    diverged: jax.Array
    """The share of losses that were not finite or above the task's ceiling."""


@dataclass(frozen=True, eq=False)
class PES:
    """Antithetic PES for one task.

    The meta-loss is the mean over an episode's `horizon` inner steps of the training loss, each
    measured on the batch that also gives that step's gradient, before the step; clipped at the
    task's ceiling. At the horizon a pair starts over from fresh parameters, at whatever point of
    the truncation that is: losses before and after are weighted by their own sums of
    perturbations. The pairs start staggered: pair ``i`` of ``n`` begins as if ``floor(i horizon /
    n)`` steps had passed.

    Parameters
    ----------
    task
        The inner problem.
    make_optimizer
        Builds the inner optimizer from theta.
    horizon
        Inner steps an episode.
    truncation
        Inner steps between two outer steps.
    pairs
        Antithetic pairs; each has its own perturbation, initial parameters and batches, shared by
        its two runs.
    sigma
        Standard deviation of a perturbation.
    persistent
        False correlates with the last perturbation alone: truncated ES, which is biased.
    """

    task: Task
    make_optimizer: MakeOptimizer
    horizon: int
    truncation: int
    pairs: int
    sigma: float
    persistent: bool = True

    def __post_init__(self) -> None:
        for name in ("horizon", "truncation", "pairs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; it is {getattr(self, name)}.")
        if not self.sigma > 0:
            raise ValueError(f"sigma must be positive; it is {self.sigma}.")

    def init(self, theta: MetaParameters, key: jax.Array) -> Pairs:
        """Fresh pairs, staggered over the horizon."""
        index = jnp.arange(self.pairs)
        fresh = jax.vmap(lambda i: self._fresh(theta, jax.random.fold_in(key, i)))(index)
        params, state = jax.tree.map(lambda x: jnp.stack([x, x], axis=1), fresh)
        zero = jax.tree.map(lambda x: jnp.zeros((self.pairs, *x.shape), x.dtype), theta)
        stagger = (index * self.horizon // self.pairs).astype(jnp.int32)
        return Pairs(params, state, stagger, zero)

    def _fresh(self, theta: MetaParameters, key: jax.Array) -> tuple[Any, Any]:
        params = self.task.init(key)
        return params, self.make_optimizer(theta).init(params)

    def estimate(
        self,
        theta: MetaParameters,
        pairs: Pairs,
        data: Any,
        key: jax.Array,
        first: jax.Array | int = 0,
    ) -> tuple[Estimate, Pairs]:
        """One truncation of every pair: the meta-gradient, and the pairs afterwards.

        `first` is the index of the first pair held here, so that pairs spread over devices draw
        what they would draw on one.
        """
        index = first + jnp.arange(pairs.inner_step.shape[0])
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
        terms, pairs = jax.vmap(self._pair, in_axes=(None, 0, None, 0))(theta, pairs, data, keys)
        return jax.tree.map(lambda x: jnp.mean(x, axis=0), terms), pairs

    def _pair(
        self, theta: MetaParameters, pair: Pairs, data: Any, key: jax.Array
    ) -> tuple[Estimate, Pairs]:
        noise_key, fresh_key, batch_key, loss_key = jax.random.split(key, 4)
        noise = _normal_like(noise_key, theta, self.sigma)
        both = jax.tree.map(lambda t, e: jnp.stack([t + e, t - e]), theta, noise)
        fresh = self._fresh(theta, fresh_key)
        indices = self.task.indices(batch_key, self.truncation)

        def step(carry: Any, inputs: Any) -> Any:
            params, state, count = carry
            step_indices, index = inputs
            batch, step_key = take(data, step_indices), jax.random.fold_in(loss_key, index)
            over = count == self.horizon
            params, state = jax.tree.map(
                lambda new, old: jnp.where(over, new, old), fresh, (params, state)
            )

            def one(theta: MetaParameters, params: Any, state: Any) -> Any:
                loss, gradient = jax.value_and_grad(self.task.loss)(params, step_key, batch)
                updates, state = self.make_optimizer(theta).update(gradient, state, params)
                return optax.apply_updates(params, updates), state, loss

            params, state, loss = jax.vmap(one)(both, params, state)
            return (params, state, jnp.where(over, 0, count) + 1), (loss, over)

        start = (pair.params, pair.state, pair.inner_step)
        (params, state, count), (losses, resets) = jax.lax.scan(
            step, start, (indices, jnp.arange(self.truncation))
        )
        ceiling = self.task.loss_ceiling
        clipped = jnp.minimum(jnp.where(jnp.isnan(losses), ceiling, losses), ceiling)
        reset_before = jnp.cumsum(resets) > 0  # [truncation]: this step belongs to a new episode
        difference = clipped[:, 0] - clipped[:, 1]
        old = jnp.sum(jnp.where(reset_before, 0.0, difference))
        new = jnp.sum(jnp.where(reset_before, difference, 0.0))
        scale = 1.0 / (2.0 * self.sigma**2 * self.truncation)
        since = jax.tree.map(jnp.add, pair.perturbation, noise) if self.persistent else noise
        gradient = jax.tree.map(lambda x, e: scale * (old * x + new * e), since, noise)
        perturbation = jax.tree.map(lambda x, e: jnp.where(reset_before[-1], e, x), since, noise)
        estimate = Estimate(
            gradient=gradient,
            meta_loss=jnp.mean(clipped),
            diverged=jnp.mean(~(losses <= ceiling)),
        )
        return estimate, Pairs(params, state, count, perturbation)


def _normal_like(key: jax.Array, tree: Any, scale: float) -> Any:
    """Independent normal draws of standard deviation `scale`, one a number in `tree`."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    draws = [
        scale * jax.random.normal(k, x.shape, x.dtype) for k, x in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, draws)
