"""Compile and run time of a batched draw: `lopt.keys.random_key` against `jax.random.key`.

Usage: python -m benchmarks.random_keys
"""

import time
from collections.abc import Callable
from statistics import median

import jax

from lopt.keys import random_key

BATCH, SHAPE, RUNS = 16, (32, 10), 50


def times(make: Callable[[int], jax.Array]) -> tuple[float, float]:
    """Seconds that one batched draw takes to compile, and to run (the median)."""
    keys = jax.random.split(make(0), BATCH)
    draw = jax.vmap(lambda key: jax.random.normal(key, SHAPE))
    lowered = jax.jit(draw).lower(keys)
    begin = time.perf_counter()
    compiled = lowered.compile()
    compiling = time.perf_counter() - begin
    runs = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        jax.block_until_ready(compiled(keys))
        runs.append(time.perf_counter() - begin)
    return compiling, median(runs)


def main() -> None:
    """Print both ratios."""
    jax.jit(lambda x: x + 1).lower(1.0).compile()  # what the first compilation alone pays
    ours, theirs = times(random_key), times(jax.random.key)
    print(f"{BATCH} normal matrices {SHAPE} on {jax.default_backend()}, ratio to jax.random.key:")
    print(f"compile {ours[0] / theirs[0]:.3f}, run {ours[1] / theirs[1]:.3f}")


if __name__ == "__main__":
    main()
