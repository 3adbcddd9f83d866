"""The baselines of learned optimizers (Appendix B.3), all from optax: Adam on a half-decade
grid, NAdamW by random search, SGD with momentum.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import optax

# "Half orders of magnitude steps".
HALF_DECADES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
# "1000 random hyperparameter values were evaluated for each task".
RANDOM_SEARCH = 1000


@dataclass(frozen=True)
class NAdamW:
    """The constants of one NAdamW, Adam with Nesterov momentum and decoupled weight decay."""

    learning_rate: float
    b1: float
    b2: float
    eps: float
    weight_decay: float


@dataclass(frozen=True)
class NAdamWSpace:
    """The distribution of a random search: every constant independent, log-uniform between its
    bounds, the two betas in their complements ``1 - beta``.

    Appendix B.3 gives the number of draws and no bounds; these are ours and cover four decades of
    learning rates around Adam's default.
    """

    learning_rate: tuple[float, float] = (1e-5, 1e-1)
    b1_complement: tuple[float, float] = (1e-3, 1.0)
    b2_complement: tuple[float, float] = (1e-4, 1e-1)
    eps: tuple[float, float] = (1e-10, 1e-3)
    weight_decay: tuple[float, float] = (1e-6, 1e-1)

    def __post_init__(self) -> None:
        for name, (low, high) in vars(self).items():
            if not 0.0 < low <= high < math.inf:
                raise ValueError(f"{name} must have bounds 0 < low <= high; it is {(low, high)}.")
        for name in ("b1_complement", "b2_complement"):
            if getattr(self, name)[1] > 1.0:
                raise ValueError(f"{name} must be at most 1; it is {getattr(self, name)}.")

    def draw(self, generator: np.random.Generator, count: int = RANDOM_SEARCH) -> list[NAdamW]:
        """Draw `count` independent sets of constants."""
        bounds = np.log(np.array(list(vars(self).values())))
        values = np.exp(generator.uniform(bounds[:, 0], bounds[:, 1], (count, len(bounds))))
        return [
            NAdamW(float(rate), float(1.0 - c1), float(1.0 - c2), float(eps), float(decay))
            for rate, c1, c2, eps, decay in values
        ]


def adam(learning_rate: Any) -> optax.GradientTransformationExtraArgs:
    """optax's Adam with its default constants, one learning rate of `HALF_DECADES`."""
    return optax.with_extra_args_support(optax.adam(learning_rate))


def nadamw(constants: NAdamW) -> optax.GradientTransformationExtraArgs:
    """optax's NAdamW with drawn constants.

    Examples
    --------
    >>> drawn = NAdamWSpace().draw(np.random.default_rng(0), count=2)
    >>> nadamw(drawn[0]).init({"w": np.zeros(3)})[0].count
    Array(0, dtype=int32)
    """
    return optax.with_extra_args_support(optax.nadamw(**vars(constants)))


def sgd_momentum(
    learning_rate: Any, momentum: float = 0.9
) -> optax.GradientTransformationExtraArgs:
    """optax's SGD with heavy-ball momentum; the same learning rates."""
    return optax.with_extra_args_support(optax.sgd(learning_rate, momentum))
