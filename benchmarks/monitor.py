"""One inspection of an MLP with a million parameters over one gradient evaluation, batch 128.

    python -m benchmarks.monitor [adam] [star]

Prints, for the default settings, the time of a gradient, that of an inspection as a multiple of it
(the best of several of each, interleaved), what the Hessian alone takes, and the time to compile.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.flatten_util
import jax.numpy as jnp
import optax

import lopt
from lopt.monitor import InspectSettings, arnoldi, hessian_operator, inspect, star_blackbox
from lopt.monitor.step import flat_vector
from lopt.tasks.networks import MLP

NETWORK = MLP((700, 600), 10)
INPUTS, BATCH, REPEATS = 784, 128, 5
# No new round once so much time has gone.
ENOUGH_SECONDS = 20.0


def loss(params: Any, batch: Any) -> jax.Array:
    """Mean softmax cross-entropy."""
    losses = optax.losses.softmax_cross_entropy_with_integer_labels
    return jnp.mean(losses(NETWORK.apply(params, batch[0]), batch[1]))


def optimizers() -> dict[str, tuple[Any, Any]]:
    """The transformation and its blackbox part by name."""
    theta = lopt.init_meta_parameters(jax.random.key(0))
    return {
        "adam": (optax.adam(1e-3), None),
        "star": (lopt.star(theta, fused=False), star_blackbox(theta)),
    }


def best_times(*calls: Callable) -> list[float]:
    """The best time of each call, the calls interleaved."""
    best, began = [float("inf")] * len(calls), time.perf_counter()
    for _ in range(REPEATS):
        if time.perf_counter() - began > ENOUGH_SECONDS:
            break
        for index, call in enumerate(calls):
            start = time.perf_counter()
            call()
            best[index] = min(best[index], time.perf_counter() - start)
    return best


def main(arguments: list[str]) -> None:
    """Print the table."""
    params = NETWORK.init(jax.random.key(0), jnp.zeros((1, INPUTS)))
    keys = jax.random.split(jax.random.key(1))
    batch = (
        jax.random.uniform(keys[0], (BATCH, INPUTS)),
        jax.random.randint(keys[1], (BATCH,), 0, NETWORK.classes),
    )
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, {count} parameters")
    gradient = jax.jit(jax.grad(loss))
    flat = flat_vector(params)
    unravel = jax.flatten_util.ravel_pytree(params)[1]

    @jax.jit
    def sharpness(params: Any, batch: Any) -> Any:
        apply = hessian_operator(loss, params, batch)
        vectors = InspectSettings().hessian_vectors
        return arnoldi(lambda v: flat_vector(apply(unravel(v))), flat, vectors).projection

    print(
        f"{'':6}{'gradient ms':>13}{'inspect / gradient':>20}{'Hessian alone':>15}{'compile s':>11}"
    )
    for name, (optimizer, blackbox) in optimizers().items():
        if arguments and name not in arguments:
            continue
        update = jax.jit(optimizer.update)
        state = optimizer.init(params)
        for _ in range(3):
            state = update(gradient(params, batch), state, params)[1]

        def look(optimizer: Any = optimizer, blackbox: Any = blackbox, state: Any = state) -> Any:
            return inspect(optimizer, loss, params, state, batch, blackbox=blackbox)

        start = time.perf_counter()
        look()
        first = time.perf_counter() - start
        jax.block_until_ready(sharpness(params, batch))
        gradient_time, whole, hessian = best_times(
            lambda: jax.block_until_ready(gradient(params, batch)),
            look,
            lambda: jax.block_until_ready(sharpness(params, batch)),
        )
        print(
            f"{name:6}{1e3 * gradient_time:13.2f}{whole / gradient_time:20.0f}"
            f"{hessian / gradient_time:15.0f}{first - whole:11.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
