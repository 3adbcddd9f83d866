"""Training curves in chunks are those of one scan, and tuning finds the best candidate."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lopt
from lopt.meta.evaluation import curves as evaluate
from lopt.meta.evaluation.curves import held_out_keys, summarize, training_curves
from lopt.meta.evaluation.tuning import TOGETHER, Baseline, baselines, tune
from lopt.optimizers.baselines import HALF_DECADES
from tests.lopt.meta.quick import bowl

# Without noise: gradient descent with rate a shrinks the loss by (1 - a)^2 a step.
SMOOTH = lopt.Task(
    "smooth",
    init=lambda key: jax.random.normal(key, (3,)),
    loss=lambda params, key, batch: 0.5 * jnp.sum(params**2),
    loss_ceiling=1e3,
)


def test_curves_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven steps at once, and in chunks of three, which do not divide them."""
    rates, keys, told = jnp.array([0.1, 0.5]), held_out_keys(2), []
    expected = training_curves(bowl(), optax.sgd, rates, 7, keys)
    monkeypatch.setattr(evaluate, "CHUNK", 3)
    curves = training_curves(bowl(), optax.sgd, rates, 7, keys, told.append)
    assert curves.shape == (2, 2, 7)
    np.testing.assert_allclose(curves, expected, rtol=1e-6)
    assert told == [6, 6, 6]  # two optimizers, and the last chunk is filled up


def test_curves_are_those_of_gradient_descent() -> None:
    curves = training_curves(SMOOTH, optax.sgd, jnp.array([0.25, 1.0]), 5, held_out_keys(3))
    decay = 0.75 ** (2 * np.arange(5))
    np.testing.assert_allclose(curves[0], curves[0, :, :1] * decay, rtol=1e-5)
    np.testing.assert_allclose(curves[1, :, 1:], 0.0, atol=1e-12)


def test_tuning_takes_the_least_meta_loss() -> None:
    """More candidates than run at a time, one that diverges to NaN; rate 1 is the best there is."""
    rates = [1e20, *np.linspace(0.1, 0.9, TOGETHER), 1.0]
    sgd = Baseline(
        "SGD", lambda c: optax.sgd(c["learning_rate"]), [{"learning_rate": r} for r in rates]
    )
    tuned = tune(sgd, SMOOTH, 4, 6, held_out_keys(2))
    assert tuned.constants == {"learning_rate": 1.0}
    assert tuned.curves.shape == (2, 6)
    np.testing.assert_allclose(tuned.curves[:, 1:], 0.0, atol=1e-12)


def test_a_search_covers_its_draws() -> None:
    """Every draw is a candidate, the same ones every time; the best is one of them."""
    adam, momentum, nadamw = baselines(search=20)
    assert [c["learning_rate"] for c in adam.candidates] == list(HALF_DECADES)
    assert adam.candidates == momentum.candidates
    assert len({tuple(c.values()) for c in nadamw.candidates}) == 20
    assert nadamw.candidates == baselines(search=20)[2].candidates
    few = nadamw._replace(candidates=nadamw.candidates[:3])
    keys = held_out_keys(2)
    tuned = tune(few, SMOOTH, 3, 4, keys)
    means = [
        training_curves(
            SMOOTH, nadamw.make, {n: np.float32([v]) for n, v in c.items()}, 3, keys
        ).mean()
        for c in few.candidates
    ]
    assert tuned.constants == few.candidates[int(np.argmin(means))]


def test_diverged_seeds_are_counted() -> None:
    """Above the ceiling, NaN and infinite at the end; one seed only rises, one is well."""
    ends = [5.0, math.nan, math.inf, 1.5, 0.1]
    curves = np.ones((5, 20), np.float32)
    curves[:, 19] = ends
    found = summarize("x", curves, 10, ceiling=2.0)
    assert (found.diverged, found.rises) == (3, 4)
    np.testing.assert_allclose(found.meta_loss, 1.0)
