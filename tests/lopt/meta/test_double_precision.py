"""With 64-bit JAX a run draws the same numbers and ends in the same meta-parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.meta.config import TrainConfig
from lopt.meta.estimators import LogUniform
from lopt.meta.trainer import Trainer
from lopt.tasks.task import Task


@pytest.mark.parametrize("estimator", ["pes", "nres", "full-es", "truncated-backprop"])
def test_a_step_on_the_quadratic_is_the_same_in_either_precision(estimator: str) -> None:
    config = TrainConfig(
        task="quadratic",
        optimizer="linear",
        nominal_step=0.27,
        estimator=estimator,
        horizon=4,
        truncation=2,
        pairs=2,
        outer_steps=1,
        learning_rate=0.1,
        devices=1,
    )
    found = []
    for x64 in (False, True):
        with jax.enable_x64(x64):
            trainer = Trainer(config)
            state, seen = trainer.step(trainer.init(), 0)
            assert state.theta.dtype == jnp.float32
            found.append((np.asarray(state.theta), float(seen["meta_loss"])))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-4)
    assert np.abs(found[0][0]).max() > 0
    assert found[1][1] == pytest.approx(found[0][1], rel=1e-5)


def test_a_task_whose_losses_are_in_double_precision_is_meta_trained() -> None:
    """The meta-parameters stay in single precision, whatever the precision of the losses."""
    with jax.enable_x64(True):
        data = jnp.ones((4, 2), jnp.float64)
        task = Task(
            "double",
            init=lambda key: jnp.ones(2, jnp.float32),
            loss=lambda params, key, batch: jnp.mean((batch @ params.astype(jnp.float64)) ** 2),
            data=data,
        )
        config = TrainConfig(
            task="quadratic", optimizer="linear", horizon=2, truncation=2, pairs=2, devices=1
        )
        trainer = Trainer(config, task)
        state, seen = trainer.step(trainer.init(), 0)
        assert state.theta.dtype == jnp.float32
        assert np.isfinite(float(seen["meta_loss"]))


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
