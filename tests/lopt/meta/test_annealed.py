"""Episodes whose steps fall as a cosine: the trajectory and the meta-gradient in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.meta import Annealed, Constant, FullBackprop, Growing, LogUniform, TrainConfig
from lopt.meta.estimators.unroll import InnerLoop, Keys
from tests.lopt.meta.walk import THETA, constant_step, jit, loss, slope, task

LENGTH = 6


def travelled(length: int) -> np.ndarray:
    """The sum of the factors before each step: sum_{j<k} cos(pi j / n) by Lagrange's identity."""
    k = np.arange(length)
    cosines = 0.5 + np.sin(np.pi * (2 * k - 1) / (2 * length)) / (2 * np.sin(np.pi / (2 * length)))
    return (k + cosines) / 2


@pytest.mark.parametrize("lengths", [Constant(LENGTH), Growing(LENGTH, LENGTH, 1)], ids=repr)
def test_each_episode_begins_at_full_steps_and_ends_near_zero(lengths) -> None:
    """Over two and a half episodes, whether or not their ends are known in advance."""
    inner = InnerLoop(task(), constant_step, Annealed(lengths))
    steps = LENGTH if isinstance(lengths, Constant) else 5
    assert inner.aligned(steps) == isinstance(lengths, Constant)

    @jit
    def unroll(episode, outer_step):
        keys = Keys(*jax.random.split(jax.random.fold_in(jax.random.key(0), outer_step), 4))
        theta = jnp.float32(THETA)
        return inner.unroll(theta, None, episode, (), keys, outer_step, steps=steps)

    episode, seen = inner.begin(jnp.float32(THETA), jax.random.key(1), jnp.int32(LENGTH)), []
    for outer_step in range(3):
        trace, episode = unroll(episode, jnp.int32(outer_step))
        seen.extend(np.asarray(trace.losses))
    expected = loss(np.tile(travelled(LENGTH), 3))
    np.testing.assert_allclose(seen, expected[: len(seen)], rtol=1e-5)


def test_backpropagation_has_the_gradient_in_closed_form() -> None:
    """d/dtheta of the mean loss: the mean of -S_k dloss/dphi, S_k the sum of the factors."""
    estimator = FullBackprop(task(), constant_step, Annealed(Constant(LENGTH)), 1)
    theta, key = jnp.float32(THETA), jax.random.key(0)
    found, _ = jit(estimator.estimate)(theta, estimator.init(theta, key), (), key)
    s = travelled(LENGTH)
    np.testing.assert_allclose(found.gradient, np.mean(-s * slope(s)), rtol=1e-5)
    np.testing.assert_allclose(found.meta_loss, np.mean(loss(s)), rtol=1e-5)


def test_the_configuration_names_it() -> None:
    config = TrainConfig(inner_schedule="cosine", horizon=40)
    assert config.make_schedule() == Annealed(Constant(40))
    mixed = TrainConfig(
        inner_schedule="cosine", horizon=40, horizon_schedule="log-uniform", horizon_min=5
    )
    assert mixed.make_schedule() == Annealed(LogUniform(5, 40))
    with pytest.raises(ValueError, match="inner_schedule must be one of constant, cosine"):
        TrainConfig(inner_schedule="linear")
    with pytest.raises(ValueError, match="estimator exact knows no inner_schedule"):
        TrainConfig(
            task="quadratic", optimizer="linear", estimator="exact", inner_schedule="cosine"
        )
