"""`lopt.keys`: the draws are those of `jax.random`, whose documentation promises them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lopt.keys import random_key


def jax_key(seed: int) -> jax.Array:
    """JAX's own key, which tests/lopt/conftest.py otherwise replaces."""
    return jax.random.key(seed, impl="threefry2x32")


DRAWS = {
    "normal": lambda k: jax.random.normal(k, (3, 5)),
    "bfloat16": lambda k: jax.random.normal(k, (4,), jnp.bfloat16),
    "scalar": lambda k: jax.random.uniform(k),
    "integers": lambda k: jax.random.randint(k, (4, 6), 0, 1000),
    "bytes": lambda k: jax.random.bits(k, (9,), jnp.uint8),
    "permutation": lambda k: jax.random.permutation(k, 17),
    "split": lambda k: jax.random.key_data(jax.random.split(k, (3, 4))),
    "fold_in": lambda k: jax.random.key_data(jax.random.fold_in(k, 2**32 - 1)),
    "batch": lambda k: jax.vmap(lambda k: jax.random.normal(k, (3, 2)))(jax.random.split(k, 6)),
    "empty": lambda k: jax.random.normal(k, (0, 3)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_draws_are_those_of_jax(name: str) -> None:
    draw = DRAWS[name]
    expected = draw(jax_key(7))
    np.testing.assert_array_equal(draw(random_key(7)), expected)
    np.testing.assert_array_equal(jax.jit(draw)(random_key(7)), expected)


@pytest.mark.parametrize("seed", [0, 1, -3, 2**31 - 1, 2**40 + 3])
def test_seeds_and_double_precision_are_those_of_jax(seed: int) -> None:
    with jax.enable_x64(True):
        for draw in (
            lambda k: jax.random.normal(k, (3,), jnp.float64),
            lambda k: jax.random.bits(k, (3,), jnp.uint64),
        ):
            np.testing.assert_array_equal(draw(random_key(seed)), draw(jax_key(seed)))


def test_known_answer_of_threefry() -> None:
    """The published test vector of Threefry-2x32 with 20 rounds: key and counter of ones."""
    from lopt.keys import _threefry

    ones = jnp.uint32(0xFFFFFFFF)
    x, y = _threefry(jnp.stack([ones, ones]), ones, ones)
    assert (int(x), int(y)) == (0x1CB996FC, 0xBB002BE7)


def test_a_traced_seed_and_another_seed() -> None:
    drawn = jax.jit(lambda seed: jax.random.normal(random_key(seed), (2,)))(5)
    np.testing.assert_array_equal(drawn, jax.random.normal(jax_key(5), (2,)))
    assert not np.array_equal(drawn, jax.random.normal(random_key(6), (2,)))
