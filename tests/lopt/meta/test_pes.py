"""PES is unbiased where the true meta-gradient is known, and truncated ES visibly is not.

The inner problem walks: phi' = phi - theta from phi_0 = 2 with the loss phi^2 / 2. After t steps
that is (2 - t theta)^2 / 2, quadratic in theta and in the perturbations, so that the estimate's
mean is exactly the gradient, whatever sigma is.
"""

import math
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lopt
from lopt.optimizers.star_update import STAR
from tests.xla import SHIPPED

THETA = 0.3
OFFSET = 2.0


def constant_step(theta: jax.Array) -> optax.GradientTransformation:
    """phi' = phi - theta, whatever the gradient is."""
    return optax.GradientTransformation(
        lambda params: optax.EmptyState(),
        lambda g, state, params=None: (jax.tree.map(lambda x: -theta * jnp.ones_like(x), g), state),
    )


def task(ceiling: float = math.inf) -> lopt.Task:
    return lopt.Task(
        "walk",
        init=lambda key: jnp.full((1,), OFFSET, jnp.float32),
        loss=lambda params, key, batch: 0.5 * jnp.sum(params**2),
        loss_ceiling=ceiling,
    )


def true_gradient(horizon: int) -> float:
    """d/dtheta of mean_t (OFFSET - t theta)^2 / 2 over t = 0 .. horizon-1."""
    t = np.arange(horizon)
    return float(np.mean(-t * (OFFSET - t * THETA)))


@cache
def estimates(horizon: int, truncation: int, persistent: bool) -> np.ndarray:
    """The estimates of single pairs, averaged over a whole cycle of alignments: [pairs]."""
    pairs = 20_000
    pes = lopt.PES(task(), constant_step, horizon, truncation, pairs, 0.1, persistent=persistent)
    theta = jnp.float32(THETA)
    cycle = math.lcm(horizon, truncation) // truncation
    state = pes.init(theta, jax.random.key(0))

    # Without optimization, equal formulas may differ in the last digit.
    @partial(jax.jit, compiler_options=SHIPPED)
    def step(state, key):
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(pairs))
        estimate, state = jax.vmap(pes._pair, in_axes=(None, 0, None, 0))(theta, state, (), keys)
        return estimate.gradient, state

    total = np.zeros(pairs)
    burn = -(-horizon // truncation)  # the staggered first episodes start in their middle
    for outer in range(burn + cycle):
        gradient, state = step(state, jax.random.key(outer + 1))
        if outer >= burn:
            total += np.asarray(gradient, np.float64)
    return total / cycle


ALIGNMENTS = [(6, 3), (7, 3), (5, 5), (3, 7), (4, 1), (10, 4)]


@pytest.mark.parametrize(("horizon", "truncation"), ALIGNMENTS)
def test_pes_is_unbiased_at_every_alignment(horizon: int, truncation: int) -> None:
    """Horizons that are a multiple of the truncation, that are not, and that are shorter."""
    sample = estimates(horizon, truncation, True)
    error = sample.std(ddof=1) / math.sqrt(sample.size)
    assert abs(sample.mean() - true_gradient(horizon)) < 4 * error
    assert error < 0.1 * abs(true_gradient(horizon))


@pytest.mark.parametrize(("horizon", "truncation"), [(6, 3), (10, 4), (4, 1)])
def test_truncated_es_is_biased(horizon: int, truncation: int) -> None:
    """It misses what earlier truncations did; with one step a truncation it misses everything."""
    sample = estimates(horizon, truncation, False)
    error = sample.std(ddof=1) / math.sqrt(sample.size)
    assert abs(sample.mean() - true_gradient(horizon)) > 10 * error


def test_aligned_pairs_over_the_whole_horizon_need_no_persistence() -> None:
    """With truncation = horizon every pair resets between truncations, and the two are one."""
    np.testing.assert_array_equal(estimates(5, 5, True), estimates(5, 5, False))
    assert np.mean(estimates(5, 3, True) != estimates(5, 3, False)) > 0.99


def test_clipped_everywhere_means_no_gradient() -> None:
    """Where every loss is above the ceiling the estimate is zero, and all count as diverged."""
    pes = lopt.PES(task(ceiling=1e-6), constant_step, 4, 2, 3, 0.1)
    theta = jnp.float32(1e3)
    estimate, _ = pes.estimate(theta, pes.init(theta, jax.random.key(0)), (), jax.random.key(1))
    assert float(estimate.gradient) == 0.0
    assert float(estimate.diverged) == 1.0
    assert float(estimate.meta_loss) == pytest.approx(1e-6)


def test_nan_losses_are_clipped() -> None:
    nan = lopt.Task(
        "nan",
        init=lambda key: jnp.zeros((1,)),
        loss=lambda params, key, batch: jnp.sum(params) * jnp.nan,
        loss_ceiling=3.0,
    )
    pes = lopt.PES(nan, constant_step, 4, 2, 3, 0.1)
    theta = jnp.float32(THETA)
    estimate, _ = pes.estimate(theta, pes.init(theta, jax.random.key(0)), (), jax.random.key(1))
    assert float(estimate.meta_loss) == 3.0
    assert float(estimate.gradient) == 0.0
    assert float(estimate.diverged) == 1.0


def test_the_pairs_start_staggered() -> None:
    """Evenly over the horizon, and in whole truncations where it has a whole number of them."""
    for truncation, expected in ((3, [0, 2, 5, 7]), (2, [0, 2, 4, 6])):
        pes = lopt.PES(task(), constant_step, 10, truncation, 4, 0.1)
        pairs = pes.init(jnp.float32(0), jax.random.key(0))
        assert pairs.episode.inner_step.tolist() == expected


def test_spread_over_devices_is_the_same_estimate() -> None:
    """Two halves, each told where it begins, draw what the whole draws."""
    pes = lopt.PES(task(), constant_step, 6, 3, 4, 0.1)
    theta, key = jnp.float32(THETA), jax.random.key(9)
    whole = pes.init(theta, jax.random.key(0))
    expected, _ = pes.estimate(theta, whole, (), key)
    halves = [jax.tree.map(lambda x, s=s: x[s], whole) for s in (slice(0, 2), slice(2, 4))]
    parts = [
        pes.estimate(theta, h, (), key, first)[0] for h, first in zip(halves, (0, 2), strict=True)
    ]
    mean = np.mean([float(p.gradient) for p in parts])
    assert mean == pytest.approx(float(expected.gradient), rel=1e-5)


@pytest.mark.parametrize(
    "change", [{"horizon": 0}, {"truncation": 0}, {"pairs": 0}, {"sigma": 0.0}, {"sigma": math.nan}]
)
def test_bad_arguments(change: dict) -> None:
    values = {"horizon": 4, "truncation": 2, "pairs": 2, "sigma": 0.1, **change}
    with pytest.raises(ValueError, match=next(iter(change))):
        lopt.PES(task(), constant_step, **values)


def test_small_sigma_gives_the_gradient_of_the_unroll() -> None:
    """On a quadratic with STAR: one pair over the whole horizon is the directional derivative."""
    quadratic = lopt.Task(
        "bowl",
        init=lambda key: jax.random.normal(key, (3, 2)),
        loss=lambda params, key, batch: 0.5 * jnp.sum(params**2),
    )

    def make(theta):
        return lopt.star(theta, STAR, fused=False)

    horizon, sigma, pairs = 4, 1e-2, 1
    theta = lopt.init_meta_parameters(jax.random.key(0))
    pes = lopt.PES(quadratic, make, horizon, horizon, pairs, sigma)
    state, key = pes.init(theta, jax.random.key(1)), jax.random.key(2)
    estimate, after = jax.jit(pes.estimate)(theta, state, (), key)
    noise = jax.tree.map(lambda x: x[0, 0], after.perturbation)
    start = jax.tree.map(lambda x: x[0, 0], state.episode.params)

    def unroll(theta):
        optimizer = make(theta)

        def step(carry, _):
            params, state = carry
            loss, gradient = jax.value_and_grad(quadratic.loss)(params, key, ())
            updates, state = optimizer.update(gradient, state, params)
            return (optax.apply_updates(params, updates), state), loss

        return jnp.mean(jax.lax.scan(step, (start, optimizer.init(start)), length=horizon)[1])

    slope = jax.jit(lambda t, d: jax.jvp(unroll, (t,), (d,))[1])(theta, noise)
    expected = jax.tree.map(lambda e: slope * e / sigma**2, noise)
    size = math.sqrt(sum(float(jnp.sum(x**2)) for x in jax.tree.leaves(expected)))
    for a, b in zip(jax.tree.leaves(estimate.gradient), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=0.02 * size)
