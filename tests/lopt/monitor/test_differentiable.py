"""What has no derivative, what one says nothing about, and what an inspection keeps in memory."""

import gc
import weakref
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lopt
from lopt.monitor import InspectSettings, inspect
from lopt.monitor.programs import Programs
from lopt.optimizers.star_update import Star

CURVATURE = jnp.array([1.0, 2.0, 4.0])
QUICK = InspectSettings(hessian_vectors=3, vectors=3, sweeps=2)


LINE_SEARCH = optax.chain(optax.sgd(1.0), optax.scale_by_backtracking_linesearch(10))


def bowl(params, curvature):
    return jnp.sum(curvature * params**2) / 2


def look(optimizer, loss=bowl, settings=QUICK, params=None):
    params = jnp.array([1.0, -1.0, 0.5]) if params is None else params
    return inspect(optimizer, loss, params, optimizer.init(params), CURVATURE, settings=settings)


@pytest.mark.parametrize("name", ["lion", "sign_sgd"])
def test_an_update_of_signs_is_said_to_be_piecewise_constant(name) -> None:
    found = look(getattr(optax, name)(0.1))
    assert found.sharpness.converged
    assert found.flat == found.to_json()["flat"] == 3
    assert "piecewise constant" in found.text()
    for value in (found.preconditioned_sharpness, found.frozen_radius, found.response.largest):
        assert not value.converged
        assert value.error == np.inf
    assert not found.frozen.converged.any()
    assert not found.theorem1.condition.applies
    assert "piecewise constant" in found.theorem1.text()


@pytest.mark.parametrize(
    "optimizer", [optax.sgd(0.0), optax.MultiSteps(optax.sgd(0.1), 4).gradient_transformation()]
)
def test_an_optimizer_that_stands_still_has_a_radius_of_one(optimizer) -> None:
    """Its update is zero whatever the gradient is, and so is the derivative."""
    found = look(optimizer)
    assert found.flat == 0
    assert found.frozen_radius.converged
    assert found.frozen_radius.value == pytest.approx(1.0, abs=1e-5)


def test_of_a_clipped_update_the_clipped_entries_are_counted() -> None:
    found = look(optax.chain(optax.clip(1.5), optax.sgd(0.1)))  # gradients 1, -2 and 2
    assert found.flat == 2
    assert found.response.largest.value == pytest.approx(0.1)
    assert found.frozen_radius.converged


def loop_loss(params, curvature):
    """A loss that halves its argument until it is small."""
    size = jax.lax.while_loop(lambda s: s > 1, lambda s: s / 2, jnp.sum(params**2))
    return size * jnp.sum(curvature)


def broken_update(updates, state, params=None):
    raise RuntimeError("needs\nmore")


@pytest.mark.parametrize(
    ("optimizer", "loss", "words"),
    [
        (optax.lbfgs(), bowl, "differentiate this optimizer's update: it runs a loop"),
        (LINE_SEARCH, bowl, "differentiate this optimizer's update: it runs a loop"),
        (optax.sgd(0.1), loop_loss, "differentiate the loss twice: it runs a loop"),
        (optax.GradientTransformation(optax.identity().init, broken_update), bowl, "take a step"),
    ],
)
def test_what_cannot_be_differentiated_is_one_line_with_the_cause(optimizer, loss, words) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        look(optimizer, loss)
    message = str(caught.value)
    assert message.startswith("lopt ")
    assert len(message) <= 300
    assert "\n" not in message
    assert caught.value.__cause__ is not None


def test_a_fault_of_the_loss_itself_is_raised_as_it_is() -> None:
    def broken(params, curvature):
        raise KeyError("inputs")

    with pytest.raises(KeyError, match="inputs"):
        look(optax.sgd(0.1), broken)


@pytest.mark.parametrize("params", [{}, jnp.zeros((0, 3))])
def test_a_tree_without_numbers_is_refused(params) -> None:
    with pytest.raises(ValueError, match="params must hold at least one number"):
        look(optax.sgd(0.1), lambda p, c: jnp.float32(0), params=params)


class Module:
    """A loss that has no hash, as a module with arrays in it."""

    __hash__ = None

    def __init__(self) -> None:
        self.traced = 0

    def __call__(self, params, curvature):
        self.traced += 1
        return bowl(params, curvature)

    def method(self, params, curvature):
        return self(params, curvature)


class Hashed(Module):
    __hash__ = object.__hash__


def held(kind):
    """An object, and a function that gives a loss which holds it."""
    holder = Hashed() if kind == "method" else Module()
    kept = {"module": holder, "partial": partial(holder)}
    return holder, lambda: holder.method if kind == "method" else kept[kind]


@pytest.mark.parametrize("kind", ["module", "method", "partial"])
def test_the_same_loss_is_compiled_once_and_let_go(kind) -> None:
    optimizer, (holder, loss) = optax.sgd(0.1), held(kind)
    first = look(optimizer, loss())
    before = holder.traced
    assert look(optimizer, loss()).sharpness == first.sharpness
    assert holder.traced == before
    gone = weakref.ref(holder)
    del holder, loss
    gc.collect()
    assert gone() is None


def test_programs_are_few_and_go_with_their_loss() -> None:
    made = []
    programs = Programs(lambda loss, *rest: made.append(rest) or loss)

    def loss():
        return 5

    for number in range(20):
        assert programs(loss, number)() == 5
    assert len(programs) == 16
    assert len(made) == 20
    programs(loss, [1]), programs(loss, 19)  # a list has no hash and is compared by identity
    assert len(made) == 21
    del loss
    gc.collect()
    assert len(programs) == 0


def test_star_replaced_by_itself_is_star_and_by_another_update_is_not() -> None:
    star = lopt.star(lopt.init_meta_parameters(jax.random.key(0)), fused=False)
    assert star._replace().config == lopt.STAR
    assert star._replace(init=star.init).meta_parameters is star.meta_parameters
    other = star._replace(update=optax.sgd(0.25).update)
    assert not isinstance(other, Star)
    assert other.init is star.init
