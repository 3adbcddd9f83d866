"""How many inner steps an episode lasts: constant, random, or growing while meta-training goes on;
and whether the steps shrink towards its end.

An episode's length is drawn when it begins, by each pair for itself. The outer step that a growing
length depends on is counted in the estimator's state, so that it is saved with it.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from lopt.meta.estimators.interface import require_at_least_one


class Schedule(Protocol):
    """The distribution of an episode's length."""

    @property
    def longest(self) -> int:
        """The length of the longest possible episode."""
        ...

    def draw(self, key: jax.Array, outer_step: jax.Array) -> jax.Array:
        """The length of an episode that begins at this outer step, int32 scalar."""
        ...

    def mean(self, outer_step: jax.Array) -> jax.Array:
        """The expected length of an episode that begins at this outer step, float32 scalar."""
        ...


@dataclass(frozen=True)
class Constant:
    """Every episode lasts `steps` inner steps."""

    steps: int

    def __post_init__(self) -> None:
        require_at_least_one(horizon=self.steps)

    @property
    def longest(self) -> int:
        """`steps`."""
        return self.steps

    def draw(self, key: jax.Array, outer_step: jax.Array) -> jax.Array:
        """`steps`."""
        del key, outer_step
        return jnp.int32(self.steps)

    def mean(self, outer_step: jax.Array) -> jax.Array:
        """`steps`."""
        del outer_step
        return jnp.float32(self.steps)


@dataclass(frozen=True)
class LogUniform:
    """Log-uniform integers: ``P(k) = log((k + 1) / k) / log((longest + 1) / shortest)``.

    Short and long episodes alike: each octave between the bounds, both included, has about the
    same weight.

    Examples
    --------
    >>> lengths = jax.vmap(lambda k: LogUniform(5, 80).draw(k, 0))(
    ...     jax.random.split(jax.random.key(0), 1000)
    ... )
    >>> int(lengths.min()), int(lengths.max())
    (5, 80)
    >>> bool(abs(lengths.mean() / LogUniform(5, 80).mean(0) - 1) < 0.05)
    True
    """

    shortest: int
    longest: int

    def __post_init__(self) -> None:
        _ordered(self.shortest, self.longest)

    def draw(self, key: jax.Array, outer_step: jax.Array) -> jax.Array:
        """The integer part of a log-uniform number in [shortest, longest + 1)."""
        del outer_step
        low, high = math.log(self.shortest), math.log(self.longest + 1)
        steps = jnp.exp(jax.random.uniform(key, (), jnp.float32, low, high))
        return jnp.clip(steps.astype(jnp.int32), self.shortest, self.longest)

    def mean(self, outer_step: jax.Array) -> jax.Array:
        """``sum_k k P(k)``."""
        del outer_step
        k = np.arange(self.shortest, self.longest + 1)
        total = np.sum(k * np.log1p(1 / k)) / math.log((self.longest + 1) / self.shortest)
        return jnp.float32(total)


@dataclass(frozen=True)
class Growing:
    """From `shortest` at outer step 0 to `longest` at outer step `over` and after it, by a
    constant factor an outer step: ``shortest (longest / shortest)^(s / over)``, rounded.

    Examples
    --------
    >>> [int(Growing(10, 1000, over=4).draw(None, jnp.int32(s))) for s in range(6)]
    [10, 32, 100, 316, 1000, 1000]
    """

    shortest: int
    longest: int
    over: int

    def __post_init__(self) -> None:
        _ordered(self.shortest, self.longest)
        require_at_least_one(over=self.over)

    def draw(self, key: jax.Array | None, outer_step: jax.Array) -> jax.Array:
        """The length at this outer step; nothing is random."""
        del key
        share = jnp.clip(outer_step / self.over, 0.0, 1.0)
        steps = self.shortest * (self.longest / self.shortest) ** share
        return jnp.clip(jnp.round(steps).astype(jnp.int32), self.shortest, self.longest)

    def mean(self, outer_step: jax.Array) -> jax.Array:
        """The length itself."""
        return self.draw(None, outer_step).astype(jnp.float32)


@dataclass(frozen=True)
class Annealed:
    """Episodes as long as those of `lengths`, whose inner step k of n is multiplied by
    ``(1 + cos(pi k / n)) / 2``: half a period of the cosine, as in a user's learning rate.

    Examples
    --------
    >>> annealed = Annealed(Constant(4))
    >>> [round(float(annealed.factor(k, 4)), 3) for k in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """

    lengths: Schedule

    @property
    def longest(self) -> int:
        """The length of the longest possible episode."""
        return self.lengths.longest

    def draw(self, key: jax.Array, outer_step: jax.Array) -> jax.Array:
        """The length of an episode, int32 scalar."""
        return self.lengths.draw(key, outer_step)

    def mean(self, outer_step: jax.Array) -> jax.Array:
        """The expected length of an episode, float32 scalar."""
        return self.lengths.mean(outer_step)

    def factor(self, inner_step: jax.Array | int, length: jax.Array | int) -> jax.Array:
        """The factor on the update of an inner step, counted from 0, float32 scalar."""
        return (1.0 + jnp.cos(jnp.pi * inner_step / length)) / 2.0


def as_schedule(horizon: int | Schedule) -> Schedule:
    """The schedule itself, or a constant one of so many steps."""
    return Constant(int(horizon)) if isinstance(horizon, int | np.integer) else horizon


def _ordered(shortest: int, longest: int) -> None:
    if not 1 <= shortest <= longest:
        raise ValueError(
            "an episode's lengths must have 1 <= shortest <= longest; they are "
            f"{shortest} and {longest}."
        )
