"""What the hyperparameter controller does to the nominal term at the horizon of meta-training.

    python -m figures.star.controller NAME ...    measure these kept runs of Hyperparam

The first held-out seed of the setting trains over the horizon. On 64 fresh batches the update is
then computed twice from the same state, with the controller and with m_g = 0 in (21). Their ratio
is exp(beta_2 m_g), whatever the nominal term is. The results are in
figures/results/runs/NAME.controller.json.
"""

import sys
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from figures.star.drift import BATCHES, given, main, terms_of, trainer
from lopt.keys import random_key
from lopt.meta.evaluation.curves import held_out_keys
from lopt.optimizers.star_update import MetaParameters, StarConfig, learned_decays, make_star
from lopt.tasks.task import Task


def factors(theta: MetaParameters, config: StarConfig, task: Task, horizon: int) -> Any:
    """The factors exp(beta_2 m_g) of all weights that move at the horizon, on every batch.

    Parameters
    ----------
    theta, config
        Hyperparam, whose update has no blackbox term.
    task, horizon
        What is trained before, and for how many steps.
    """
    controlled = make_star(theta, config)
    plain = make_star(theta, replace(config, nominal_controller=False))
    seed = held_out_keys(1)[0]
    params = task.init(seed)
    carry = params, controlled.init(params)
    carry, _ = trainer(controlled, task, horizon)(carry, seed, task.data)
    both = terms_of(controlled, plain, task)
    found = np.array(
        [both(carry, key, task.data)[1:] for key in jax.random.split(random_key(BATCHES), BATCHES)],
        np.float64,
    )
    gain, without = found[:, 0], found[:, 1]
    moves = without != 0
    return 1 + gain[moves] / without[moves]


def outcome(theta: MetaParameters, config: StarConfig, task: Task, horizon: int) -> dict[str, Any]:
    """The extremes and the spread of the factors, and what else is learned of the nominal term."""
    found = factors(theta, config, task, horizon)
    return {
        "least": float(found.min()),
        "most": float(found.max()),
        "spread": float(found.std()),
        "scale": float(np.exp(theta.log_nominal_scale[0])),
        "momenta": np.asarray(learned_decays(theta, config).momentum, np.float64),
    }


def of_run(name: str) -> dict[str, Any]:
    """The outcome of a kept run of Hyperparam."""
    return outcome(*given(name))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], of_run, "controller", 7))
