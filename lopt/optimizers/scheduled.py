"""NAdamW with a schedule, and the space of its random search in learned_optimization."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax


@dataclass(frozen=True)
class ScheduledNAdamW:
    """The constants of one scheduled NAdamW; each may be traced by JAX.

    Attributes
    ----------
    learning_rate
        The rate after the warm-up and before the decay.
    b1, b2, eps
        As of Adam.
    weight_decay
        Decoupled from the gradient, times the rate.
    l2
        Weight decay that is added to the gradient.
    warmup
        The share of the steps over which the rate rises from 0; at most `constant` counts.
    constant
        The share of the steps before the rate falls.
    least
        The rate at the end as a share of `learning_rate`.
    nesterov
        1 for Nesterov momentum, 0 for Adam's.
    """

    learning_rate: Any
    b1: Any = 0.9
    b2: Any = 0.999
    eps: Any = 1e-8
    weight_decay: Any = 0.0
    l2: Any = 0.0
    warmup: Any = 0.0
    constant: Any = 1.0
    least: Any = 0.0
    nesterov: Any = 1.0


@dataclass(frozen=True)
class ScheduledNAdamWSpace:
    """The distribution that the package learned_optimization took its list of 1,000 from.

    All constants are log-uniform between their bounds, the betas in their complements, but
    `constant`, which is uniform in [0, 1], and `nesterov`, which is 1 in half of the draws. Some
    are 0 with the probabilities below; of the two decays never both.
    """

    learning_rate: tuple[float, float] = (1e-5, 1.0)
    b1_complement: tuple[float, float] = (1e-3, 1.0)
    b2_complement: tuple[float, float] = (1e-5, 1.0)
    eps: tuple[float, float] = (1e-8, 1e4)
    weight_decay: tuple[float, float] = (1e-5, 0.1)
    l2: tuple[float, float] = (1e-5, 0.1)
    warmup: tuple[float, float] = (1e-5, 0.1)
    least: tuple[float, float] = (1e-5, 1.0)
    no_weight_decay: float = 0.31
    no_l2: float = 0.36
    no_warmup: float = 0.48
    no_least: float = 0.49

    def draw(self, generator: np.random.Generator, count: int) -> list[ScheduledNAdamW]:
        """Draw `count` independent sets of constants; fewer are the first of more.

        Examples
        --------
        >>> space = ScheduledNAdamWSpace()
        >>> few, more = (space.draw(np.random.default_rng(0), n) for n in (2, 5))
        >>> few == more[:2]
        True
        """
        ranges = [v for v in vars(self).values() if isinstance(v, tuple)]
        bounds, width = np.log(np.array(ranges)), len(ranges)
        uniform = generator.uniform(size=(count, width + 5))
        low, high = bounds.T
        return [self._one(np.exp(low + row[:width] * (high - low)), row[width:]) for row in uniform]

    def _one(self, values: Any, chances: Any) -> ScheduledNAdamW:
        rate, c1, c2, eps, decay, l2, warmup, least = map(float, values)
        which, warm, falls, constant, nesterov = map(float, chances)
        no_decay = which < self.no_weight_decay
        no_l2 = not no_decay and which < self.no_weight_decay + self.no_l2
        return ScheduledNAdamW(
            rate,
            1.0 - c1,
            1.0 - c2,
            eps,
            weight_decay=0.0 if no_decay else decay,
            l2=0.0 if no_l2 else l2,
            warmup=0.0 if warm < self.no_warmup else warmup,
            constant=constant,
            least=0.0 if falls < self.no_least else least,
            nesterov=float(nesterov < 0.5),
        )


def scheduled_rate(constants: ScheduledNAdamW, steps: int, count: Any) -> jax.Array:
    """The learning rate of the step after `count` of `steps`: a linear warm-up, the constant rate,
    and half a period of the cosine down to the least.

    Examples
    --------
    >>> falling = ScheduledNAdamW(0.1, warmup=0.1, constant=0.5, least=0.2)
    >>> [round(float(scheduled_rate(falling, 100, t)), 4) for t in (0, 5, 10, 50, 75, 100)]
    [0.0, 0.05, 0.1, 0.1, 0.06, 0.02]
    """
    c = constants
    done = jnp.minimum(jnp.asarray(count, jnp.float32) / steps, 1.0)
    falls = jnp.maximum(done - c.constant, 0.0) / jnp.maximum(1.0 - c.constant, 1e-7)
    share = c.least + (1.0 - c.least) * (1.0 + jnp.cos(math.pi * falls)) / 2.0
    warm = jnp.minimum(c.warmup, c.constant)
    rising = done / jnp.maximum(warm, 1e-30)
    return c.learning_rate * jnp.where(done < warm, rising, share)


def scheduled_nadamw(
    constants: ScheduledNAdamW, steps: int
) -> optax.GradientTransformationExtraArgs:
    """optax's NAdamW with a schedule over `steps`, L2 and decoupled weight decay.

    Examples
    --------
    >>> optimizer = scheduled_nadamw(ScheduledNAdamW(1e-3), steps=2000)
    >>> updates, _ = optimizer.update(np.ones(2), optimizer.init(np.ones(2)), np.ones(2))
    >>> bool(np.all(updates < 0))
    True
    """
    c = constants
    plain, nesterov = (
        optax.scale_by_adam(c.b1, c.b2, c.eps, nesterov=which) for which in (False, True)
    )

    def update(gradient: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        own, new = plain.update(gradient, state, params)
        other, _ = nesterov.update(gradient, state, params)
        return jax.tree.map(lambda a, b: jnp.where(c.nesterov > 0.5, b, a), own, other), new

    chained = optax.chain(
        optax.add_decayed_weights(c.l2),
        optax.GradientTransformation(plain.init, update),
        optax.add_decayed_weights(c.weight_decay),
        optax.scale_by_schedule(lambda count: -scheduled_rate(c, steps, count)),
    )
    return optax.with_extra_args_support(chained)
