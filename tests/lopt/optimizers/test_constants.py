"""The constants of a configuration: checked where they are known, free to be traced elsewhere."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lopt
from lopt.optimizers.linear import LinearConfig, linear

PARAMS = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]])}
THETA = lopt.init_meta_parameters(jax.random.key(0))
STEPS = ("nominal_step", "blackbox_step", "initial_head_scale", "normalized_step")
NUMBERS = (*STEPS, "nominal_exponent", "blackbox_exponent", "weight_decay")
FLAGS = ("blackbox_term", "nominal_controller", "precondition", "normalize_update")
DECAYS = ("initial_momentum_decays", "initial_rms_decays", "initial_adafactor_decays")


def first(config: lopt.StarConfig, params=PARAMS):
    """The first update, by the gradient equal to the parameters."""
    optimizer = lopt.star(THETA, config, fused=False)
    update = jax.jit(optimizer.update)  # compiled as one: op by op takes far longer
    return update(params, optimizer.init(params), params)[0]["w"]


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), 1e300, 10**400, None, "0.1", [0.1], {}, True, jnp.ones(2), 1j],
    ids=str,
)
def test_a_constant_that_is_no_finite_number_is_refused(field, value) -> None:
    with pytest.raises(ValueError, match=f"^{field} must be ") as caught:
        lopt.StarConfig(**{field: value})
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize("field", [*STEPS, "weight_decay"])
def test_a_step_below_zero_is_refused(field) -> None:
    with pytest.raises(ValueError, match=f"{field} must be .*; it is -0.001"):
        lopt.StarConfig(**{field: -1e-3})


@pytest.mark.parametrize("field", DECAYS)
@pytest.mark.parametrize("value", [None, 0.9, "0.9", (), (1.0,), (-0.1,), (float("nan"),), ("a",)])
def test_decays_are_a_list_of_numbers_from_zero_to_one(field, value) -> None:
    with pytest.raises(ValueError, match=f"{field} must be "):
        lopt.StarConfig(**{field: value})


@pytest.mark.parametrize("value", [None, 4, (0,), (-4,), (2.0,), (True,), (10**30,), (4,) * 1000])
def test_widths_are_a_list_of_counts(value) -> None:
    with pytest.raises(ValueError, match="hidden_widths must be ") as caught:
        lopt.StarConfig(hidden_widths=value)
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize("field", FLAGS)
def test_a_flag_is_true_or_false(field) -> None:
    with pytest.raises(ValueError, match=f"{field} must be True or False; it is 'no'"):
        lopt.StarConfig(**{field: "no"})


@pytest.mark.parametrize("kind", [np.float32, np.float64, jnp.float32, jnp.asarray, float])
def test_numbers_of_every_kind_are_taken(kind) -> None:
    np.testing.assert_allclose(
        first(lopt.StarConfig(weight_decay=kind(0.25))),
        first(lopt.STAR) - 0.25 * PARAMS["w"],
        rtol=1e-6,
    )


def test_a_known_constant_is_checked_inside_jit_too() -> None:
    known = jnp.array(2.0)
    with pytest.raises(ValueError, match="weight_decay must be in"):
        jax.jit(lambda: lopt.StarConfig(weight_decay=known) and 0)()


@pytest.mark.parametrize("field", NUMBERS)
def test_every_constant_may_be_traced(field) -> None:
    """As an argument of a compiled step the constant gives what it gives as a number."""
    for value in (0.0, 0.02):
        seen = jax.jit(lambda x: first(replace(lopt.STAR, **{field: x})))(jnp.float32(value))
        expected = first(replace(lopt.STAR, **{field: value}))
        np.testing.assert_allclose(seen, expected, rtol=1e-5, atol=1e-9)


def test_weight_decay_follows_a_schedule() -> None:
    """At step t the update gains -0.01 t of the parameters."""

    def make(decay):
        return lopt.star(THETA, lopt.StarConfig(weight_decay=decay), fused=False)

    scheduled = optax.inject_hyperparams(make)(optax.linear_schedule(0.0, 0.5, 50))
    plain = lopt.star(THETA, fused=False)
    update, without = jax.jit(scheduled.update), jax.jit(plain.update)
    state, other = scheduled.init(PARAMS), plain.init(PARAMS)
    for step in range(3):
        updates, state = update(PARAMS, state, PARAMS)
        expected, other = without(PARAMS, other, PARAMS)
        np.testing.assert_allclose(
            updates["w"], expected["w"] - 0.01 * step * PARAMS["w"], rtol=1e-5, atol=1e-8
        )


def test_the_derivative_by_a_constant_is_that_of_its_term() -> None:
    """The update is linear in the steps and in the weight decay."""
    total = lambda field, x: jnp.sum(first(replace(lopt.STAR, **{field: x})))  # noqa: E731
    assert jax.grad(lambda x: total("weight_decay", x))(0.1) == pytest.approx(
        -float(PARAMS["w"].sum()), rel=1e-5
    )
    for field in ("nominal_step", "blackbox_step"):
        change = total(field, 1.0) - total(field, 0.0)
        slope = jax.grad(lambda x, field=field: total(field, x))(0.01)
        np.testing.assert_allclose(slope, change, rtol=1e-4)


def test_initial_decays_may_be_differentiated() -> None:
    """The first momentum is (1 - d) g, and SGDM moves by it."""

    def moved(d):
        config = replace(
            lopt.HYPERPARAM, nominal_term="SGDM", nominal_controller=False, nominal_step=1.0
        )
        config = replace(config, initial_momentum_decays=(0.9, 0.99, d))
        theta = lopt.init_meta_parameters(jax.random.key(0), lopt.HYPERPARAM)
        optimizer = lopt.star(theta, config, fused=False)
        return optimizer.update(PARAMS, optimizer.init(PARAMS), PARAMS)[0]["w"][1, 1]

    value, slope = jax.value_and_grad(moved)(0.5)
    np.testing.assert_allclose([value, slope], [-0.5 * 3.0, 3.0], rtol=1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "0.1"])
def test_the_step_of_the_linear_optimizer_is_finite(value) -> None:
    for make in (lambda: LinearConfig(2, value), lambda: linear(jnp.zeros((2, 2)), value)):
        with pytest.raises(ValueError, match="nominal_step must be "):
            make()


def test_the_dimension_of_the_linear_optimizer_is_a_count() -> None:
    with pytest.raises(ValueError, match="dimension must be a whole number"):
        LinearConfig(-1, 0.1)
