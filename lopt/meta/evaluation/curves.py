"""Inner training curves of any optax optimizer over held-out seeds, and their summary."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from lopt.keys import random_key
from lopt.meta.estimators.interface import pairs_at_once
from lopt.optimizers.compiling import compiler_options
from lopt.tasks.task import Task

# Evaluation seeds are folded in from here on, far from what training draws.
HELD_OUT = 0x5EED
# Inner steps between two reports of progress.
CHUNK = 500


def held_out_keys(seeds: int) -> jax.Array:
    """One key for each of the first `seeds` held-out runs."""
    return jax.random.split(random_key(HELD_OUT), seeds)


def training_curves(
    task: Task,
    make_optimizer: Callable[[Any], optax.GradientTransformation],
    thetas: Any,
    steps: int,
    keys: jax.Array,
    advance: Callable[[int], None] = lambda steps: None,
) -> NDArray[np.float32]:
    """Training losses ``[thetas, seeds, steps]``: each on its own batch, before that step is taken.

    `thetas` is one tree whose leaves have a leading axis, an optimizer a slice: they are compiled
    once and run together, a chunk of steps at a time; `advance` is told the inner steps of a seed
    that each chunk has taken, over all optimizers.
    A seed fixes the initial parameters and every batch, so that optimizers are compared on the
    same draws. On a CPU as many of the runs advance at once as its cache holds.
    """
    chunks = -(-steps // CHUNK)
    length = -(-steps // chunks)

    def init(theta: Any, key: jax.Array) -> tuple[Any, Any]:
        params = task.init(key)
        return params, make_optimizer(theta).init(params)

    def run(theta: Any, carry: Any, keys: jax.Array, data: Any) -> tuple[Any, jax.Array]:
        optimizer = make_optimizer(theta)

        def step(carry: Any, key: jax.Array) -> tuple[Any, jax.Array]:
            params, state = carry
            batch_key, loss_key = jax.random.split(key)
            batch = task.sample(batch_key, data)
            loss, gradient = task.value_and_grad(params, loss_key, batch)
            updates, state = optimizer.update(gradient, state, params)
            return (optax.apply_updates(params, updates), state), loss

        return jax.lax.scan(step, carry, keys)

    init_keys, step_keys = _keys(keys, chunks * length)
    over_init = jax.jit(jax.vmap(jax.vmap(init, (None, 0)), (0, None)))

    def all_runs(thetas: Any, carry: Any, keys: jax.Array, data: Any) -> tuple[Any, jax.Array]:
        count, seeds = jax.tree.leaves(thetas)[0].shape[0], keys.shape[0]
        flat = jax.tree.map(lambda x: x.reshape((count * seeds, *x.shape[2:])), carry)
        theta_of, seed_of = (i.ravel() for i in jnp.indices((count, seeds)))

        def one(of: Any) -> tuple[Any, jax.Array]:
            theta, seed, carry = of
            return run(jax.tree.map(lambda x: x[theta], thetas), carry, keys[seed], data)

        batch = pairs_at_once(flat)
        each = (theta_of, seed_of, flat)
        found = jax.vmap(one)(each) if batch == count * seeds else jax.lax.map(
            one, each, batch_size=batch if batch > 1 else None
        )  # fmt: skip
        return jax.tree.map(lambda x: x.reshape((count, seeds, *x.shape[1:])), found)

    over_all = jax.jit(all_runs, donate_argnums=1, compiler_options=compiler_options())
    carry, parts = over_init(thetas, init_keys), []
    for chunk in range(chunks):
        drawn = step_keys[:, chunk * length : (chunk + 1) * length]
        carry, losses = over_all(thetas, carry, drawn, task.data)
        parts.append(np.asarray(losses))
        advance(length * losses.shape[0])
        if np.isnan(parts[-1][..., -1]).all():  # of which nothing else can come
            rest = (*losses.shape[:-1], (chunks - 1 - chunk) * length)
            parts.append(np.full(rest, np.nan, np.float32))
            break
    return np.concatenate(parts, axis=-1)[..., :steps]


def _keys(keys: jax.Array, steps: int) -> tuple[jax.Array, jax.Array]:
    """For each seed the key of its initial parameters and one for every step."""
    split = jax.vmap(jax.random.split)(keys)
    return split[:, 0], jax.vmap(lambda key: jax.random.split(key, steps))(split[:, 1])


def meta_loss(
    curves: NDArray[np.float32], horizon: int, ceiling: float = float("inf")
) -> NDArray[np.float64]:
    """The meta-loss (3) with weights 1/T: the mean loss over the horizon, clipped as in training,
    ``[seeds]``.
    """
    return clipped(curves[:, :horizon], ceiling).astype(np.float64).mean(axis=1)


def clipped(curves: NDArray[np.float32], ceiling: float) -> NDArray[np.float32]:
    """Losses at most `ceiling`, which also stands for NaN."""
    return np.minimum(np.nan_to_num(curves, nan=ceiling), ceiling)


@dataclass(frozen=True)
class Summary:
    """A row of the evaluation table: one optimizer over the held-out seeds."""

    name: str
    meta_loss: NDArray[np.float64]
    at_horizon: NDArray[np.float64]
    at_end: NDArray[np.float64]
    rises: int
    """Seeds whose loss at the end is above that at the horizon, or not finite."""
    diverged: int
    """Seeds whose loss at the end is not finite or above the task's ceiling."""


def summarize(name: str, curves: NDArray[np.float32], horizon: int, ceiling: float) -> Summary:
    """Meta-loss, and the loss around the horizon and at the end, each the mean over the last
    tenth of a horizon.
    """
    window = max(1, horizon // 10)
    at_horizon = curves[:, max(0, horizon - window) : horizon].astype(np.float64).mean(axis=1)
    at_end = curves[:, -window:].astype(np.float64).mean(axis=1)
    return Summary(
        name,
        meta_loss(curves, horizon, ceiling),
        at_horizon,
        at_end,
        rises=int(np.sum(~(at_end <= at_horizon))),
        diverged=int(np.sum(~(np.isfinite(at_end) & (at_end <= ceiling)))),
    )
