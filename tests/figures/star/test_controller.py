"""What the controller does, on a network whose head is known."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from figures.star.controller import BATCHES, factors, outcome
from lopt.optimizers.star_update import HYPERPARAM
from lopt.tasks.task import Task

STEPS, SIZE = 10, 3
# With an exponent of one, the head is the logarithm of the factor.
CONFIG = replace(HYPERPARAM, nominal_exponent=1.0, initial_head_scale=0.0)


def with_head(value: float):
    """Meta-parameters whose controller says the same everywhere."""
    theta = CONFIG.init(jax.random.key(0))
    network = theta.network
    biases = (*network.biases[:-1], jnp.full_like(network.biases[-1], value))
    return theta._replace(network=network._replace(biases=biases))


@pytest.mark.parametrize("value", [0.0, math.log(3)])
def test_the_factor_is_the_exponential_of_the_head(parabola: Task, value: float) -> None:
    found = factors(with_head(value), CONFIG, parabola, STEPS)
    assert found.size == BATCHES * SIZE
    np.testing.assert_allclose(found, math.exp(value), rtol=1e-5)


def test_what_is_learned_beside_the_controller_is_reported(parabola: Task) -> None:
    theta = with_head(0.5)._replace(log_nominal_scale=jnp.array([math.log(2.0)]))
    found = outcome(theta, CONFIG, parabola, STEPS)
    assert found["least"] == pytest.approx(math.exp(0.5), rel=1e-5)
    assert found["most"] == pytest.approx(math.exp(0.5), rel=1e-5)
    assert found["spread"] < 1e-5
    assert found["scale"] == pytest.approx(2.0, rel=1e-6)
    np.testing.assert_allclose(found["momenta"], CONFIG.initial_momentum_decays, rtol=1e-5)
