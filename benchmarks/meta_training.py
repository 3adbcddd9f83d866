"""Inner steps a second of a whole PES outer step over those of plain Adam, vectorized alike.

    python -m benchmarks.meta_training [--task T] [--devices N] [--measure] [--stages] [PAIRS ...]

The floor is the inner loop of the same task with optax.adam over 8 particles, each with its own
batches: everything that STAR and PES add is overhead. Prints for each number of antithetic pairs
(4 and 16 unless given) the ratio of the rates (1 would be no overhead), the time to compile and
the peak memory of the process so far. ``--measure`` adds the ratio with the monitor at its default
schedule, and the share of the time that it takes. ``--stages`` adds where the rest goes: the same
outer step with plain Adam in STAR's place, which is what PES itself costs. The default task is the
paper's MLP on 28x28 Fashion-MNIST where that is found, the embedded 8x8 one elsewhere.
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import jax
import optax

from lopt.meta.config import TrainConfig
from lopt.meta.training.processes import host_copy
from lopt.meta.training.trainer import Trainer
from lopt.meta.training.watch import Watch, measurement_interval
from lopt.tasks.registry import make_task
from lopt.tasks.task import Task, take

TRUNCATION, PARTICLES, REPEATS = 50, 8, 5


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


def outer(config: TrainConfig, task: Task) -> tuple[Trainer, Callable[[], Any], float]:
    """A whole outer step, and the seconds that its first call took."""
    trainer = Trainer(config, task)
    held = [trainer.init()]

    def once() -> Any:
        held[0], seen = trainer.step(held[0], 0)
        return seen

    start = time.perf_counter()
    jax.block_until_ready(once())
    return trainer, once, time.perf_counter() - start


class AroundAdam(TrainConfig):
    """The same run with plain Adam as its inner optimizer, whatever theta is."""

    def make_optimizer(self, theta: Any, *, fused: bool = True) -> Any:
        del theta, fused
        return optax.adam(1e-3)


def measuring(config: TrainConfig, task: Task, trainer: Trainer) -> float:
    """The best seconds of one measurement of the eigenvalues."""
    state, watch = trainer.init(), Watch(config, task)
    theta = host_copy(state.theta)

    def measure() -> Any:
        return watch.measure(theta, state.pairs, 0)

    measure()
    return best({"measure": measure}, 2)["measure"]


def best(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """The best seconds of each call, the calls interleaved."""
    times = dict.fromkeys(calls, float("inf"))
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            times[name] = min(times[name], time.perf_counter() - start)
    return times


def default_task() -> str:
    """The paper's task, if its images are here."""
    try:
        make_task("fashion-mnist-mlp")
    except ValueError:
        return "fashion-mnist-8x8-mlp"
    return "fashion-mnist-mlp"


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", nargs="*", type=int, default=[4, 16])
    parser.add_argument("--task", default=None)
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--stages", action="store_true")
    options = parser.parse_args()
    if options.devices > 1:
        jax.config.update("jax_num_cpu_devices", options.devices)
    name = options.task or default_task()
    task = make_task(name)
    print(f"{jax.devices()[0].device_kind} x {options.devices}, jax {jax.__version__}, {name}")
    plain = floor(task, PARTICLES)
    jax.block_until_ready(plain())
    for pairs in options.pairs:
        fields: dict[str, Any] = {
            "task": name,
            "pairs": pairs,
            "devices": options.devices,
            "truncation": TRUNCATION,
            "horizon": 2000,
        }
        config = TrainConfig(**fields)
        trainer, star, compile_seconds = outer(config, task)
        calls = {"plain": plain, "star": star}
        if options.stages:
            calls["adam"] = outer(AroundAdam(**fields), task)[1]
        times = best(calls, REPEATS)
        share = times["plain"] * 2 * pairs / PARTICLES
        line = f"{pairs:3d} pairs: {share / times['star']:.2f} of the floor"
        if options.stages:
            line += f" ({share / times['adam']:.2f} with Adam in STAR's place)"
        if options.measure:
            every = measurement_interval(config, task)
            seconds = measuring(config, task, trainer) / every
            watched = times["star"] + seconds
            line += (
                f", {share / watched:.2f} with the monitor every {every} outer steps "
                f"({seconds / watched:.1%} of the time)"
            )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{line}; compiled in {compile_seconds:.0f} s; peak {peak:.2f} GiB", flush=True)


if __name__ == "__main__":
    main()
