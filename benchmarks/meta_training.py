"""Inner steps a second of a whole PES outer step over those of plain Adam, vectorized alike.

    python -m benchmarks.meta_training [PAIRS ...]

The floor is the inner loop of the same task with optax.adam over as many particles, each with its
own batches: everything that STAR and PES add is overhead. Prints the ratio (1 would be no
overhead) and the time to compile, for each number of antithetic pairs.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lopt.meta.config import TrainConfig
from lopt.meta.trainer import Trainer
from lopt.tasks.task import Task, take

TRUNCATION, REPEATS = 50, 7


def floor(task: Task, particles: int) -> Callable[[], Any]:
    """The inner loop with Adam, `particles` at once, TRUNCATION steps a call."""
    optimizer = optax.adam(1e-3)

    def run(carry: Any, data: Any, key: jax.Array) -> Any:
        def step(carry: Any, indices: jax.Array) -> Any:
            params, state = carry
            loss, gradient = jax.value_and_grad(task.loss)(params, key, take(data, indices))
            updates, state = optimizer.update(gradient, state, params)
            return (optax.apply_updates(params, updates), state), loss

        return jax.lax.scan(step, carry, task.indices(key, TRUNCATION))

    keys = jax.random.split(jax.random.key(0), particles)
    params = jax.vmap(task.init)(keys)
    held = [(params, jax.vmap(optimizer.init)(params))]
    call = jax.jit(jax.vmap(run, in_axes=(0, None, 0)))

    def once() -> Any:
        held[0], losses = call(held[0], task.data, keys)
        return losses

    return once


def outer(config: TrainConfig) -> tuple[Callable[[], Any], float]:
    """A whole outer step, and the seconds that its first call took."""
    trainer = Trainer(config)
    held = [trainer.init()]

    def once() -> Any:
        held[0], seen = trainer.step(held[0], 0)
        return seen

    start = time.perf_counter()
    jax.block_until_ready(once())
    return once, time.perf_counter() - start


def main(arguments: list[str]) -> None:
    """Print the ratios."""
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, 8x8 Fashion-MNIST, batch 128")
    for pairs in [int(a) for a in arguments] or [4, 16]:
        config = TrainConfig(pairs=pairs, truncation=TRUNCATION)
        plain = floor(config.make_task(), 2 * pairs)
        jax.block_until_ready(plain())
        star, compile_seconds = outer(config)
        times = {"plain": jnp.inf, "star": jnp.inf}
        for _ in range(REPEATS):
            for name, call in (("plain", plain), ("star", star)):
                start = time.perf_counter()
                jax.block_until_ready(call())
                times[name] = min(times[name], time.perf_counter() - start)
        print(
            f"{pairs:3d} pairs: {times['plain'] / times['star']:.2f} of the floor; "
            f"first outer step (compiling) {compile_seconds:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
