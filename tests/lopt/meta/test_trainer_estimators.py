"""The configuration picks the estimator, and the trainer hands on what every one of them sees."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lopt
from lopt.meta.choices import ESTIMATORS, EXACT
from lopt.meta.config import TrainConfig
from lopt.meta.estimators import (
    PES,
    Constant,
    FullBackprop,
    FullES,
    Growing,
    LogUniform,
    TruncatedBackprop,
)
from lopt.meta.training.trainer import Trainer

BOWL = lopt.Task(
    "bowl",
    init=lambda key: jax.random.normal(key, (3,)),
    loss=lambda params, key, batch: jnp.sum(params**2) / 2,
)


def test_the_configuration_picks_the_estimator() -> None:
    def made(name: str) -> Any:
        return TrainConfig(estimator=name, horizon=30, pairs=4, sigma=0.02).make_estimator(BOWL)

    for name, persistent, noise in (
        ("pes", True, "individual"),
        ("nres", True, "shared"),
        ("truncated-es", False, "individual"),
    ):
        pes = made(name)
        assert isinstance(pes, PES)
        assert (pes.persistent, pes.noise, pes.sigma) == (persistent, noise, 0.02)
        assert pes.inner_steps == 2 * 4 * 50
    for name, kind, steps in (
        ("full-es", FullES, 2 * 4 * 30),
        ("truncated-backprop", TruncatedBackprop, 4 * 50),
        ("full-backprop", FullBackprop, 4 * 30),
    ):
        assert isinstance(made(name), kind)
        assert made(name).inner_steps == steps
        assert made(name).horizon == Constant(30)


def test_the_configuration_picks_the_schedule() -> None:
    config = TrainConfig(horizon=30, outer_steps=1000)
    assert config.make_schedule() == Constant(30)
    random = replace(config, horizon_schedule="log-uniform", horizon_min=5)
    assert random.make_schedule() == LogUniform(5, 30)
    growing = replace(config, horizon_schedule="growing", horizon_min=5, horizon_growth=0.25)
    assert growing.make_schedule() == Growing(5, 30, over=250)
    assert replace(growing, outer_steps=1).make_schedule() == Growing(5, 30, over=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"estimator": "es"}, "estimator must be one of pes, nres, .*; it is 'es'"),
        ({"horizon_schedule": "x"}, "horizon_schedule must be one of constant, log-uniform"),
        ({"horizon_schedule": "growing"}, "horizon_schedule growing needs horizon_min"),
        ({"horizon_min": 5}, "horizon_min is 5, but horizon_schedule is constant"),
        (
            {"horizon_schedule": "log-uniform", "horizon_min": 501},
            "horizon_min must be from 1 to the horizon; it is 501",
        ),
        ({"horizon_growth": 0.0}, r"horizon_growth must be in \(0, 1\]; it is 0.0"),
    ],
)
def test_bad_configuration(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(**change)


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name != EXACT])
def test_an_outer_step_of_every_estimator(name: str) -> None:
    """Its shapes, traced and not compiled: the state keeps its own, so that it can go on."""
    config = TrainConfig(
        estimator=name,
        horizon=6,
        horizon_schedule="log-uniform",
        horizon_min=2,
        truncation=3,
        pairs=5,
        optimizer="hyperparam",
    )
    trainer = Trainer(config, BOWL)
    state = jax.eval_shape(trainer.init)
    after, seen = jax.eval_shape(trainer._outer_step, state, (), jnp.uint32(0))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
        lambda x: (x.shape, x.dtype), state
    )
    assert all(x.shape[0] == 5 for x in jax.tree.leaves(state.pairs))
    steps = seen.pop("nonfinite_step")
    assert steps.shape == ((5,) if "backprop" in name else (5, 2))
    assert steps.dtype == jnp.int32
    assert {x.shape for x in seen.values()} == {()}
    # Backpropagation must not meet the fused network, whose derivative is slow to compile.
    make = trainer.estimator.make_optimizer  # type: ignore[attr-defined]
    assert getattr(make, "keywords", {}) == ({"fused": False} if "backprop" in name else {})


def test_a_run_by_backpropagation_learns() -> None:
    """Without noise in the inner problem, outer steps over whole episodes lower the meta-loss."""
    config = TrainConfig(
        estimator="full-backprop",
        horizon=5,
        pairs=2,
        optimizer="hyperparam",
        learning_rate=0.01,
        nominal_step=0.01,
    )
    trainer = Trainer(config, replace(BOWL, init=lambda key: jnp.ones(3)))
    state, losses = trainer.init(), []
    for outer_step in range(8):
        state, seen = trainer.step(state, outer_step)
        losses.append(float(seen["meta_loss"]))
        np.testing.assert_array_equal(seen["nonfinite_step"], [-1, -1])
        assert float(seen["gradient_norm"]) > 0
    assert int(seen["skipped"]) == 0
    assert losses[-1] < losses[0] == pytest.approx(1.5, rel=0.1)
    assert np.all(np.diff(losses) < 0)
    assert state.pairs.outer_step.tolist() == [8, 8]
