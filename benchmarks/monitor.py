"""One inspection of an MLP with a million parameters over one gradient evaluation, batch 128.

    python -m benchmarks.monitor [adam] [star] [--stages]

Prints, for the default settings, the time of a gradient, that of an inspection as a multiple of it
(the best of several of each, interleaved), the time to compile, and how many of the extremes have
converged. With --stages, what each part takes, in gradients too.
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
from lopt.monitor import Inspection, InspectSettings, inspect, star_blackbox
from lopt.monitor.lockstep import factorize_step, process_names
from lopt.monitor.survey import survey
from lopt.tasks.networks import MLP

NETWORK = MLP((700, 600), 10)
INPUTS, BATCH, REPEATS = 784, 128, 5
# No new round once so much time has gone.
ENOUGH_SECONDS = 20.0
# A call as short as a gradient is repeated within a round, as a busy machine disturbs it most.
SHORT_SECONDS, SHORT_CALLS = 0.02, 10


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
            for _ in range(SHORT_CALLS if best[index] < SHORT_SECONDS else 1):
                start = time.perf_counter()
                jax.block_until_ready(call())
                best[index] = min(best[index], time.perf_counter() - start)
    return best


def stages(
    optimizer: Any, blackbox: Any, arguments: tuple[Any, Any, Any], found: Inspection
) -> dict[str, Callable]:
    """The compiled parts of an inspection, and the survey with one vector in place of many."""
    settings, diagonal = InspectSettings(), found.response.asymmetry.value == 0.0

    def surveyor(settings: InspectSettings) -> Callable:
        run = jax.jit(lambda *state: survey(optimizer, loss, *state, settings, blackbox))
        return lambda: run(*arguments)

    parts = {
        "survey": surveyor(settings),
        "one Hessian vector": surveyor(replace(settings, hessian_vectors=1)),
    }
    if diagonal:
        parts["one vector of M H"] = surveyor(replace(settings, vectors=1))
        return parts
    seen = parts["survey"]()
    names = process_names(
        joint=False, product=True, frozen=False, update=True, blackbox=blackbox is not None
    )
    run = jax.jit(lambda *state: factorize_step(optimizer, loss, *state, settings, names, blackbox))
    parts["factorization"] = lambda: run(*arguments, seen.held, seen.inverse_sharpness)
    return parts


def print_stages(times: dict[str, float], whole: float, gradient: float) -> None:
    """What each part takes, in gradients; vectors after the first are what tells a part apart."""
    settings, rest = InspectSettings(), times["survey"]
    shown = {}
    for part, name, count in (
        ("Hessian", "one Hessian vector", settings.hessian_vectors),
        ("M H of a diagonal M", "one vector of M H", settings.vectors),
    ):
        if name in times:
            shown[f"{part}, {count} vectors"] = (
                (times["survey"] - times[name]) * count / (count - 1)
            )
            rest -= shown[f"{part}, {count} vectors"]
    shown["linearization, probes"] = rest
    if "factorization" in times:
        shown["other maps and their transposes"] = times["factorization"]
    shown["on the host"] = whole - times["survey"] - times.get("factorization", 0.0)
    for name, seconds in shown.items():
        print(f"  {name:34}{seconds / gradient:8.1f}", flush=True)


def measure(name: str, params: Any, batch: Any, *, by_stage: bool) -> None:
    """Print the line of an optimizer, and its stages."""
    optimizer, blackbox = optimizers()[name]
    gradient, update = jax.jit(jax.grad(loss)), jax.jit(optimizer.update)
    state = optimizer.init(params)
    for _ in range(3):
        state = update(gradient(params, batch), state, params)[1]

    def look() -> Inspection:
        return inspect(optimizer, loss, params, state, batch, blackbox=blackbox)

    start = time.perf_counter()
    found = look()
    first = time.perf_counter() - start
    parts = stages(optimizer, blackbox, (params, state, batch), found) if by_stage else {}
    for part in parts.values():
        jax.block_until_ready(part())
    calls = (lambda: gradient(params, batch), look, *parts.values())
    gradient_time, whole, *others = best_times(*calls)
    values = (found.sharpness, found.smallest_curvature, found.preconditioned_sharpness)
    print(
        f"{name:6}{1e3 * gradient_time:13.2f}{whole / gradient_time:20.0f}{first - whole:11.1f}"
        f"{sum(value.converged for value in values):8} of {len(values)}",
        flush=True,
    )
    if by_stage:
        print_stages(dict(zip(parts, others, strict=True)), whole, gradient_time)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time lopt.monitor.inspect.")
    parser.add_argument("optimizers", nargs="*", default=["adam", "star"])
    parser.add_argument("--stages", action="store_true", help="what each part takes")
    options = parser.parse_args()
    params = NETWORK.init(jax.random.key(0), jnp.zeros((1, INPUTS)))
    keys = jax.random.split(jax.random.key(1))
    batch = (
        jax.random.uniform(keys[0], (BATCH, INPUTS)),
        jax.random.randint(keys[1], (BATCH,), 0, NETWORK.classes),
    )
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, {count} parameters")
    print(f"{'':6}{'gradient ms':>13}{'inspect / gradient':>20}{'compile s':>11}{'converged':>14}")
    for name in options.optimizers:
        measure(name, params, batch, by_stage=options.stages)


if __name__ == "__main__":
    main()
