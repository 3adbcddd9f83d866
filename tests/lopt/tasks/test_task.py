"""A task is checked when it is made: what a batch is drawn from has to be there."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.tasks.task import Task, take

X = jnp.ones((32, 3))


def made(**fields: Any) -> Task:
    return Task("toy", init=lambda key: jnp.ones(3), loss=lambda p, k, b: jnp.sum(p), **fields)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"data": (X, jnp.arange(5))}, r"data\[1\] of task 'toy' has 5 examples, but data\[0\]"),
        ({"data": {"x": X, "y": X[:0]}}, r"data\['y'\] of task 'toy' has no examples"),
        ({"data": (X, jnp.float32(3))}, r"data\[1\] of task 'toy' has no axis"),
        ({"data": [[1.0, 2.0]]}, r"data\[0\]\[0\] of task 'toy' must be an array.*float"),
        ({"data": np.array(["a", "b"])}, "must be an array of numbers; it is an array of <U1"),
        ({"data": X, "batch_size": 0}, "batch_size of task 'toy' must be a whole number from 1"),
        ({"data": X, "batch_size": -1}, "it is -1"),
        ({"data": X, "batch_size": 2.0}, r"it is 2\.0"),
        ({"loss_ceiling": float("nan")}, "loss_ceiling of task 'toy' must not be nan"),
    ],
)
def test_what_no_batch_can_be_drawn_from_is_named(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        made(**fields)


def test_a_batch_of_numpy_arrays_is_the_batch_of_jax_arrays() -> None:
    data = {"x": np.arange(12.0, dtype=np.float32).reshape(4, 3), "y": np.arange(4)}
    task, key = made(data=data, batch_size=16), jax.random.key(0)
    drawn = task.sample(key, task.data)
    np.testing.assert_array_equal(drawn["x"][:, 0], 3 * drawn["y"])
    other = made(data=jax.tree.map(jnp.asarray, data), batch_size=16)
    for ours, theirs in zip(
        *map(jax.tree.leaves, (drawn, other.sample(key, other.data))), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_every_example_is_drawn_and_none_beyond_the_last() -> None:
    task = made(data=jnp.arange(5), batch_size=1000)
    assert set(np.asarray(task.sample(jax.random.key(0), task.data)).tolist()) == set(range(5))


def test_a_task_without_data_has_one_example() -> None:
    assert made().examples == 1
    assert take((), jnp.arange(3)) == ()
