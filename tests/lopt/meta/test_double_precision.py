"""With 64-bit JAX a run draws the same numbers and ends in the same meta-parameters."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.meta.config import TrainConfig
from lopt.meta.estimators import LogUniform
from lopt.meta.training.trainer import Trainer
from lopt.optimizers.linear import linear
from lopt.tasks.registry import make_task
from lopt.tasks.task import Task


def estimates(estimator: str, task: Task) -> list[Any]:
    """One estimate from the same keys in either precision."""
    found = []
    for x64 in (False, True):
        with jax.enable_x64(x64):
            config = TrainConfig(estimator=estimator, horizon=2, truncation=2, pairs=1, sigma=0.1)
            made = replace(
                config.make_estimator(task), make_optimizer=partial(linear, nominal_step=0.27)
            )
            theta = jnp.full((2, 2), 0.1, jnp.float32)
            state = made.init(theta, jax.random.key(0))
            estimate, _ = made.estimate(theta, state, task.data, jax.random.key(1))
            found.append(estimate)
    return found


@pytest.mark.parametrize("estimator", ["pes", "full-es", "truncated-backprop"])
def test_an_estimate_on_the_quadratic_is_the_same_in_either_precision(estimator: str) -> None:
    single, double = estimates(estimator, make_task("quadratic"))
    assert double.gradient.dtype == jnp.float32
    np.testing.assert_allclose(double.gradient, single.gradient, rtol=1e-4, atol=1e-5)
    assert np.abs(single.gradient).max() > 0.01
    assert float(double.meta_loss) == pytest.approx(float(single.meta_loss), rel=1e-5)


def test_the_gradient_of_losses_in_double_precision_is_that_of_the_meta_parameters() -> None:
    """With what the difference of two losses loses in single precision."""
    scale = np.ones((4, 2))
    task = Task(
        "double",
        init=lambda key: jnp.ones(2, jnp.float32),
        loss=lambda params, key, batch: jnp.mean((batch @ params.astype(batch.dtype)) ** 2),
        data=scale,
    )
    single, double = estimates("pes", task)
    assert double.gradient.dtype == jnp.float32
    np.testing.assert_allclose(double.gradient, single.gradient, rtol=1e-3, atol=1e-4)


def test_the_meta_optimizer_takes_a_step() -> None:
    with jax.enable_x64(True):
        config = TrainConfig(
            task="quadratic", optimizer="linear", horizon=2, truncation=2, pairs=1, devices=1
        )
        trainer = Trainer(config)
        begun = trainer.init()
        before = np.array(begun.theta)
        state, _ = trainer.step(begun, 0)
        assert state.theta.dtype == jnp.float32
        assert np.abs(np.asarray(state.theta) - before).max() > 0


def test_batches_and_lengths_are_drawn_alike_in_either_precision() -> None:
    task = Task("t", lambda key: jnp.ones(1), lambda p, k, b: p.sum(), data=jnp.arange(100))
    drawn = []
    for x64 in (False, True):
        with jax.enable_x64(x64):
            indices = task.indices(jax.random.key(1), 50)
            assert indices.dtype == jnp.int32
            lengths = [
                int(LogUniform(5, 80).draw(jax.random.key(k), jnp.int32(0))) for k in range(9)
            ]
            drawn.append([*np.asarray(indices).ravel().tolist(), *lengths])
    assert drawn[0] == drawn[1]
