"""Inner training curves of any optax optimizer over held-out seeds, and their summary."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from lopt.keys import random_key
from lopt.meta.estimators.together import runs_at_once
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
    count, seeds = jax.tree.leaves(thetas)[0].shape[0], keys.shape[0]
    theta_of, seed_of = (i.ravel() for i in np.indices((count, seeds)))
    runs = Runs(task, make_optimizer)
    found = runs.curves(
        thetas, keys, theta_of, seed_of, steps, lambda taken: advance(taken // seeds)
    )
    return found.reshape(count, seeds, steps)


class Runs:
    """Inner training of several runs at once, each with an optimizer and a seed of its own.

    The program is compiled once for as many runs as are asked for together. The data are an
    argument of it.

    Parameters
    ----------
    task
        The inner problem.
    make_optimizer
        From a slice of `thetas` to an optax transformation.
    chunk
        Inner steps between two reports of progress.
    """

    def __init__(
        self,
        task: Task,
        make_optimizer: Callable[[Any], optax.GradientTransformation],
        chunk: int | None = None,
    ) -> None:
        self.task, self.make_optimizer, self.chunk = task, make_optimizer, chunk or CHUNK
        self._begin = jax.jit(self._all_begin)
        self._advance = jax.jit(
            self._all_advance, donate_argnums=2, compiler_options=compiler_options()
        )

    def bytes_each(self, thetas: Any) -> int:
        """The size of the parameters and of the optimizer's state of one run."""
        made = jax.eval_shape(self._init, jax.tree.map(lambda x: x[0], thetas), random_key(0))
        return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(made))

    def at_once(self, thetas: Any, count: int) -> int:
        """How many of `count` runs advance at once, a divisor of `count` (see `runs_at_once`)."""
        index = jax.ShapeDtypeStruct((count,), jnp.int32)
        keys = jax.eval_shape(lambda: jax.random.split(random_key(0), 1))
        return runs_at_once(jax.eval_shape(self._all_begin, thetas, keys, index, index), self.task)

    def curves(
        self,
        thetas: Any,
        keys: jax.Array,
        theta_of: Any,
        seed_of: Any,
        steps: int,
        advance: Callable[[int], None] = lambda steps: None,
    ) -> NDArray[np.float32]:
        """Training losses ``[runs, steps]`` of the pairs of a slice of `thetas` and one of `keys`
        whose indices are given; `advance` is told the steps that each chunk has taken together.
        """
        chunks = -(-steps // self.chunk)
        length = -(-steps // chunks)
        theta_of, seed_of = (jnp.asarray(of, jnp.int32) for of in (theta_of, seed_of))
        init_keys, step_keys = _keys(keys, chunks * length)
        carry, parts = self._begin(thetas, init_keys, theta_of, seed_of), []
        for chunk in range(chunks):
            drawn = step_keys[:, chunk * length : (chunk + 1) * length]
            of = (theta_of, seed_of)
            carry, losses = self._advance(thetas, of, carry, drawn, self.task.data)
            parts.append(np.asarray(losses))
            advance(length * losses.shape[0])
            if np.isnan(parts[-1][..., -1]).all():  # of which nothing else can come
                rest = (losses.shape[0], (chunks - 1 - chunk) * length)
                parts.append(np.full(rest, np.nan, np.float32))
                break
        return np.concatenate(parts, axis=-1)[..., :steps]

    def _init(self, theta: Any, key: jax.Array) -> tuple[Any, Any]:
        params = self.task.init(key)
        return params, self.make_optimizer(theta).init(params)

    def _all_begin(self, thetas: Any, keys: jax.Array, theta_of: Any, seed_of: Any) -> Any:
        own = jax.tree.map(lambda x: x[theta_of], thetas)
        return jax.vmap(self._init)(own, keys[seed_of])

    def _run(self, theta: Any, carry: Any, keys: jax.Array, data: Any) -> tuple[Any, jax.Array]:
        return trained(self.task, self.make_optimizer(theta), carry, keys, data)

    def _all_advance(
        self, thetas: Any, of: Any, carry: Any, keys: jax.Array, data: Any
    ) -> tuple[Any, jax.Array]:
        def one(of: Any) -> tuple[Any, jax.Array]:
            (theta, seed), carry = of
            own = jax.tree.map(lambda x: x[theta], thetas)
            return self._run(own, carry, keys[seed], data)

        batch, each = runs_at_once(carry, self.task), (of, carry)
        if batch == of[0].shape[0]:
            return jax.vmap(one)(each)
        return jax.lax.map(one, each, batch_size=batch if batch > 1 else None)


def trained(
    task: Task, optimizer: optax.GradientTransformation, carry: Any, keys: jax.Array, data: Any
) -> tuple[Any, jax.Array]:
    """Take a step for each key from parameters and state; return both, and the losses ``[steps]``,
    each before its step.
    """

    def step(carry: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        params, state = carry
        loss, gradient = drawn_gradient(task, params, key, data)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), loss

    return jax.lax.scan(step, carry, keys)


def drawn_gradient(task: Task, params: Any, key: jax.Array, data: Any) -> tuple[jax.Array, Any]:
    """Loss and gradient on a batch that the key draws."""
    batch_key, loss_key = jax.random.split(key)
    return task.value_and_grad(params, loss_key, task.sample(batch_key, data))


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


def clipped(curves: NDArray[Any], ceiling: float) -> NDArray[Any]:
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
