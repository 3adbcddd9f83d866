"""Growth along real steps, and the drift of the spectrum, as forecasts beside those of the monitor.

    python -m figures.monitor.growth     measure all cases of `predictions`; a quarter of an hour

writes figures/results/growth.json; `python -m figures predictions` makes the page from both. The
meta-trainings and the cases are those of `predictions`. On three of the six held-out seeds each
optimizer is followed to the horizon: the growth of a tangent gives the largest finite-time exponent
over the last steps, and the eigenvalues of A with the hidden state frozen, on one fixed batch at
the last two states, give the radius and how it changes in a step.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

import lopt
from figures.engine.store import rounded, write
from figures.monitor.growth_table import RESULT, WINDOWS
from figures.monitor.predictions import (
    HORIZON,
    HORIZONS,
    OUTER_STEPS,
    RUNS,
    SEEDS,
    Run,
    make_optimizer,
    meta_train,
    tasks,
)
from lopt.arrays import entry, flat_vector
from lopt.keys import random_key
from lopt.meta.choices import STARS
from lopt.meta.evaluation.curves import held_out_keys
from lopt.meta.training.watch import held
from lopt.monitor.derivatives.joint import update_map
from lopt.monitor.derivatives.step import linearize_loss
from lopt.monitor.growth import carried
from lopt.monitor.inspection.survey import toward
from lopt.monitor.krylov.arnoldi import arnoldi
from lopt.optimizers.compiling import quick_options
from lopt.optimizers.star_response import star_response

VECTORS = 24


class Measured(NamedTuple):
    """Of one trajectory: losses and log growth of every step, eigenvalues of the projections of A
    at the last two states.
    """

    losses: Array
    logs: Array
    projections: Array


def follow(task: lopt.Task, optimizer: str, used: Any, key: Array) -> Measured:
    """Follow an optimizer on one held-out seed to the horizon, as `training_curves` does."""
    transformation = make_optimizer(optimizer, used, fused=False)
    init_key, step_key = jax.random.split(key)
    drawn = jax.vmap(jax.random.split)(jax.random.split(step_key, HORIZONS * HORIZON)[:HORIZON])
    batches = jax.vmap(lambda k: task.sample(k, task.data))(drawn[:, 0]), drawn[:, 1]
    loss, _, fixed = held(task, 1024)
    params = task.init(init_key)
    window = jax.tree.map(lambda x: x[:-1], batches)
    seen, last = carried(
        transformation,
        loss,
        params,
        transformation.init(params),
        window,
        random_key(0),
        vectors=2,
        starts=1,
    )
    after = update_map(transformation, loss, entry(batches, HORIZON - 1))(*last)
    pair = jax.tree.map(lambda a, b: jnp.stack((a, b)), last, after)

    def projection(pair: Any) -> Array:
        (params, state), (theta, constants) = pair, used
        at, unravel = linearize_loss(loss, params, fixed), ravel_pytree(params)[1]
        config = replace(STARS[optimizer], **constants)
        response = star_response(theta, config, params, at.gradient, state)

        def apply(v: Array) -> Array:
            tree = unravel(v)
            return v + flat_vector(response(at.hessian(tree), tree).update)

        gradient = flat_vector(at.gradient)
        start = jax.random.normal(random_key(1), gradient.shape)
        return arnoldi(apply, toward(start, gradient), VECTORS).projection

    return Measured(seen.losses, jnp.log(seen.diagonals[:, 0, 0]), jax.lax.map(projection, pair))


def numbers(found: Measured) -> dict[str, float]:
    """The exponents over the last steps, the radii of A and their changes in one step, and the loss
    around half the horizon and the horizon, which shows that the case is that of `predictions`.
    """
    losses, logs, projections = (np.asarray(x, np.float64) for x in found)
    width = HORIZON // 10
    ends = [_ends(p) for p in projections]
    return {
        **{f"growth {w}": float(logs[-w:].mean()) for w in WINDOWS},
        **ends[1],
        **{f"{name} drift": ends[1][name] - ends[0][name] for name in ends[0]},
        "half": float(losses[HORIZON // 2 - width : HORIZON // 2].mean()),
    }


def _ends(projection: Any) -> dict[str, float]:
    """The radius, and 1 - the smallest real part: of a curvature times a step, whose edge is 2."""
    if not np.isfinite(projection).all():
        return {"radius": float("nan"), "sharpness": float("nan")}
    values = np.linalg.eigvals(projection)
    return {"radius": float(np.abs(values).max()), "sharpness": float(1 - values.real.min())}


def measure(task: lopt.Task, optimizer: str, runs: list[Run]) -> Iterator[dict[str, Any]]:
    """The numbers of every use of a kind of optimizer on a task, a list over the seeds each."""
    keys = held_out_keys(SEEDS)[: SEEDS // 2]
    run = jax.jit(
        lambda used: jax.lax.map(lambda k: follow(task, optimizer, used, k), keys),
        compiler_options=quick_options(0),
    )
    for case in runs:
        for step, theta in zip(OUTER_STEPS, meta_train(case), strict=True):
            found = jax.device_get(run((theta, case.constants())))
            each = [numbers(entry(found, i)) for i in range(len(keys))]
            named = {"task": task.name, "run": case.name, "outer_step": step}
            yield named | {name: rounded([one[name] for one in each], 4) for name in each[0]}


def main() -> None:
    """Measure and store, a task after the other."""
    rows: list[dict[str, Any]] = []
    for task in tasks():
        for optimizer in dict.fromkeys(run.optimizer for run in RUNS):
            rows += measure(task, optimizer, [run for run in RUNS if run.optimizer == optimizer])
            print(f"{optimizer} on {task.name}: {len(rows)} cases", flush=True)
            lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
            write(RESULT, f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
