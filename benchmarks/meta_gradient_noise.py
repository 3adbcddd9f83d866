"""How much of a meta-gradient is signal: the squared length of its mean over its variance.

    python -m benchmarks.meta_gradient_noise [ESTIMATES]

takes estimates (by default 300) at the initial meta-parameters of normalized STAR, the setting of
`figures.general.meta_runs` on one of its tasks with four pairs and constant steps, and prints for
each variant the ratio |E g|^2 / tr Cov g of one estimate, its inverse, which is how many estimates
make the error of their mean as large as the mean, and the cosine between the means of the odd and
the even ones. The mean square of the mean is corrected for its own noise.
"""

import sys
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray

from figures.general.meta_runs import BUDGET
from lopt.keys import random_key
from lopt.meta.config import TrainConfig

CALM: dict[str, Any] = {"augmentation_min": 0.3, "augmentation_max": 3.0, "horizon": 500}
VARIANTS: dict[str, dict[str, Any]] = {
    "scales 0.1 to 10, PES": {},
    "scales 0.1 to 10, NRES": {"estimator": "nres"},
    "scales 0.3 to 3, horizon 500, NRES": {**CALM, "estimator": "nres"},
    "the same, sigma 0.1": {**CALM, "estimator": "nres", "sigma": 0.1},
    "the same, annealed": {**CALM, "estimator": "nres", "inner_schedule": "cosine"},
    "the same, Blackbox": {**CALM, "estimator": "nres", "optimizer": "blackbox"},
    "the same, Hyperparam": {**CALM, "estimator": "nres", "optimizer": "hyperparam"},
}


def gradients(config: TrainConfig, count: int) -> NDArray[np.float64]:
    """Estimates ``[count, meta-parameters]`` at the start, once all episodes have begun anew."""
    task = config.make_tasks()[0]
    estimator = config.make_estimator(task)
    theta = config.optimizer_config.init(random_key(0))

    def flat(state: Any, data: Any, outer_step: jax.Array) -> tuple[jax.Array, Any]:
        key = jax.random.fold_in(random_key(2), outer_step)
        estimate, state = estimator.estimate(theta, state, data, key)
        return ravel_pytree(estimate.gradient)[0], state

    step, state = jax.jit(flat, donate_argnums=0), jax.jit(estimator.init)(theta, random_key(1))
    found, skipped = [], config.horizon // config.truncation
    for outer_step in range(skipped + count):
        gradient, state = step(state, task.data, np.uint32(outer_step))
        found.append(np.asarray(gradient, np.float64))
    return np.array(found[skipped:])


def main() -> None:
    """Print a line for each variant."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    own = {
        "tasks": (),
        "task": "fashion-mnist-8x8-mlp-32",
        "pairs": 4,
        "inner_schedule": "constant",
    }
    base = TrainConfig(**{**BUDGET, **own})
    for name, changes in VARIANTS.items():
        found = gradients(replace(base, **changes), count)
        mean, variance = found.mean(axis=0), found.var(axis=0, ddof=1).sum()
        signal = max(0.0, mean @ mean - variance / count)
        odd, even = found[::2].mean(axis=0), found[1::2].mean(axis=0)
        cosine = odd @ even / np.linalg.norm(odd) / np.linalg.norm(even)
        needed = f"{variance / signal:.0f}" if signal else "many"
        print(f"{name:38}{signal / variance:8.4f}{needed:>6} estimates, cosine {cosine:.2f}")


if __name__ == "__main__":
    main()
