"""How many runs share one program follows from what they hold and what their gradients compute."""

import jax
import jax.numpy as jnp
import pytest

from lopt.meta.estimators.together import CACHED, largest_array, runs_at_once
from lopt.tasks.task import Task

FLOATS = CACHED // 4


def task_of(largest: int) -> Task:
    """One parameter, and a loss that spreads it over an array of so many floats."""

    def loss(phi: jax.Array, key: jax.Array, batch: object) -> jax.Array:
        return jnp.sum(jnp.outer(jnp.full(largest // 4, phi), jnp.arange(4.0)) ** 2)

    return Task("spread", lambda key: jnp.ones(()), loss)


def state_of(count: int, floats: int) -> jax.ShapeDtypeStruct:
    """What `count` runs hold, so many floats each."""
    return jax.ShapeDtypeStruct((count, floats), jnp.float32)


def test_the_largest_array_is_found_inside_of_inner_programs() -> None:
    def loss(phi: jax.Array, key: jax.Array, batch: object) -> jax.Array:
        step = jax.jit(lambda x: jnp.sum(jnp.full(1000, x)))
        return jax.lax.fori_loop(0, 3, lambda _, x: jax.lax.cond(x > 0, step, step, x), phi)

    hidden = Task("hidden", lambda key: jnp.ones(()), loss)
    assert largest_array(hidden) == 4000
    assert largest_array(task_of(512)) == 2048


def test_the_data_does_not_count_but_a_batch_of_it_does() -> None:
    task = Task(
        "mean", lambda key: jnp.ones(()), lambda phi, key, x: phi * jnp.mean(x),
        data=jnp.ones((5000, 10)), batch_size=7,
    )  # fmt: skip
    assert largest_array(task) == 7 * 10 * 4


@pytest.mark.parametrize(
    ("held", "largest", "together"),
    [
        (4, 4, 12),  # all
        (FLOATS // 4, 4, 3),  # 4 would hold 4 bytes too much
        (FLOATS // 8, FLOATS // 8, 4),
        (4, FLOATS // 5, 4),  # the optimizer holds nothing, the gradient much
        (4, 2 * FLOATS, 1),
        (2 * FLOATS, 4, 1),
    ],
)
def test_runs_share_a_program_as_long_as_they_fit(held: int, largest: int, together: int) -> None:
    assert runs_at_once(state_of(12, held), task_of(largest)) == together


def test_an_accelerator_runs_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert runs_at_once(state_of(12, FLOATS), task_of(4)) == 12
