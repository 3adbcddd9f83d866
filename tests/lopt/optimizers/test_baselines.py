"""The baselines are optax's, and a random search draws from the space it says."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lopt.optimizers.baselines import HALF_DECADES, NAdamWSpace, adam, nadamw, sgd_momentum


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
