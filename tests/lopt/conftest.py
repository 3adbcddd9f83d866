"""Random keys that compile quickly, for every test of lopt."""

from typing import Any

import jax

from lopt.keys import random_key

_jax_key = jax.random.key


def _key(seed: Any, *, impl: Any = None) -> jax.Array:
    """The same numbers as `jax.random.key`'s (tests/lopt/test_keys.py), compiled in less time."""
    return random_key(seed) if impl is None else _jax_key(seed, impl=impl)


jax.random.key = _key
