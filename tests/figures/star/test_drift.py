"""The drift of STAR's terms, on a quadratic whose terms are known."""

import jax
import numpy as np
import optax
import pytest

from figures.star.drift import PLACES, drift

GROWTH, RATE, HORIZON = 0.01, 0.1, 10


def term(push, gain) -> optax.GradientTransformation:
    """Moves by `push` times the parameters minus `gain` times the gradient."""

    def update(gradient, state, params):
        return jax.tree.map(lambda g, p: push * p - gain * g, gradient, params), state

    return optax.GradientTransformation(lambda params: (), update)


@pytest.fixture(scope="module")
def found(parabola):
    whole, silent, push = (term(*x) for x in ((GROWTH, RATE), (0, RATE), (GROWTH, 0)))
    return drift(whole, silent, push, parabola, HORIZON)


def test_a_push_along_the_weights_is_seen_as_one(found) -> None:
    shrink = 1 + GROWTH - RATE
    for place, point in zip(PLACES, found["points"], strict=True):
        steps = int(place * HORIZON)
        size = np.sqrt(14 / 3) * shrink**steps
        assert point["step"] == steps
        assert point["weights"] == pytest.approx(size, rel=1e-4)
        assert point["blackbox"] == pytest.approx(GROWTH * size, rel=1e-4)
        assert point["nominal"] == pytest.approx(RATE * size, rel=1e-4)
        # The gradient of this loss is the weights.
        assert point["along_weights"] == pytest.approx(1, abs=1e-6)
        assert point["along_gradient"] == pytest.approx(1, abs=1e-6)


def test_without_the_term_the_training_goes_on_from_four_horizons(found) -> None:
    shrink, calm = 1 + GROWTH - RATE, 1 - RATE
    # The loss of the last step's batch is taken before the step; a tenth of a horizon is one step.
    before, after = 4 * HORIZON, 6 * HORIZON - 1
    assert found["final"] == pytest.approx(7 * shrink ** (2 * (before + after)), rel=1e-3)
    assert found["silent_final"] == pytest.approx(
        7 * shrink ** (2 * before) * calm ** (2 * after), rel=1e-3
    )
