"""The hidden state: what it holds, and that it stays finite."""

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

import lopt
from lopt.optimizers.parts.accumulators import Accumulators, bounded, factored_axes
from lopt.optimizers.parts.features import mean_squares, scales, tensor_features
from lopt.optimizers.star_update import StarState

PARAMS = {"w": jnp.ones((2, 3)), "b": jnp.ones(3), "s": jnp.ones(())}
THETA = lopt.init_meta_parameters(jax.random.key(0))
STAR = lopt.star(THETA, fused=False)
INIT, UPDATE = jax.jit(STAR.init), jax.jit(STAR.update)


def finite(tree) -> bool:
    return all(np.isfinite(np.asarray(x)).all() for x in jax.tree.leaves(tree))


@pytest.mark.parametrize("shape", [(0,), (0, 4), (4, 0), (2, 0, 3), (0, 0)])
def test_a_tensor_without_entries_leaves_the_state_finite(shape) -> None:
    params = {"w": jnp.ones((3, 2)), "empty": jnp.zeros(shape)}
    updates, state = UPDATE(params, INIT(params), params)
    assert updates["empty"].shape == shape
    assert finite((updates, state))
    alone = {"w": params["w"]}
    expected, _ = UPDATE(alone, INIT(alone), alone)
    np.testing.assert_allclose(updates["w"], expected["w"], rtol=1e-6)


def test_no_array_of_the_state_is_empty_and_orbax_saves_it(tmp_path) -> None:
    state = INIT(PARAMS)
    assert all(x.size for x in jax.tree.leaves(state))
    assert state.accumulators.column["b"] is None
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        restored = checkpointer.restore(tmp_path / "state", state)
    assert jax.tree.structure(restored) == jax.tree.structure(state)


def test_arrays_keep_the_names_under_which_checkpoints_hold_them() -> None:
    """Those that held an empty column for vectors never wrote it."""
    shapes = {
        jax.tree_util.keystr(path): x.shape
        for path, x in jax.tree_util.tree_leaves_with_path(INIT(PARAMS))
    }
    each = {"w": (2, 3), "b": (3,), "s": ()}
    expected = {".count": ()}
    for name, shape in each.items():
        kinds = {"momentum": (3, *shape), "rms": (1, *shape), "row": (3, *shape)}
        for kind, full in kinds.items():
            expected[f".accumulators.{kind}['{name}']"] = full
    expected |= {".accumulators.row['w']": (3, 2, 1), ".accumulators.column['w']": (3, 1, 3)}
    assert shapes == expected


def test_a_state_that_holds_an_empty_column_still_works() -> None:
    """As states were before the column of a vector became None."""
    state = INIT(PARAMS)
    column = {**state.accumulators.column, "b": jnp.zeros(0), "s": jnp.zeros(0)}
    old = StarState(state.count, state.accumulators._replace(column=column))
    for a, b in zip(
        jax.tree.leaves(UPDATE(PARAMS, old, PARAMS)[0]),
        jax.tree.leaves(UPDATE(PARAMS, state, PARAMS)[0]),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("size", [1e16, 1e20, 3e38])
def test_a_huge_entry_of_a_gradient_spoils_no_other(size) -> None:
    """Its square is beyond float32; the rest of the tensor moves on, and so does the entry."""
    gradients = {"w": PARAMS["w"].at[0, 0].set(size), "b": PARAMS["b"].at[1].set(-size)}
    params = {k: PARAMS[k] for k in gradients}
    updates, state = UPDATE(gradients, INIT(params), params)
    assert finite((updates, state))
    assert all(np.all(np.asarray(u) != 0) for u in jax.tree.leaves(updates))
    assert updates["w"][0, 0] * updates["b"][1] < 0
    assert finite(UPDATE(params, state, params))


def test_gradients_of_ordinary_size_are_taken_as_they_are() -> None:
    ordinary = jnp.array([0.0, 1e-30, -1.0, 1e9, -9e14])
    np.testing.assert_array_equal(bounded(ordinary), ordinary)
    slopes = jax.vmap(jax.grad(bounded))(ordinary)
    np.testing.assert_array_equal(slopes, jnp.ones(5))


def test_what_is_not_finite_stays_so() -> None:
    given = jnp.array([jnp.inf, -jnp.inf, jnp.nan])
    np.testing.assert_array_equal(bounded(given), given)


def test_features_of_a_tensor_without_entries_are_finite() -> None:
    assert factored_axes((0, 4)) is None
    empty = jnp.zeros((0, 4))
    a = Accumulators(jnp.zeros((3, 0, 4)), jnp.zeros((1, 0, 4)), jnp.zeros((3, 0, 4)), None)
    assert finite(mean_squares(tensor_features(empty, empty, a, scales(a))))


@pytest.mark.parametrize("config", [lopt.STAR, lopt.BLACKBOX], ids=["star", "blackbox"])
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "plain"])
def test_no_rank_is_promoted(config, fused) -> None:
    optimizer = lopt.star(lopt.init_meta_parameters(jax.random.key(0), config), config, fused=fused)
    with jax.numpy_rank_promotion("raise"):
        updates, _ = jax.eval_shape(optimizer.update, PARAMS, optimizer.init(PARAMS), PARAMS)
    assert jax.tree.map(jnp.shape, updates) == jax.tree.map(jnp.shape, PARAMS)
