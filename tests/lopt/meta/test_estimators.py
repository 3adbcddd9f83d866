"""Every estimator's mean is what the mathematics says, at every alignment; see `walk`.

Truncated ES and truncated backpropagation miss what earlier truncations did, by exactly the terms
left out of the closed form; the others are unbiased for the meta-loss smoothed by their noise.
"""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from lopt.meta.estimators import (
    PES,
    FullBackprop,
    FullES,
    Growing,
    LogUniform,
    TruncatedBackprop,
)
from tests.lopt.meta.walk import (
    OFFSET,
    SIGMA,
    THETA,
    Ages,
    constant_step,
    jit,
    loss,
    singles,
    slope,
    task,
    z,
)

theta = jnp.float32(THETA)
OPTIONS: dict[str, dict[str, Any]] = {
    "pes": {},
    "independent": {"antithetic": False},
    "nres": {"noise": "shared"},
    "truncated-es": {"persistent": False},
}
ALIGNMENTS = [(7, 3), (3, 7), (LogUniform(3, 12), 3)]
"""Horizons that are no multiple of the truncation, that are shorter, and some of each kind. The
staggered pairs go through every phase.
"""
PAIRS = 20_000


def truncated(kind: str, horizon: Any, truncation: int, pairs: int, **more: Any) -> Any:
    if kind == "truncated-backprop":
        return TruncatedBackprop(task(), constant_step, horizon, truncation, pairs, **more)
    return PES(task(), constant_step, horizon, truncation, pairs, SIGMA, **OPTIONS[kind], **more)


@cache
def run(kind: str, horizon: Any, truncation: int, pairs: int = PAIRS) -> list:
    """For every outer step the single estimates and what is expected of them given the lengths;
    resets must fall where the lengths say.
    """
    estimator = truncated(kind, horizon, truncation, pairs)
    state = jit(estimator.init)(theta, jax.random.key(0))
    ages = Ages.begin(state.episode.inner_step, state.episode.length)
    step = jit(lambda state, key: singles(estimator, theta, state, key))
    seen = []
    for outer in range(8):
        estimate, state = step(state, jax.random.key(outer + 1))
        expected = ages.truncation(kind, truncation, state.episode.length, SIGMA)
        np.testing.assert_array_equal(ages.inner_step, state.episode.inner_step)
        np.testing.assert_array_equal(ages.length, state.episode.length)
        seen.append((np.asarray(estimate.gradient, np.float64), expected))
    return seen


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize(("horizon", "truncation"), ALIGNMENTS, ids=str)
def test_the_mean_is_the_closed_form(kind: str, horizon: Any, truncation: int) -> None:
    """At every outer step by itself, from the staggered start through two episodes or more."""
    for sample, expected in run(kind, horizon, truncation):
        assert z(sample, expected) < 4


@pytest.mark.parametrize(("horizon", "truncation"), ALIGNMENTS, ids=str)
def test_truncated_backprop_is_the_closed_form(horizon: Any, truncation: int) -> None:
    """Nothing is random here but the lengths, so every particle's gradient is the formula's."""
    for sample, expected in run("truncated-backprop", horizon, truncation, 7):
        np.testing.assert_allclose(sample, expected, rtol=1e-5, atol=1e-6)


def test_truncation_bias_is_what_the_formula_leaves_out() -> None:
    """Over a whole cycle of phases, seven truncations and three episodes: many standard errors
    from the gradient, and no more than the bias of the closed form away.
    """

    def cycle(kind: str, pairs: int = PAIRS) -> np.ndarray:
        """Sample and expectation, without the outer step where episodes begin staggered."""
        return np.stack(run(kind, 7, 3, pairs))[3:].mean(axis=0)

    sample, biased = cycle("truncated-es")
    persistent, true = cycle("pes")
    assert z(persistent, true) < 4
    assert z(sample, true) > 100
    assert z(sample - biased, 0.0) < 4
    sample, biased = cycle("truncated-backprop", 7)
    gradient = smoothed(7, sigma=0.0) / 7
    assert abs(biased.mean() - gradient) > 0.3 * abs(gradient)
    np.testing.assert_allclose(sample.mean() - gradient, biased.mean() - gradient, rtol=1e-5)


def smoothed(length: int, *, sigma: float) -> float:
    """The derivative of an episode's sum of losses under one perturbation."""
    t = np.arange(length)
    return float(np.sum(-t * slope(t, (sigma * t) ** 2)))


def mean_over(schedule: LogUniform, sigma: float) -> float:
    """The expected sum over the expected length."""
    k = np.arange(schedule.shortest, schedule.longest + 1)
    weight = np.log((k + 1) / k)
    return float(weight @ [smoothed(n, sigma=sigma) for n in k] / (weight @ k))


@pytest.mark.parametrize(
    ("horizon", "options"),
    [(6, {}), (6, {"antithetic": False}), (LogUniform(2, 9), {})],
    ids=["antithetic", "independent", "log-uniform"],
)
def test_full_es_is_unbiased(horizon: Any, options: dict) -> None:
    full = FullES(task(), constant_step, horizon, PAIRS, SIGMA, **options)
    state = jit(full.init)(theta, jax.random.key(0))
    sample, after = jit(lambda s, k: singles(full, theta, s, k))(state, jax.random.key(1))
    true = smoothed(6, sigma=SIGMA) / 6 if horizon == 6 else mean_over(horizon, SIGMA)
    assert z(sample.gradient, true) < 4
    if horizon == 6:  # and the smoothing shows
        assert z(sample.gradient, smoothed(6, sigma=0.0) / 6) > 4
    assert after.outer_step.tolist() == [1] * PAIRS


def once(estimator: Any) -> Any:
    """The first estimate."""

    def run(theta: jax.Array) -> Any:
        state = estimator.init(theta, jax.random.key(0))
        return estimator.estimate(theta, state, (), jax.random.key(1))[0]

    return jit(run)(theta)


def test_full_backprop_is_the_gradient() -> None:
    t = np.arange(6)
    estimate = once(FullBackprop(task(), constant_step, 6, 2))
    np.testing.assert_allclose(estimate.gradient, np.mean(-t * slope(t)), rtol=1e-5)
    np.testing.assert_allclose(estimate.meta_loss, loss(t).mean(), rtol=1e-5)


def test_full_backprop_over_random_lengths() -> None:
    full = FullBackprop(task(), constant_step, LogUniform(2, 9), PAIRS)
    state = jit(full.init)(theta, jax.random.key(0))
    sample, _ = jit(lambda s, k: singles(full, theta, s, k))(state, jax.random.key(1))
    assert z(sample.gradient, mean_over(LogUniform(2, 9), 0.0)) < 4


def test_independent_perturbations_without_a_baseline_have_the_same_mean() -> None:
    full = FullES(task(), constant_step, 6, PAIRS, SIGMA, antithetic=False, baseline=False)
    state = jit(full.init)(theta, jax.random.key(0))
    sample, _ = jit(lambda s, k: singles(full, theta, s, k))(state, jax.random.key(1))
    assert z(sample.gradient, smoothed(6, sigma=SIGMA) / 6) < 4


def test_lengths_are_log_uniform() -> None:
    schedule = LogUniform(3, 40)
    draws = jax.vmap(lambda k: schedule.draw(k, jnp.int32(0)))(
        jax.random.split(jax.random.key(3), 40_000)
    )
    k = np.arange(3, 41)
    expected = np.log((k + 1) / k) / np.log(41 / 3)
    counts = np.bincount(np.asarray(draws), minlength=41)
    assert counts[:3].sum() == 0
    assert counts.size == 41
    assert chisquare(counts[3:], expected * 40_000).pvalue > 1e-3
    assert float(schedule.mean(jnp.int32(0))) == pytest.approx(k @ expected, rel=1e-6)


def test_every_pair_draws_its_own_length_at_every_reset() -> None:
    """The states' own lengths, of pairs that have just begun again."""
    schedule = LogUniform(2, 6)
    estimator = truncated("truncated-backprop", schedule, 2, 4000, staggered=False)
    state = jit(estimator.init)(theta, jax.random.key(0))
    assert state.episode.inner_step.max() == 0
    step = jit(estimator.estimate)
    k = np.arange(2, 7)
    expected = np.log((k + 1) / k) / np.log(7 / 2) * 4000
    lengths = [np.asarray(state.episode.length)]
    for outer in range(4):
        _, state = step(theta, state, (), jax.random.key(outer))
        lengths.append(np.asarray(state.episode.length))
        # No noise and no stagger: where a particle stands tells how many steps it has taken.
        position = OFFSET - THETA * np.asarray(state.episode.inner_step)
        np.testing.assert_allclose(state.episode.params, position, atol=1e-5)
    # A first episode of n steps is over at the beginning of step n, in truncation n // 2.
    begun = lengths[0]
    again = np.stack(lengths)[begun // 2 + 1, np.arange(4000)]
    for drawn in (begun, again):
        assert chisquare(np.bincount(drawn, minlength=7)[2:], expected).pvalue > 1e-3
    assert abs(np.corrcoef(begun, again)[0, 1]) < 4 / np.sqrt(4000)


def test_a_growing_length_reaches_its_ends() -> None:
    schedule = Growing(2, 16, over=6)
    lengths = [int(schedule.draw(None, jnp.int32(s))) for s in range(9)]
    assert lengths == [2, 3, 4, 6, 8, 11, 16, 16, 16]  # 2 * 8^(s/6), rounded
    assert [int(schedule.mean(jnp.int32(s))) for s in range(9)] == lengths
    estimator = truncated("truncated-backprop", schedule, 2, 1, staggered=False)
    state, step = jit(estimator.init)(theta, jax.random.key(0)), jit(estimator.estimate)
    seen = []
    for outer in range(12):
        _, state = step(theta, state, (), jax.random.key(outer))
        seen.append(int(state.episode.length[0]))
    # Two steps an outer step: episodes begin at steps 0, 2, 5, 9 and 17, which belong to outer
    # steps 0, 1, 2, 4 and 8.
    assert seen == [2, 3, 4, 4, 8, 8, 8, 8, 16, 16, 16, 16]
    full = FullBackprop(task(), constant_step, schedule, 1)
    state, step = full.init(theta, jax.random.key(0)), jit(full.estimate)
    for length in lengths:
        estimate, state = step(theta, state, (), jax.random.key(0))
        t = np.arange(length)
        np.testing.assert_allclose(estimate.gradient[()], np.mean(-t * slope(t)), rtol=1e-4)


EVERY = ["pes", "nres", "full-es", "truncated-backprop", "full-backprop"]


def small(kind: str, pairs: int = 4, **changes: Any) -> Any:
    """A few pairs of log-uniform episodes on the walk from random starts."""
    walk = task(init=lambda key: OFFSET + jax.random.normal(key), **changes)
    horizon, truncation = LogUniform(2, 5), 3
    match kind:
        case "full-es":
            return FullES(walk, constant_step, horizon, pairs, SIGMA)
        case "full-backprop":
            return FullBackprop(walk, constant_step, horizon, pairs)
        case "truncated-backprop":
            return TruncatedBackprop(walk, constant_step, horizon, truncation, pairs)
    return PES(walk, constant_step, horizon, truncation, pairs, SIGMA, **OPTIONS[kind])


@pytest.mark.parametrize("kind", EVERY)
def test_two_halves_are_the_whole(kind: str) -> None:
    """Each half, told where it begins, draws what the whole draws."""
    estimator, key = small(kind), jax.random.key(9)

    @jit
    def both(theta: jax.Array) -> Any:
        whole = estimator.init(theta, jax.random.key(0))
        halves = jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]), whole)
        split = jax.vmap(estimator.estimate, in_axes=(None, 0, None, None, 0))
        parts = split(theta, halves, (), key, jnp.array([0, 2]))
        return estimator.estimate(theta, whole, (), key), parts

    (expected, after), (found, states) = both(theta)
    for name in ("gradient", "meta_loss", "diverged"):
        mean = np.mean(getattr(found, name))
        np.testing.assert_allclose(mean, getattr(expected, name), rtol=2e-5)
    assert expected.nonfinite_step.shape == (4,) if "backprop" in kind else (4, 2)
    assert found.nonfinite_step.shape[2:] == expected.nonfinite_step.shape[1:]
    for parts, one in zip(jax.tree.leaves(states), jax.tree.leaves(after), strict=True):
        np.testing.assert_allclose(np.concatenate(parts), one, rtol=1e-6)


@pytest.mark.parametrize("kind", ["pes", "full-es", "truncated-backprop"])
def test_normalization_scales_the_gradient_and_not_the_reported_loss(kind: str) -> None:
    @jit
    def run(scale: float, offset: float) -> Any:
        estimator = small(kind, normalize=lambda x: scale * x + offset, loss_ceiling=2.0)
        state = estimator.init(theta, jax.random.key(0))
        return estimator.estimate(theta, state, (), jax.random.key(1))[0]

    plain, scaled = run(1.0, 0.0), run(3.0, 1.0)
    np.testing.assert_allclose(scaled.gradient, 3.0 * plain.gradient, rtol=1e-4)
    np.testing.assert_allclose(scaled.meta_loss, plain.meta_loss, rtol=1e-6)
    assert float(plain.meta_loss) < 2.0
    assert 0 < float(plain.diverged) == float(scaled.diverged) < 1


def test_the_clipped_loss_is_normalized() -> None:
    """d/dtheta mean log min(loss, ceiling): only losses below the ceiling count."""
    ceiling, t = 1.5, np.arange(6)
    walk = task(normalize=jnp.log, loss_ceiling=ceiling)
    estimate = once(FullBackprop(walk, constant_step, 6, 1))
    high = loss(t) > ceiling
    assert 0 < np.sum(high) < 6
    terms = np.where(high, 0.0, -t * slope(t) / loss(t))
    np.testing.assert_allclose(estimate.gradient, terms.mean(), rtol=1e-5)
    np.testing.assert_allclose(estimate.meta_loss, np.minimum(loss(t), ceiling).mean(), rtol=1e-6)
    np.testing.assert_allclose(estimate.diverged, np.mean(high), rtol=1e-6)


FIRST = 5
"""The walk is at 2, 1.7, ..., 0.8, 0.5: below 0.65 at step 5 first."""


def broken(phi: jax.Array, key: jax.Array, batch: Any) -> jax.Array:
    return jnp.log(phi - 0.65)


@pytest.mark.parametrize("kind", ["pes", "truncated-backprop"])
def test_the_step_that_broke_is_told_until_its_episode_is_over(kind: str) -> None:
    """Truncations of three steps of episodes of eight: 0-2, 3-5, 6-7 and 0, 1-3, 4-6."""
    walk = task(loss=broken, loss_ceiling=9.0)
    if kind == "pes":
        estimator: Any = PES(walk, constant_step, 8, 3, 1, 1e-6)
    else:
        estimator = TruncatedBackprop(walk, constant_step, 8, 3, 1)
    state, step = jit(estimator.init)(theta, jax.random.key(0)), jit(estimator.estimate)
    seen = []
    for outer in range(5):
        estimate, state = step(theta, state, (), jax.random.key(outer))
        seen.append(np.unique(estimate.nonfinite_step).item())
        assert float(estimate.diverged) == pytest.approx([0, 1 / 3, 2 / 3, 0, 2 / 3][outer])
    assert seen == [-1, FIRST, FIRST, -1, FIRST]


def test_each_particle_tells_its_own_step() -> None:
    """The two runs of a pair break at different steps; each where its own theta says."""
    estimator = PES(
        task(loss=broken), constant_step, 20, 20, 6, 0.05, noise="shared", staggered=False
    )

    @jit
    def run(theta: jax.Array) -> Any:
        state = estimator.init(theta, jax.random.key(0))
        return state, estimator.estimate(theta, state, (), jax.random.key(1))[0]

    state, estimate = run(theta)
    position = OFFSET - np.arange(20) * (THETA + np.asarray(state.perturbation)[..., None])
    np.testing.assert_array_equal(estimate.nonfinite_step, np.argmax(position < 0.65, axis=-1))
    assert np.unique(estimate.nonfinite_step).size > 2
    full = once(FullES(task(loss=broken), constant_step, LogUniform(2, 7), 40, 1e-6))
    # Only pairs whose episode is longer than FIRST steps ever meet it.
    assert set(np.unique(full.nonfinite_step).tolist()) == {-1, FIRST}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogUniform(5, 3), "1 <= shortest <= longest; they are 5 and 3"),
        (lambda: Growing(0, 3, over=1), "1 <= shortest"),
        (lambda: Growing(2, 3, over=0), "over must be at least 1"),
        (lambda: small("full-es", pairs=0), "pairs must be at least 1"),
        (lambda: small("full-backprop", pairs=0), "particles must be at least 1"),
        (lambda: small("truncated-backprop", pairs=0), "particles must be at least 1"),
        (lambda: FullES(task(), constant_step, 5, 1, -1.0), "sigma must be positive"),
        (lambda: FullBackprop(task(), constant_step, 0, 1), "horizon must be at least 1"),
        (lambda: PES(task(), constant_step, 5, 1, 1, 0.1, noise="x"), "noise must be"),  # type: ignore[arg-type]
        (
            lambda: PES(task(), constant_step, 5, 1, 1, 0.1, noise="shared", persistent=False),
            "persistent must be True where noise is shared",
        ),
    ],
)
def test_bad_arguments(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
