"""Where the two terms of STAR's update move the weights beyond the horizon of meta-training.

    python -m figures.star.drift NAME ...    measure these kept runs of figures.star.meta_runs

The first held-out seed of the setting trains for ten horizons. At several steps on the way the
terms of (21) and (22) are computed on 64 fresh batches from the same state: the mean over the
batches is where a term moves the weights, the deviation from it is noise of the gradient. From four
horizons on the training is repeated with the blackbox term left out. The results are in
figures/results/runs/NAME.drift.json.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from figures.engine.store import rounded, write
from figures.star.meta_runs import KEPT, experiments
from figures.star.settings import setting_of
from lopt.arrays import flat_vector
from lopt.keys import random_key
from lopt.meta.evaluation.curves import drawn_gradient, held_out_keys, trained
from lopt.optimizers.compiling import compiler_options
from lopt.optimizers.files.saved import load
from lopt.optimizers.star_update import MetaParameters, StarConfig, make_blackbox, make_star
from lopt.tasks.registry import make_task
from lopt.tasks.task import Task

BATCHES = 64
# Where the terms are measured, in horizons; the blackbox term is left out from SILENT on.
PLACES, SILENT, END = (0.5, 1, 2, 4, 10), 4, 10


def drift(optimizer: Any, silent: Any, blackbox: Any, task: Task, horizon: int) -> dict[str, Any]:
    """Train for ten horizons and measure where the terms move the weights.

    Parameters
    ----------
    optimizer, silent, blackbox
        The optimizer, the same without its blackbox term, and that term alone; all over one state.
    task
        The inner problem.
    horizon
        A multiple of 10.

    Returns
    -------
    dict
        For each of PLACES the root mean squares of the weights and of both terms' means over
        batches, and the cosines of the blackbox term's mean with the weights and with the gradient;
        the loss over the last tenth of a horizon, with the blackbox term and without it.
    """
    seed = held_out_keys(1)[0]
    params = task.init(seed)
    carry = params, optimizer.init(params)
    train, terms = trainer(optimizer, task, horizon // 10), terms_of(optimizer, blackbox, task)
    part, found, branch = 0, [], carry
    for place in PLACES:
        while part < 10 * place:
            carry, loss = train(carry, jax.random.fold_in(seed, part), task.data)
            part += 1
        found.append({"step": part * horizon // 10, **measured(terms, task, carry)})
        if place == SILENT:
            branch = carry
    quiet = trainer(silent, task, horizon // 10)
    for later in range(10 * SILENT, 10 * END):
        branch, without = quiet(branch, jax.random.fold_in(seed, later), task.data)
    return {"points": found, "final": float(loss), "silent_final": float(without)}


def trainer(optimizer: Any, task: Task, length: int) -> Callable[..., Any]:
    """A program for so many steps from a carry, which returns the mean loss too."""

    @jax.jit(compiler_options=compiler_options())
    def train(carry: Any, key: jax.Array, data: Any) -> Any:
        carry, losses = trained(task, optimizer, carry, jax.random.split(key, length), data)
        return carry, losses.mean()

    return train


def terms_of(optimizer: Any, blackbox: Any, task: Task) -> Callable[..., Any]:
    """A program for gradient, nominal and blackbox term on a batch, the rows of a matrix."""

    @jax.jit
    def terms(carry: Any, key: jax.Array, data: Any) -> Any:
        params, state = carry
        _, gradient = drawn_gradient(task, params, key, data)
        whole, part = (
            flat_vector(one.update(gradient, state, params)[0]) for one in (optimizer, blackbox)
        )
        return jnp.stack([flat_vector(gradient), whole - part, part])

    return terms


def measured(terms: Callable[..., Any], task: Task, carry: Any) -> dict[str, float]:
    """The sizes of weights and of the terms' means over batches, and cosines of the blackbox
    term's mean.
    """
    keys = jax.random.split(random_key(BATCHES), BATCHES)
    found = np.array([terms(carry, key, task.data) for key in keys])
    gradient, nominal, part = found.mean(axis=0, dtype=np.float64)
    weights = np.asarray(flat_vector(carry[0]), np.float64)
    return {
        "weights": rms(weights),
        "nominal": rms(nominal),
        "blackbox": rms(part),
        "along_weights": cosine(part, weights),
        "along_gradient": cosine(part, gradient),
    }


def rms(x: Any) -> float:
    """The root mean square.

    Examples
    --------
    >>> rms(np.array([3.0, -3.0]))
    3.0
    """
    return float(np.sqrt(np.square(x).mean()))


def cosine(x: Any, y: Any) -> float:
    """The cosine of the angle between two vectors, which are not zero.

    Examples
    --------
    >>> cosine(np.array([1.0, 0.0]), np.array([-2.0, 0.0]))
    -1.0
    """
    return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))


def given(name: str) -> tuple[MetaParameters, StarConfig, Task, int]:
    """The meta-parameters of a kept run, their configuration, and the task and horizon of use."""
    config, setting = experiments()[name].optimizer_config, setting_of(name)
    assert isinstance(config, StarConfig)
    theta = load(KEPT / f"{name}.npz").meta_parameters
    return theta, config, make_task(setting.task), setting.horizon


def of_run(name: str) -> dict[str, Any]:
    """The drift of a kept run of STAR."""
    theta, config, task, horizon = given(name)
    return drift(
        make_star(theta, config),
        make_star(theta, replace(config, blackbox_step=0.0)),
        make_blackbox(theta, config),
        *(task, horizon),
    )


def main(
    names: list[str],
    measure: Callable[[str], dict[str, Any]] = of_run,
    what: str = "drift",
    digits: int = 5,
) -> int:
    """Measure the runs that are named and keep the results; return the exit code."""
    for name in names:
        text = json.dumps(rounded(measure(name), digits))
        write(KEPT / f"{name}.{what}.json", f"{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
