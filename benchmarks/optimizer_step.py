"""One jitted STAR update over one of optax.adam on the same tensors.

    python -m benchmarks.optimizer_step [--large]

Prints, for every set of tensors, the ratio of the times (the two interleaved in one run, best of
several), of the bytes that XLA counts for each (a loop's body once), and the memory that STAR's
update takes besides its arguments and results. ``--large`` adds 50 M parameters.
"""

import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

import lopt

MLP = [(784, 128), (128,), (128, 128), (128,), (128, 10), (10,)]
SHAPES = {
    "MLP 784-128-128-10, 118 k": MLP,
    "one 2048 x 2048, 4.2 M": [(2048, 2048)],
    "conv 3x3, 32-64-64, 56 k": [(3, 3, 3, 32), (32,), (3, 3, 32, 64), (64,), (3, 3, 64, 64)],
    "attention, 4 x 512 x 512, 1.1 M": [(512, 512)] * 4,
}
LARGE = {"12 x 2048 x 2048, 50 M": [(2048, 2048)] * 12}
REPEATS, CALLS = 15, 5


class Compiled(NamedTuple):
    """A compiled update."""

    call: Callable
    """Does one update of a state it keeps."""
    bytes_moved: float
    temporary: int


def compiled(optimizer: optax.GradientTransformation, params: Any) -> Compiled:
    """One update on these tensors, its state donated."""
    state = optimizer.init(params)
    gradients = jax.tree.map(lambda p: jnp.cos(p).astype(p.dtype), params)
    update = jax.jit(optimizer.update, donate_argnums=1).lower(gradients, state, params).compile()
    cost = update.cost_analysis()
    held = [state]

    def call() -> None:
        updates, held[0] = update(gradients, held[0], params)
        jax.block_until_ready(updates)

    moved = float(cost.get("bytes accessed", float("nan")))
    return Compiled(call, moved, update.memory_analysis().temp_size_in_bytes)


def best_times(*calls: Callable) -> list[float]:
    """The best mean time of each call, the calls interleaved."""
    best = [float("inf")] * len(calls)
    for _ in range(REPEATS):
        for index, call in enumerate(calls):
            start = time.perf_counter()
            for _ in range(CALLS):
                call()
            best[index] = min(best[index], (time.perf_counter() - start) / CALLS)
    return best


def main(arguments: list[str]) -> None:
    """Print the table."""
    theta = lopt.init_meta_parameters(jax.random.key(0))
    shapes = SHAPES | (LARGE if "--large" in arguments else {})
    print(f"{jax.devices()[0].device_kind}, {jax.device_count()} device(s), jax {jax.__version__}")
    print(f"{'tensors':34}{'time / adam':>12}{'bytes / adam':>14}{'temporary MB':>14}{'ms':>8}")
    for name, sizes in shapes.items():
        keys = jax.random.split(jax.random.key(1), len(sizes))
        params = [jax.random.normal(k, s) for k, s in zip(keys, sizes, strict=True)]
        star, adam = (compiled(o, params) for o in (lopt.star(theta), optax.adam(1e-3)))
        times = best_times(star.call, adam.call)
        print(
            f"{name:34}{times[0] / times[1]:12.2f}{star.bytes_moved / adam.bytes_moved:14.2f}"
            f"{star.temporary / 1e6:14.1f}{1e3 * times[0]:8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
