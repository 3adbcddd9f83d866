"""The baselines are optax's, and a random search draws from the space it says."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lopt.optimizers.baselines import HALF_DECADES, NAdamWSpace, adam, nadamw, sgd_momentum
from lopt.optimizers.scheduled import (
    ScheduledNAdamW,
    ScheduledNAdamWSpace,
    scheduled_nadamw,
    scheduled_rate,
)


def test_the_grid_goes_in_half_decades() -> None:
    steps = np.diff(np.log10(HALF_DECADES))
    np.testing.assert_allclose(steps, 0.5, atol=0.03)


def test_draws_are_log_uniform_within_their_bounds() -> None:
    space = NAdamWSpace()
    drawn = space.draw(np.random.default_rng(0), 4000)
    for name, (low, high) in vars(space).items():
        kind = name.removesuffix("_complement")
        values = np.array([getattr(d, kind) for d in drawn])
        values = 1 - values if kind != name else values
        place = (np.log(values) - np.log(low)) / np.log(high / low)
        assert place.min() >= -1e-9
        assert place.max() <= 1 + 1e-9
        # mean 1/2 and variance 1/12 of the uniform distribution, within four standard errors
        assert abs(place.mean() - 0.5) <= 4 * np.sqrt(1 / 12 / len(drawn))
        assert abs(place.var() - 1 / 12) <= 4 * np.sqrt(1 / 180 / len(drawn))


def test_scheduled_draws_obey_their_ranges_and_shares_of_zeros() -> None:
    """Log-uniform where not zero, and zero in the shares of the package's list."""
    space = ScheduledNAdamWSpace()
    drawn = space.draw(np.random.default_rng(0), 4000)
    assert drawn[:7] == space.draw(np.random.default_rng(0), 7)
    zeros = {"weight_decay": 0.31, "l2": 0.36, "warmup": 0.48, "least": 0.49}
    for name, bounds in vars(space).items():
        if not isinstance(bounds, tuple):
            continue
        kind = name.removesuffix("_complement")
        values = np.array([getattr(d, kind) for d in drawn])
        values = 1 - values if kind != name else values
        share = zeros.get(name, 0.0)
        assert abs((values == 0).mean() - share) <= 4 * np.sqrt(share * (1 - share) / len(drawn))
        values = values[values != 0]
        place = np.log(values / bounds[0]) / np.log(bounds[1] / bounds[0])
        assert place.min() >= -1e-9
        assert place.max() <= 1 + 1e-9
        assert abs(place.mean() - 0.5) <= 4 * np.sqrt(1 / 12 / len(values))
    assert not any(d.weight_decay == d.l2 == 0 for d in drawn)
    halves = np.array([d.nesterov for d in drawn])
    assert set(halves) == {0.0, 1.0}
    assert abs(halves.mean() - 0.5) <= 2 / np.sqrt(len(drawn))
    constant = np.array([d.constant for d in drawn])
    assert constant.min() >= 0
    assert constant.max() <= 1
    assert abs(constant.mean() - 0.5) <= 4 * np.sqrt(1 / 12 / len(drawn))


def test_the_schedule_is_optax_s_warm_up_and_cosine() -> None:
    """A warm-up of 20 of 200 steps, constant until 80, a cosine to a tenth; warm-up ends with the
    constant share at the latest.
    """
    c = ScheduledNAdamW(0.5, warmup=0.1, constant=0.4, least=0.1)
    expected = optax.join_schedules(
        [
            optax.linear_schedule(0.0, 0.5, 20),
            optax.constant_schedule(0.5),
            optax.cosine_decay_schedule(0.5, 120, alpha=0.1),
        ],
        [20, 80],
    )
    for step in (0, 1, 19, 20, 50, 80, 81, 140, 199, 200):
        np.testing.assert_allclose(
            scheduled_rate(c, 200, step), expected(step), rtol=1e-5, atol=1e-7
        )
    short = ScheduledNAdamW(1.0, warmup=0.1, constant=0.05)
    np.testing.assert_allclose(scheduled_rate(short, 100, 4), 0.8, rtol=1e-5)
    np.testing.assert_allclose(scheduled_rate(short, 100, 5), 1.0, rtol=1e-5)
    for never in (ScheduledNAdamW(0.3), ScheduledNAdamW(0.3, constant=0.0, least=1.0)):
        np.testing.assert_allclose(scheduled_rate(never, 10, 7), 0.3, rtol=1e-6)


def test_the_second_step_of_scheduled_nadamw_by_hand() -> None:
    """L2 enters the gradient, decay does not, Nesterov mixes in the gradient once more."""
    c = ScheduledNAdamW(0.1, 0.8, 0.9, 1e-2, weight_decay=0.05, l2=0.3, constant=0.0)
    p, g = 2.0, -1.5
    for flag in (0.0, 1.0):
        optimizer = scheduled_nadamw(ScheduledNAdamW(**{**vars(c), "nesterov": flag}), 4)
        state = optimizer.init(jnp.float32(p))
        for _ in range(2):
            step, state = optimizer.update(jnp.float32(g), state, jnp.float32(p))
        whole = g + 0.3 * p
        m, v = (1 - 0.8**2) * whole, (1 - 0.9**2) * whole**2
        ahead = (0.8 * m / (1 - 0.8**3) + 0.2 * whole / (1 - 0.8**2)) if flag else m / (1 - 0.8**2)
        rate = 0.1 * (1 + np.cos(np.pi / 4)) / 2
        size = ahead / (np.sqrt(v / (1 - 0.9**2)) + 1e-2) + 0.05 * p
        np.testing.assert_allclose(step, -rate * size, rtol=1e-5)


def test_one_step_of_each_by_hand() -> None:
    """At the first step Adam moves by its rate; heavy ball's second step is 1.9 times its first."""
    params, gradient = {"w": jnp.ones(2)}, {"w": jnp.array([2.0, -3.0])}

    def steps(optimizer, count):
        state, seen = optimizer.init(params), []
        for _ in range(count):
            updates, state = optimizer.update(gradient, state, params)
            seen.append(np.asarray(updates["w"]))
        return seen

    np.testing.assert_allclose(steps(adam(0.1), 1)[0], [-0.1, 0.1], rtol=1e-5)
    first, second = steps(sgd_momentum(0.1), 2)
    np.testing.assert_allclose(first, [-0.2, 0.3], rtol=1e-6)
    np.testing.assert_allclose(second, 1.9 * first, rtol=1e-6)
    drawn = NAdamWSpace().draw(np.random.default_rng(1), 1)[0]
    expected = optax.nadamw(
        drawn.learning_rate, drawn.b1, drawn.b2, drawn.eps, weight_decay=drawn.weight_decay
    )
    np.testing.assert_array_equal(steps(nadamw(drawn), 1), steps(expected, 1))


def test_bad_bounds() -> None:
    with pytest.raises(ValueError, match="eps must have bounds"):
        NAdamWSpace(eps=(0.0, 1.0))
    with pytest.raises(ValueError, match="b1_complement must be at most 1"):
        NAdamWSpace(b1_complement=(0.1, 2.0))
