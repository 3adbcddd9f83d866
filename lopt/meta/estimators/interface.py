"""The interface of every estimator of the meta-gradient."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import optax

from lopt.checks import require
from lopt.meta.estimators.together import runs_at_once
from lopt.tasks.task import Task

#: What is meta-trained, a pytree of arrays.
MetaParameters = Any
#: Builds the inner optimizer from the meta-parameters.
MakeOptimizer = Callable[[MetaParameters], optax.GradientTransformation]
State = TypeVar("State")


class Estimate(NamedTuple):
    """A meta-gradient with the metrics of its computation."""

    gradient: MetaParameters
    """The gradient of the meta-loss, normalized by the task where it has a normalization."""
    meta_loss: jax.Array
    """Mean clipped loss over particles and inner steps, in the task's units: not normalized."""
    diverged: jax.Array
    """The share of losses that were not finite or above the task's ceiling."""
    nonfinite_step: jax.Array
    """Where a particle met a loss that is not finite: the inner step of its episode at which that
    first happened, -1 where none; int32 ``[pairs, 2]``, ``[particles]`` for backpropagation.
    """


class Estimator(Protocol):
    """An unbiased or truncated estimator of the gradient of the meta-loss.

    The meta-loss is the expected sum of an episode's training losses over its expected length:
    every inner step weighs the same. A loss is measured on the batch that also gives that step's
    gradient, before the step; it is clipped at the task's ceiling, then normalized where the task
    says how.
    """

    @property
    def inner_steps(self) -> int:
        """Inner steps that one call of `estimate` computes, over all particles."""
        ...

    def init(self, theta: MetaParameters, key: jax.Array) -> Any:
        """The state before the first estimate; every leaf has a leading axis over the pairs (for
        backpropagation, the particles), over which it can be spread on devices.
        """
        ...

    def estimate(
        self,
        theta: MetaParameters,
        state: Any,
        data: Any,
        key: jax.Array,
        first: jax.Array | int = 0,
    ) -> tuple[Estimate, Any]:
        """The mean estimate of the pairs in `state`, and the state afterwards.

        `first` is the index of the first pair held here, so that pairs spread over devices draw
        what they would draw on one.
        """
        ...


def require_at_least_one(**values: int) -> None:
    """Raise where one of the named integers is below 1."""
    for name, value in values.items():
        require(name, value, value >= 1, "at least 1")


def each(
    task: Task,
    one: Callable[[MetaParameters, State, Any, jax.Array], tuple[Estimate, State]],
    theta: MetaParameters,
    state: State,
    data: Any,
    key: jax.Array,
    first: jax.Array | int,
) -> tuple[Estimate, State]:
    """The estimator `one` of a single pair of the task for every pair: the mean, and each one's
    steps where it was not finite.

    On a CPU as many pairs run at once as its cache holds: it is their inner steps, not the pairs,
    that read the same memory again.
    """
    count = jax.tree.leaves(state)[0].shape[0]
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(first + jnp.arange(count))

    def run(state: State, key: jax.Array) -> tuple[Estimate, State]:
        return one(theta, state, data, key)

    together = runs_at_once(state, task)
    if together == count:
        terms, state = jax.vmap(run)(state, keys)
    else:
        batch = together if together > 1 else None
        terms, state = jax.lax.map(lambda pair: run(*pair), (state, keys), batch_size=batch)
    gradient, loss, diverged = jax.tree.map(lambda x: jnp.mean(x, axis=0), terms[:3])
    return Estimate(gradient, loss, diverged, terms.nonfinite_step), state
