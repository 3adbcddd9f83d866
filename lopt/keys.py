"""JAX's random keys in a form that XLA's CPU compiler takes a tenth of the time over.

On a CPU `jax.random` writes the rounds of its generator, Threefry, as a loop over rotations that
are known at run time only. LLVM copies the body of that loop for every outcome of the tests of
these rotations and of the axes: a batched draw of a 32 x 10 matrix takes 3 s to compile. With the
rounds written out, and the rotations constants, it takes a twentieth of that
(``python -m benchmarks.random_keys``). The random bits are the same; what XLA fuses with them may
round a float otherwise in the last digit, as any other change of a program may.
"""

import math
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import random as extension

__all__ = ["random_key"]

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = np.uint32(0x1BD11BDA)


def random_key(seed: int) -> jax.Array:
    """Return a key whose random bits are those of ``jax.random.key(seed)``.

    Every function of `jax.random` takes it, and what is split from it is of its kind. The
    two kinds do not mix in one array.

    Parameters
    ----------
    seed
        Any integer that `jax.random.key` takes.

    Examples
    --------
    >>> ours, theirs = random_key(3), jax.random.key(3)
    >>> bool(jnp.array_equal(jax.random.normal(ours, (3, 2)), jax.random.normal(theirs, (3, 2))))
    True
    """
    return jax.random.key(seed, impl=_implementation())


@cache
def _implementation() -> Any:
    """Threefry-2x32 with 20 rounds, as `jax.random.key` takes an implementation."""
    plain = jax.random.key_data

    def seeded(seed: jax.Array) -> jax.Array:
        return plain(jax.random.key(seed, impl="threefry2x32"))

    return extension.define_prng_impl(
        key_shape=(2,),
        seed=seeded,
        split=_split,
        random_bits=_random_bits,
        fold_in=_fold_in,
        name="threefry2x32_unrolled",
        tag="fryu",
    )


@jax.jit
def _threefry(key: jax.Array, high: jax.Array, low: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Encrypt the counters: Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror, Shaw, "Parallel
    random numbers: as easy as 1, 2, 3", SC 2011), keys every four rounds.
    """
    keys = (key[0], key[1], key[0] ^ key[1] ^ PARITY)
    x, y = high + keys[0], low + keys[1]
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            x = x + y
            y = (y << np.uint32(rotation)) | (y >> np.uint32(32 - rotation))
            y = x ^ y
        x = x + keys[(group + 1) % 3]
        y = y + keys[(group + 2) % 3] + np.uint32(group + 1)
    return x, y


def _counters(shape: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """The upper and lower halves of the numbers 0, 1, ..., in an array of the given shape."""
    size = math.prod(shape)
    if size < 2**32:
        low = lax.iota(jnp.uint32, size).reshape(shape)
        return jnp.zeros_like(low), low
    raise ValueError(f"a draw of shape {list(shape)} has 2**32 numbers or more; draw it in parts.")


def _split(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jnp.stack(_threefry(key, *_counters(shape)), axis=-1)


def _fold_in(key: jax.Array, data: jax.Array | int) -> jax.Array:
    words = jax.random.key_data(jax.random.key(jnp.uint32(data), impl="threefry2x32"))
    return jnp.stack(_threefry(key, words[0], words[1]))


def _random_bits(key: jax.Array, bit_width: int, shape: tuple[int, ...]) -> jax.Array:
    x, y = _threefry(key, *_counters(shape))
    if bit_width == 64:
        return (x.astype(jnp.uint64) << np.uint64(32)) | y.astype(jnp.uint64)
    return (x ^ y).astype(f"uint{bit_width}")
