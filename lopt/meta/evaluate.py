"""Inner training curves of any optax optimizer over held-out seeds, and what they say."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import optax
from numpy.typing import NDArray

from lopt.optimizers.baselines import HALF_DECADES
from lopt.tasks.task import Task

# Evaluation seeds are folded in from here on, far from what training draws.
HELD_OUT = 0x5EED


def held_out_keys(seeds: int) -> jax.Array:
    """One key for each of the first `seeds` held-out runs."""
    return jax.random.split(jax.random.key(HELD_OUT), seeds)


def training_curves(
    task: Task,
    make_optimizer: Callable[[Any], optax.GradientTransformation],
    thetas: Any,
    steps: int,
    keys: jax.Array,
) -> NDArray[np.float32]:
    """Training losses ``[thetas, seeds, steps]``: each on its own batch, before that step is taken.

    `thetas` is one tree whose leaves have a leading axis, an optimizer a slice: they are compiled
    once and run together.
    A seed fixes the initial parameters and every batch, so that optimizers are compared on the
    same draws.
    """

    def run(theta: Any, data: Any, key: jax.Array) -> jax.Array:
        init_key, run_key = jax.random.split(key)
        optimizer = make_optimizer(theta)
        params = task.init(init_key)

        def step(carry: Any, key: jax.Array) -> tuple[Any, jax.Array]:
            params, state = carry
            batch_key, loss_key = jax.random.split(key)
            batch = task.sample(batch_key, data)
            loss, gradient = jax.value_and_grad(task.loss)(params, loss_key, batch)
            updates, state = optimizer.update(gradient, state, params)
            return (optax.apply_updates(params, updates), state), loss

        carry = (params, optimizer.init(params))
        return jax.lax.scan(step, carry, jax.random.split(run_key, steps))[1]

    over_seeds = jax.vmap(run, in_axes=(None, None, 0))
    over_thetas = jax.jit(jax.vmap(over_seeds, in_axes=(0, None, None)))
    return np.asarray(over_thetas(thetas, task.data, keys))


def tuned_adam(
    task: Task,
    horizon: int,
    steps: int,
    keys: jax.Array,
    rates: Sequence[float] = HALF_DECADES,
) -> tuple[float, NDArray[np.float32]]:
    """The rate of the grid with the least mean loss over the horizon, on these very seeds, and its
    curves.

    Choosing on the evaluation seeds themselves favours Adam.
    """
    curves = training_curves(task, optax.adam, np.array(rates, np.float32), steps, keys)
    means = [meta_loss(c, horizon, task.loss_ceiling).mean() for c in curves]
    best = int(np.argmin(means))
    return float(rates[best]), curves[best]


def meta_loss(
    curves: NDArray[np.float32], horizon: int, ceiling: float = float("inf")
) -> NDArray[np.float64]:
    """The mean loss over the horizon, clipped as in training, ``[seeds]``."""
    return clipped(curves[:, :horizon], ceiling).astype(np.float64).mean(axis=1)


def clipped(curves: NDArray[np.float32], ceiling: float) -> NDArray[np.float32]:
    """Losses at most `ceiling`, which also stands for NaN."""
    return np.minimum(np.nan_to_num(curves, nan=ceiling), ceiling)


@dataclass(frozen=True)
class Summary:
    """What a row of the evaluation table says of one optimizer over the held-out seeds."""

    name: str
    meta_loss: NDArray[np.float64]
    at_horizon: NDArray[np.float64]
    at_end: NDArray[np.float64]
    rises: int
    """Seeds whose loss at the end is above that at the horizon, or not finite."""


def summarize(name: str, curves: NDArray[np.float32], horizon: int, ceiling: float) -> Summary:
    """Meta-loss, and the loss around the horizon and at the end, each the mean over the last
    tenth of a horizon.
    """
    window = max(1, horizon // 10)
    at_horizon = curves[:, max(0, horizon - window) : horizon].astype(np.float64).mean(axis=1)
    at_end = curves[:, -window:].astype(np.float64).mean(axis=1)
    rises = int(np.sum(~(at_end <= at_horizon)))
    return Summary(name, meta_loss(curves, horizon, ceiling), at_horizon, at_end, rises)
