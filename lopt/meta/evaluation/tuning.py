"""Baselines tuned on a task: every candidate trains over the horizon, the best continues."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from numpy.typing import NDArray

from lopt.meta.evaluation.curves import meta_loss, training_curves
from lopt.optimizers.baselines import (
    HALF_DECADES,
    NAdamW,
    NAdamWSpace,
    adam,
    nadamw,
    sgd_momentum,
)
from lopt.tasks.task import Task

# Candidates that train at a time: what bounds the memory of a search.
TOGETHER = 16
# What the draws of a random search come from.
SEARCH_SEED = 0

Constants = dict[str, float]


class Tuned(NamedTuple):
    """The best candidate by mean meta-loss over the same seeds as the evaluation."""

    name: str
    constants: Constants
    curves: NDArray[np.float32]
    """Training losses ``[seeds, steps]``."""


class Baseline(NamedTuple):
    """An optimizer and the candidates for its constants."""

    name: str
    make: Callable[[dict[str, Any]], optax.GradientTransformation]
    candidates: Sequence[Constants]

    def steps(self, horizon: int, steps: int) -> int:
        """Inner steps of a seed that tuning takes."""
        return len(self.candidates) * horizon + steps


def baselines(search: int) -> list[Baseline]:
    """Adam and SGD with momentum over half-decades of the learning rate, and NAdamW over so many
    random draws (Appendix B.3: 1000); none with 0.

    Examples
    --------
    >>> [(b.name, len(b.candidates)) for b in baselines(search=3)]
    [('Adam', 8), ('SGD with momentum', 8), ('NAdamW', 3)]
    """
    rates = [{"learning_rate": rate} for rate in HALF_DECADES]
    found = [
        Baseline("Adam", lambda c: adam(c["learning_rate"]), rates),
        Baseline("SGD with momentum", lambda c: sgd_momentum(c["learning_rate"]), rates),
    ]
    if search:
        drawn = NAdamWSpace().draw(np.random.default_rng(SEARCH_SEED), search)
        found.append(Baseline("NAdamW", lambda c: nadamw(NAdamW(**c)), [vars(d) for d in drawn]))
    return found


def tune(
    baseline: Baseline,
    task: Task,
    horizon: int,
    steps: int,
    keys: jax.Array,
    advance: Callable[[int], None] = lambda steps: None,
) -> Tuned:
    """The candidate with the least mean meta-loss, and its curves to `steps`.

    Choosing on the evaluation seeds themselves favours the baseline.
    """
    means: list[float] = []
    for first in range(0, len(baseline.candidates), TOGETHER):
        some = baseline.candidates[first : first + TOGETHER]
        # The last group is filled up to the size of the others, which saves a second compilation.
        full = [*some, *[some[-1]] * (min(TOGETHER, len(baseline.candidates)) - len(some))]
        curves = training_curves(task, baseline.make, _stacked(full), horizon, keys)
        means += [meta_loss(c, horizon, task.loss_ceiling).mean() for c in curves[: len(some)]]
        advance(len(some) * horizon)
    best = baseline.candidates[int(np.argmin(np.nan_to_num(means, nan=np.inf)))]
    curves = training_curves(task, baseline.make, _stacked([best]), steps, keys, advance)
    return Tuned(baseline.name, dict(best), curves[0])


def _stacked(candidates: Sequence[Constants]) -> dict[str, NDArray[np.float32]]:
    return {n: np.array([c[n] for c in candidates], np.float32) for n in candidates[0]}
