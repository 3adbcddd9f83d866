"""One inspection of an MLP with a million parameters over one gradient evaluation.

    python -m benchmarks.monitor [adam] [star] [wrapped] [--examples 128 1024] [--stages]

Prints, for the default settings and batches of so many examples, the time of a gradient, that of an
inspection as a multiple of it (the best of several of each, interleaved), the time to compile, and
how many of the extremes have converged. With --stages, what each part takes, in gradients too.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import optax

import lopt
from lopt.monitor import Inspection, InspectSettings, inspect
from lopt.tasks.networks import MLP

NETWORK = MLP((700, 600), 10)
INPUTS, REPEATS = 784, 8
PARTS = ("hessian_vectors", "vectors")
# No new round once so much time has gone.
ENOUGH_SECONDS = 20.0
# A call as short as a gradient is repeated within a round, as a busy machine disturbs it most.
SHORT_SECONDS, SHORT_CALLS = 0.02, 10


def loss(params: Any, batch: Any) -> jax.Array:
    """Mean softmax cross-entropy."""
    losses = optax.losses.softmax_cross_entropy_with_integer_labels
    return jnp.mean(losses(NETWORK.apply(params, batch[0]), batch[1]))


def optimizers() -> dict[str, Any]:
    """The transformations by name."""
    theta = lopt.init_meta_parameters(jax.random.key(0))
    star = lopt.star(theta)
    wrapped = optax.chain(optax.clip_by_global_norm(1.0), star, optax.scale(0.5))
    return {"adam": optax.adam(1e-3), "star": star, "wrapped": wrapped}


def best_times(*calls: Callable) -> list[float]:
    """The best time of each call, the calls interleaved."""
    best, began = [float("inf")] * len(calls), time.perf_counter()
    for _ in range(REPEATS):
        if time.perf_counter() - began > ENOUGH_SECONDS:
            break
        for index, call in enumerate(calls):
            for _ in range(SHORT_CALLS if best[index] < SHORT_SECONDS else 1):
                start = time.perf_counter()
                jax.block_until_ready(call())
                best[index] = min(best[index], time.perf_counter() - start)
    return best


def stages(times: dict[str, float]) -> dict[str, float]:
    """Seconds of each part, by what an inspection with one vector of it takes less."""
    found = {}
    for part in PARTS:
        count = getattr(InspectSettings(), part)
        found[f"{part}, {count}"] = (times["all"] - times[part]) * count / (count - 1)
    return {**found, "the rest": times["all"] - sum(found.values())}


def measure(name: str, params: Any, batch: Any, *, by_stage: bool) -> None:
    """Print the line of an optimizer, and its stages."""
    optimizer = optimizers()[name]
    gradient, update = jax.jit(jax.grad(loss)), jax.jit(optimizer.update)
    state = optimizer.init(params)
    for _ in range(3):
        state = update(gradient(params, batch), state, params)[1]

    def look(settings: InspectSettings) -> Callable[[], Inspection]:
        return lambda: inspect(optimizer, loss, params, state, batch, settings=settings)

    looks = {"all": look(InspectSettings())}
    if by_stage:
        one = {part: replace(InspectSettings(), **{part: 1}) for part in PARTS}
        looks |= {part: look(settings) for part, settings in one.items()}
    start = time.perf_counter()
    found = looks["all"]()
    first = time.perf_counter() - start
    for call in looks.values():
        call()
    gradient_time, *others = best_times(lambda: gradient(params, batch), *looks.values())
    times = dict(zip(looks, others, strict=True))
    values = (found.sharpness, found.smallest_curvature, found.preconditioned_sharpness)
    print(
        f"{name:6}{len(batch[1]):10}{1e3 * gradient_time:13.2f}{times['all'] / gradient_time:20.0f}"
        f"{first - times['all']:11.1f}{sum(v.converged for v in values):8} of {len(values)}",
        flush=True,
    )
    for part, seconds in stages(times).items() if by_stage else ():
        print(f"  {part:34}{seconds / gradient_time:15.1f}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time lopt.monitor.inspect.")
    parser.add_argument("optimizers", nargs="*", default=["adam", "star"])
    parser.add_argument("--examples", type=int, nargs="*", default=[128, 1024])
    parser.add_argument("--stages", action="store_true", help="what each part takes")
    options = parser.parse_args()
    params = NETWORK.init(jax.random.key(0), jnp.zeros((1, INPUTS)))
    keys = jax.random.split(jax.random.key(1))
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, {count} parameters")
    print(
        f"{'':6}{'examples':>10}{'gradient ms':>13}{'inspect / gradient':>20}{'compile s':>11}"
        f"{'converged':>14}"
    )
    for name in options.optimizers:
        for size in options.examples:
            batch = (
                jax.random.uniform(keys[0], (size, INPUTS)),
                jax.random.randint(keys[1], (size,), 0, NETWORK.classes),
            )
            measure(name, params, batch, by_stage=options.stages)


if __name__ == "__main__":
    main()
