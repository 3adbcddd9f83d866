"""A run that compiles in a second: a noisy bowl, trained by heavy ball with a learned rate."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lopt.meta.config import TrainConfig
from lopt.tasks.task import Task


class Quick(TrainConfig):
    """A configuration whose learned optimizer is heavy ball with the nominal scale as its rate."""

    def make_optimizer(self, theta: Any, *, fused: bool = True) -> Any:
        del fused
        return optax.sgd(1e-2 * jnp.exp(theta.log_nominal_scale[0]), 0.9)


def bowl(nan_above: float = math.inf) -> Task:
    """Three parameters; a rate that moves them beyond `nan_above` gives a loss that is NaN."""

    def loss(params: jax.Array, key: jax.Array, batch: Any) -> jax.Array:
        value = 0.5 * jnp.sum((params - 0.1 * jax.random.normal(key, (3,))) ** 2)
        return jnp.where(jnp.abs(params[0]) > nan_above, jnp.nan, value)

    return Task("bowl", init=lambda key: jax.random.normal(key, (3,)), loss=loss)


def quick(**fields: Any) -> Quick:
    """Two pairs, three inner steps an outer step, a checkpoint every third."""
    values = {
        "optimizer": "hyperparam",
        "horizon": 6,
        "truncation": 3,
        "pairs": 2,
        "outer_steps": 12,
        "checkpoint_every": 3,
        "monitor_every": 0,
    }
    return Quick(**{**values, **fields})
