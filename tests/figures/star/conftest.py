"""What the tests of measured runs share."""

import jax
import jax.numpy as jnp
import pytest

from lopt.tasks.task import Task


@pytest.fixture(scope="session")
def parabola() -> Task:
    """A loss whose gradient is the parameters, three numbers whose squares add up to 14."""
    return Task(
        name="parabola",
        init=lambda key: {"w": jnp.array([1.0, -2.0]), "b": jnp.array(3.0)},
        loss=lambda params, key, batch: sum(0.5 * jnp.sum(p**2) for p in jax.tree.leaves(params)),
        data=(),
        batch_size=1,
        loss_ceiling=1e3,
    )
