"""The direction of STAR in a chain with weight decay and a learning rate, as AdamW is built."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lopt
from lopt.optimizers.linear import LinearConfig

THETA = lopt.init_meta_parameters(jax.random.key(0))
PARAMS = {
    "matrix": jnp.linspace(-1, 1, 6).reshape(3, 2),
    "scalar": jnp.array(0.5, jnp.float32),
    "still": jnp.ones(4),
    "empty": jnp.zeros((0, 3)),
}
GRADIENT = jax.tree.map(lambda p: jnp.cos(3 * p), PARAMS) | {"still": jnp.zeros(4)}
SMALL = {"matrix": PARAMS["matrix"]}
SLOPE = {"matrix": GRADIENT["matrix"]}
DIRECTION = lopt.scale_by_star(THETA, fused=False)
RATE, DECAY = 0.01, 0.1


@partial(jax.jit, static_argnums=0)
def first(optimizer, gradient, params):
    """The first update, compiled once for every optimizer and tree of shapes."""
    return optimizer.update(gradient, optimizer.init(params), params)[0]


def rms(tree):
    return {name: float(jnp.sqrt(jnp.mean(jnp.square(x)))) for name, x in tree.items() if x.size}


def close(a, b, rtol=1e-5):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-7)


@pytest.mark.parametrize("size", [1e-12, 1e-6, 1.0, 1e6])
def test_the_root_mean_square_of_every_tensor_is_one(size) -> None:
    """A scalar moves by its sign, and a tensor without gradient stands still."""
    direction = first(DIRECTION, jax.tree.map(lambda g: size * g, GRADIENT), PARAMS)
    assert rms(direction) == pytest.approx({"matrix": 1.0, "scalar": 1.0, "still": 0.0}, rel=1e-5)
    assert direction["empty"].shape == (0, 3)


def test_a_tensor_whose_gradient_ends_stops() -> None:
    """Its momentum would carry it on for ever: a normalized step does not decay with it."""
    update = jax.jit(DIRECTION.update)
    _, state = update(GRADIENT, DIRECTION.init(PARAMS), PARAMS)
    stopped = {**GRADIENT, "matrix": jnp.zeros((3, 2))}
    direction, state = update(stopped, state, PARAMS)
    assert not np.any(np.asarray(direction["matrix"]))
    assert rms(update(GRADIENT, state, PARAMS)[0])["matrix"] == pytest.approx(1.0)


def test_a_gradient_that_is_not_finite_shows() -> None:
    bad = {**GRADIENT, "matrix": GRADIENT["matrix"].at[0, 0].set(jnp.nan)}
    direction = first(DIRECTION, bad, PARAMS)
    assert np.all(np.isnan(direction["matrix"]))
    assert np.isfinite(direction["scalar"])


def test_it_is_what_star_subtracts_for_every_normalized_step() -> None:
    config = replace(lopt.STAR, normalize_update=True, normalized_step=RATE)
    step = first(lopt.star(THETA, config, fused=False), SLOPE, SMALL)
    chain = optax.chain(DIRECTION, optax.scale_by_learning_rate(RATE))
    close(step, first(chain, SLOPE, SMALL))


def test_the_step_sizes_of_the_terms_are_their_relative_weights() -> None:
    """Multiplied by one factor they leave the direction as it is."""
    scaled = replace(lopt.STAR, nominal_step=7e-3, blackbox_step=7e-5)
    close(
        first(lopt.scale_by_star(THETA, scaled, fused=False), SLOPE, SMALL),
        first(DIRECTION, SLOPE, SMALL),
    )


def test_unnormalized_it_is_the_negative_of_star() -> None:
    plain = lopt.scale_by_star(THETA, normalize=False, fused=False)
    step = first(lopt.star(THETA, fused=False), SLOPE, SMALL)
    close(first(plain, SLOPE, SMALL), jax.tree.map(jnp.negative, step), rtol=0)


def test_the_update_descends() -> None:
    """Of a nominal term alone the first direction has the gradient's sign in every entry."""
    silent = lopt.init_meta_parameters(jax.random.key(0), lopt.HYPERPARAM)
    direction = first(lopt.scale_by_star(silent, lopt.HYPERPARAM, fused=False), SLOPE, SMALL)
    np.testing.assert_array_equal(jnp.sign(direction["matrix"]), jnp.sign(SLOPE["matrix"]))


def adamw_like(rate, decay=DECAY):
    return optax.chain(
        DIRECTION, optax.add_decayed_weights(decay), optax.scale_by_learning_rate(rate)
    )


def test_decay_in_the_chain_shrinks_the_weights() -> None:
    """Without a gradient they are multiplied by 1 - rate * decay; after `lopt.star` they grow."""
    still = jax.tree.map(jnp.zeros_like, SMALL)
    seen = optax.apply_updates(SMALL, first(adamw_like(RATE), still, SMALL))
    close(seen["matrix"], (1 - RATE * DECAY) * SMALL["matrix"], rtol=1e-6)
    expected = -RATE * (first(DIRECTION, SLOPE, SMALL)["matrix"] + DECAY * SMALL["matrix"])
    close(first(adamw_like(RATE), SLOPE, SMALL)["matrix"], expected)


def test_a_schedule_sets_the_length_of_every_step() -> None:
    optimizer = adamw_like(optax.linear_schedule(0.0, 1.0, 10), decay=0.0)
    state, update = optimizer.init(SMALL), jax.jit(optimizer.update)
    for step in range(3):
        updates, state = update(SLOPE, state, SMALL)
        assert rms(updates)["matrix"] == pytest.approx(0.1 * step, rel=1e-5)


def test_an_injected_learning_rate_scales_the_step() -> None:
    optimizer = optax.inject_hyperparams(adamw_like)(rate=RATE)
    state, update = optimizer.init(SMALL), jax.jit(optimizer.update)
    once, _ = update(SLOPE, state, SMALL)
    state.hyperparams["rate"] = jnp.float32(3 * RATE)
    close(update(SLOPE, state, SMALL)[0]["matrix"], 3 * once["matrix"])


def test_vmap_normalizes_each_tensor_by_itself() -> None:
    both = {"matrix": jnp.stack([SMALL["matrix"], 5 * SMALL["matrix"]])}
    slopes = {"matrix": jnp.stack([SLOPE["matrix"], 1e3 * SLOPE["matrix"]])}
    seen = jax.jit(jax.vmap(lambda g, p: DIRECTION.update(g, DIRECTION.init(p), p)[0]))(
        slopes, both
    )
    for index in range(2):
        one = [{"matrix": x["matrix"][index]} for x in (slopes, both)]
        close(seen["matrix"][index], first(DIRECTION, *one)["matrix"])


def test_masked_and_multi_transform_leave_the_others_alone() -> None:
    tree, slope = SMALL | {"other": jnp.ones(3)}, SLOPE | {"other": jnp.full(3, 2.0)}
    alone = first(DIRECTION, SLOPE, SMALL)["matrix"]
    masked = optax.masked(DIRECTION, {"matrix": True, "other": False})
    parts = {"learned": DIRECTION, "fixed": optax.sgd(0.5)}
    mixed = optax.multi_transform(parts, {"matrix": "learned", "other": "fixed"})
    for optimizer, other in ((masked, 2.0), (mixed, -1.0)):
        seen = first(optimizer, slope, tree)
        close(seen["matrix"], alone)
        np.testing.assert_array_equal(seen["other"], other)


def test_half_precision_and_a_state_that_is_stars() -> None:
    """Updates have the dtype of the parameters, three digits; the state is a tree of arrays."""
    half = jax.tree.map(lambda p: p.astype(jnp.bfloat16), SMALL)
    optimizer = adamw_like(RATE, decay=0.0)
    updates = first(optimizer, half, half)
    assert updates["matrix"].dtype == jnp.bfloat16
    assert rms(updates)["matrix"] == pytest.approx(RATE, rel=1e-2)
    state, own = DIRECTION.init(SMALL), lopt.star(THETA).init(SMALL)
    assert jax.tree.structure(state) == jax.tree.structure(own)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(optimizer.init(SMALL)))


def test_a_file_brings_its_configuration(tmp_path) -> None:
    path, config = tmp_path / "a.npz", replace(lopt.STAR, nominal_term="SGD")
    lopt.save(path, THETA, config)
    expected = first(lopt.scale_by_star(THETA, config, fused=False), SLOPE, SMALL)
    for given in (path, str(path), lopt.load(path)):
        close(first(lopt.scale_by_star(given, fused=False), SLOPE, SMALL), expected)


def test_what_has_a_weight_decay_of_its_own_is_refused(tmp_path) -> None:
    decayed = replace(lopt.STAR, weight_decay=0.1)
    lopt.save(tmp_path / "a.npz", THETA, decayed)
    for given in ((THETA, decayed), (tmp_path / "a.npz",)):
        with pytest.raises(
            ValueError, match=r"weight_decay must be 0 for scale_by_star; it is 0.1"
        ):
            lopt.scale_by_star(*given)


def test_what_is_no_star_is_refused(tmp_path) -> None:
    config = LinearConfig(2, 0.1)
    lopt.save(tmp_path / "a.npz", config.init(jax.random.key(0)), config)
    with pytest.raises(ValueError, match="holds a linear optimizer"):
        lopt.scale_by_star(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="neither a file nor the name of shipped"):
        lopt.scale_by_star("genral")
    with pytest.raises(ValueError, match="star needs the parameters"):
        DIRECTION.update(SLOPE, DIRECTION.init(SMALL))
