"""With a term silenced, what is left is the optimizer that the remaining equation names."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lopt
from lopt.optimizers.star_update import NOMINAL_TERMS, MetaParameters, StarConfig

KEY = jax.random.key(3)
STEPS = 6
EPSILON = 1e-6


def silenced(config: StarConfig) -> MetaParameters:
    """Meta-parameters whose network outputs zero from every head."""
    theta = lopt.init_meta_parameters(KEY, config)
    *weights, last = theta.network.weights
    return theta._replace(network=theta.network._replace(weights=(*weights, 0.0 * last)))


def run(optimizer: optax.GradientTransformation) -> list[np.ndarray]:
    """Parameters of shape (3, 2) after each of some steps with fixed random gradients."""
    params = jax.random.normal(jax.random.key(0), (3, 2))
    gradients = jax.random.normal(jax.random.key(1), (STEPS, 3, 2))

    @jax.jit
    def trajectory(params):
        def step(carry, gradient):
            params, state = carry
            updates, state = optimizer.update(gradient, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), params

        return jax.lax.scan(step, (params, optimizer.init(params)), gradients)[1]

    return list(np.asarray(trajectory(params)))


def reference(term: str, rate: float, own: float = 0.999) -> optax.GradientTransformation:
    """The nominal term in optax's words; moving averages start at zero and are not debiased."""

    def ema(decay: float) -> optax.GradientTransformation:
        return optax.ema(decay, debias=False)

    def mean_of_emas() -> optax.GradientTransformation:
        parts = [ema(d) for d in (0.9, 0.99, 0.999)]

        def init(params):
            return tuple(p.init(params) for p in parts)

        def update(g, state, params=None):
            pairs = [p.update(g, s, params) for p, s in zip(parts, state, strict=True)]
            return sum(u for u, _ in pairs) / 3, tuple(s for _, s in pairs)

        return optax.GradientTransformation(init, update)

    def divided(direction: optax.GradientTransformation) -> optax.GradientTransformation:
        """direction / sqrt(rms + 1e-6), the average of squares taken with decay 0.999."""
        squares = ema(0.999)

        def init(params):
            return direction.init(params), squares.init(params)

        def update(g, state, params=None):
            d, first = direction.update(g, state[0], params)
            v, second = squares.update(g * g, state[1], params)
            return d / jnp.sqrt(v + EPSILON), (first, second)

        return optax.GradientTransformation(init, update)

    direction = {
        "SGD": optax.identity(),
        "SGDM": ema(own),
        "AggMo": mean_of_emas(),
        "Adam": divided(ema(own)),
        "AdamAggMo": divided(mean_of_emas()),
    }[term]
    return optax.chain(direction, optax.scale(-rate))


@pytest.mark.parametrize("term", NOMINAL_TERMS)
def test_silenced_network_leaves_the_nominal_term(term) -> None:
    config = replace(lopt.STAR, nominal_term=term, nominal_step=0.02)
    expected = run(reference(term, 0.02))
    for a, b in zip(run(lopt.star(silenced(config), config)), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("term", ["SGDM", "Adam"])
def test_the_decay_of_the_nominal_term_can_be_chosen(term) -> None:
    config = lopt.TrainConfig(nominal_term=term, nominal_decay=0.9, nominal_step=0.02)
    star = config.optimizer_config
    expected = run(reference(term, 0.02, 0.9))
    for a, b in zip(run(lopt.star(silenced(star), star)), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-6)


def test_a_decay_that_no_momentum_has_is_refused() -> None:
    with pytest.raises(ValueError, match=r"nominal_decay must be one of 0\.9, 0\.99, 0\.999"):
        lopt.TrainConfig(nominal_decay=0.5)


@pytest.mark.parametrize(
    "config", [{}, {"optimizer": "blackbox"}, *({"nominal_term": t} for t in ("SGD", "AggMo"))]
)
def test_a_decay_for_a_term_without_a_single_momentum_is_refused(config) -> None:
    with pytest.raises(ValueError, match="nominal_decay is for the nominal terms SGDM and Adam"):
        lopt.TrainConfig(nominal_decay=0.9, **config)


def test_the_learned_scale_multiplies_the_nominal_step() -> None:
    config = replace(lopt.HYPERPARAM, nominal_step=0.01)
    scaled = silenced(config)._replace(log_nominal_scale=jnp.log(jnp.array([3.0])))
    plain = replace(config, nominal_step=0.03)
    for a, b in zip(
        run(lopt.star(scaled, config)), run(lopt.star(silenced(plain), plain)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_silenced_blackbox_does_not_move() -> None:
    config = lopt.BLACKBOX
    seen = run(lopt.star(silenced(config), config))
    np.testing.assert_array_equal(seen[0], seen[-1])


def test_preconditioning_divides_the_blackbox_term() -> None:
    """(22) is (20) over v: at the first step v = sqrt(0.001 g^2 + 1e-6)."""
    bare = replace(lopt.BLACKBOX, blackbox_step=1e-3)
    divided = replace(bare, precondition=True)
    theta = lopt.init_meta_parameters(KEY, bare)
    params = jax.random.normal(jax.random.key(0), (3, 2))
    gradient = jax.random.normal(jax.random.key(1), (3, 2))

    def first(config):
        optimizer = lopt.star(theta, config)
        return optimizer.update(gradient, optimizer.init(params), params)[0]

    v = jnp.sqrt(0.001 * gradient**2 + EPSILON)
    np.testing.assert_allclose(first(divided), first(bare) / v, rtol=1e-5)


def test_meta_parameters_are_counted_as_the_paper_counts_them() -> None:
    def count(config: StarConfig) -> int:
        theta = lopt.init_meta_parameters(KEY, config)
        return sum(leaf.size for leaf in jax.tree.leaves(theta))

    assert count(lopt.BLACKBOX) == 197
    assert count(replace(lopt.STAR, learned_nominal_scale=False)) == 202
    assert count(lopt.STAR) == 203


@pytest.mark.parametrize(
    "change",
    [
        {"nominal_term": "LAMB"},
        {"nominal_term": None, "blackbox_term": False},
        {"initial_rms_decays": (0.9, 0.99)},
        {"initial_momentum_decays": (0.9,)},
    ],
)
def test_impossible_configurations(change) -> None:
    name = next(iter(change))
    with pytest.raises(ValueError, match=name):
        replace(lopt.STAR, **change)
