"""Which trees and leaves STAR takes, and what it says of the others."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lopt

STAR = lopt.star(
    lopt.init_meta_parameters(jax.random.key(0), lopt.HYPERPARAM), lopt.HYPERPARAM, fused=False
)
UPDATE = jax.jit(STAR.update)  # compiled as one: op by op takes far longer
SPLIT = "optax.contrib.split_real_and_imaginary"
ONES = {"a": jnp.ones(2), "b": jnp.ones((2, 3))}


def message(call) -> str:
    """The one line of a ValueError, which a terminal shows whole."""
    with pytest.raises(ValueError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) <= 300
    return text


@pytest.mark.parametrize(
    ("leaf", "found"),
    [
        (jnp.array([1, 2]), "int32. Leave it out"),
        (jnp.array([True]), "bool. Leave it out"),
        (3, "int32. Leave it out"),
        (jnp.ones(2, jnp.complex64), f"complex64. Wrap the optimizer: {SPLIT}"),
        (jax.random.key(0), "key<fryu>. Leave it out"),
        (jnp.tanh, "Leave it out"),
        ("a name", "str. Leave it out"),
    ],
)
def test_a_parameter_that_is_not_real_is_named(leaf, found) -> None:
    text = message(lambda: STAR.init({"a": jnp.ones(2), "odd": [leaf]}))
    assert "leaf ['odd'][0] is " in text
    assert found in text


@pytest.mark.parametrize(
    ("gradients", "found"),
    [
        ({"a": jnp.ones(2), "b": None}, "leaf ['b']: the gradient is None"),
        ({"a": jnp.ones(3), "b": ONES["b"]}, "gradient has shape (3,), the parameter (2,)"),
        ({"a": jnp.ones(2, jnp.complex64), "b": ONES["b"]}, SPLIT),
        ({"a": np.zeros(2, jax.dtypes.float0), "b": ONES["b"]}, "gradient is float0. Leave"),
        ({"x": jnp.ones(2), "y": ONES["b"]}, "['x'] is in one of the two only"),
        ([jnp.ones(2), ONES["b"]], "[0] is in one of the two only"),
        ({"a": jnp.ones(2)}, "['b'] is in one of the two only"),
    ],
)  # fmt: skip
def test_a_gradient_that_does_not_fit_is_named(gradients, found) -> None:
    assert found in message(lambda: STAR.update(gradients, STAR.init(ONES), ONES))


def test_a_state_of_other_parameters_is_named() -> None:
    others = {"a": jnp.ones(5), "b": ONES["b"]}
    text = message(lambda: STAR.update(ONES, STAR.init(others), ONES))
    assert "['a']: the shape is (2,), but it was (5,) at init" in text
    without = {"a": None, "b": ONES["b"]}
    assert "without this leaf" in message(lambda: STAR.update(ONES, STAR.init(without), ONES))


def test_a_message_stays_short_for_deep_trees() -> None:
    tree = jnp.array([1])
    for _ in range(200):
        tree = {"a rather long name": tree}
    message(lambda: STAR.init(tree))


def test_trees_are_paired_by_name_and_not_by_order() -> None:
    """Dictionaries that were filled in another order hold the same."""
    gradients = {"b": 2 * ONES["b"], "a": jnp.ones(2)}
    updates, _ = UPDATE(gradients, STAR.init(ONES), ONES)
    alone, _ = UPDATE({"b": gradients["b"]}, STAR.init({"b": ONES["b"]}), {"b": ONES["b"]})
    np.testing.assert_allclose(updates["b"], alone["b"], rtol=1e-6)


def test_none_in_all_trees_is_left_out() -> None:
    partly = {"a": None, "b": ONES["b"]}
    updates, state = UPDATE(partly, STAR.init(partly), partly)
    assert updates["a"] is None
    assert updates["b"].shape == (2, 3)
    assert jax.tree.structure(state) == jax.tree.structure(STAR.init(partly))


def test_an_equinox_model_may_be_passed_whole() -> None:
    model = eqx.nn.MLP(1, 1, 2, 1, key=jax.random.key(0))
    arrays = eqx.filter(model, eqx.is_inexact_array)
    gradients = eqx.filter_grad(lambda m: jnp.sum(jax.vmap(m)(jnp.ones((2, 1)))))(model)
    whole, _ = jax.jit(lambda g, s: STAR.update(g, s, model))(gradients, STAR.init(arrays))
    apart, _ = UPDATE(gradients, STAR.init(arrays), arrays)
    assert jax.tree.structure(whole) == jax.tree.structure(arrays)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(apart), strict=True):
        np.testing.assert_array_equal(a, b)
    assert "leaf .activation is " in message(lambda: STAR.init(model))


def test_complex_parameters_move_as_two_real_ones() -> None:
    params = {"w": jnp.array([1.0 + 2.0j, -3.0j])}
    split = optax.contrib.split_real_and_imaginary(STAR)
    updates, _ = jax.jit(split.update)(params, split.init(params), params)
    for part in (jnp.real, jnp.imag):
        real = {"w": part(params["w"])}
        expected, _ = UPDATE(real, STAR.init(real), real)
        np.testing.assert_array_equal(part(updates["w"]), expected["w"])


def test_masked_leaves_out_a_counter() -> None:
    params = {"w": jnp.ones(2), "steps": jnp.array(3)}
    masked = optax.masked(STAR, {"w": True, "steps": False})
    gradients = {"w": jnp.ones(2), "steps": np.zeros((), jax.dtypes.float0)}
    updates, _ = masked.update(gradients, masked.init(params), params)
    assert updates["w"].shape == (2,)


def test_names_of_axes_in_a_linen_box_stay_with_their_axes() -> None:
    params = {"w": nn.Partitioned(jnp.ones((8, 4)), names=("rows", "columns"))}
    state = STAR.init(params)
    names = {name: field["w"].names for name, field in state.accumulators._asdict().items()}
    assert names["momentum"] == names["rms"] == (None, "rows", "columns")
    assert names["row"] == (None, None, "columns")
    assert names["column"] == (None, "rows", None)
    updates, after = UPDATE(params, state, params)
    assert jax.tree.structure(updates) == jax.tree.structure(params)
    assert jax.tree.structure(after) == jax.tree.structure(state)


def test_linear_takes_real_vectors_alone() -> None:
    linear = lopt.optimizers.linear(jnp.zeros((2, 2)), 0.1)
    assert "is int32" in message(lambda: linear.init(jnp.array([1, 2])))
    assert "is complex64" in message(lambda: linear.init(jnp.ones(2, jnp.complex64)))
    assert "one vector of 2 numbers" in message(lambda: linear.init([jnp.ones(2)] * 100))
