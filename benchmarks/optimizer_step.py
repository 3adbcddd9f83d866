"""One jitted STAR update over one of optax.adam on the same tensors.

    python -m benchmarks.optimizer_step [--large] [--particles] [--stages] [--orthogonal]

Prints, for every set of tensors, the ratio of the times (the two interleaved in one run, best of
several), both as `jax.jit` compiles them and both with `lopt.compiler_options`; the ratio of the
bytes that XLA counts for each (a loop's body once), and the peak memory of STAR's
update, its arguments and results included, over the parameters' own. ``--large`` adds 50 M
parameters. ``--particles`` prints the cost a parameter of an update vectorized over 8 and 64
particles, each with its own meta-parameters, over that of a single one. ``--stages`` splits the
update of the MLP's largest tensor into its stages, each over Adam's whole update of that tensor.
``--orthogonal`` prints the time of an update with orthogonalized matrices over that of
optax.contrib.muon, and over that of STAR.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

import lopt
from lopt.optimizers.parts.accumulators import update_accumulators
from lopt.optimizers.parts.features import mean_squares, scales, tensor_features
from lopt.optimizers.parts.network import apply_network
from lopt.optimizers.star_update import learned_decays

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
    peak: int
    """Bytes of arguments, results that do not replace arguments, and temporaries."""


def compiled(
    optimizer: optax.GradientTransformation, params: Any, options: dict[str, Any] | None = None
) -> Compiled:
    """One update on these tensors, its state donated."""
    state = optimizer.init(params)
    gradients = jax.tree.map(lambda p: jnp.cos(p).astype(p.dtype), params)
    lowered = jax.jit(optimizer.update, donate_argnums=1).lower(gradients, state, params)
    update = lowered.compile(compiler_options=options)
    memory = update.memory_analysis()
    held = [state]

    def call() -> None:
        updates, held[0] = update(gradients, held[0], params)
        jax.block_until_ready(updates)

    peak = memory.argument_size_in_bytes + memory.output_size_in_bytes
    peak += memory.temp_size_in_bytes - memory.alias_size_in_bytes
    return Compiled(call, float(update.cost_analysis().get("bytes accessed", "nan")), peak)


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


def tensors(sizes: list[tuple[int, ...]]) -> list[jax.Array]:
    """Random parameters of these shapes."""
    keys = jax.random.split(jax.random.key(1), len(sizes))
    return [jax.random.normal(k, s) for k, s in zip(keys, sizes, strict=True)]


def over_adam(shapes: dict[str, list[tuple[int, ...]]]) -> None:
    """Print the table of ratios."""
    theta = lopt.init_meta_parameters(jax.random.key(0))
    print(f"{'tensors':34}{'time / adam':>12}{'by options':>12}{'bytes / adam':>14}", end="")
    print(f"{'peak / params':>15}")
    for name, sizes in shapes.items():
        params = tensors(sizes)
        both = lopt.star(theta), optax.adam(1e-3)
        (star, adam), tuned = (
            [compiled(o, params, options) for o in both]
            for options in (None, lopt.compiler_options())
        )
        times = best_times(star.call, adam.call, *(one.call for one in tuned))
        own = sum(p.nbytes for p in params)
        print(
            f"{name:34}{times[0] / times[1]:12.2f}{times[2] / times[3]:12.2f}"
            f"{star.bytes_moved / adam.bytes_moved:14.2f}{star.peak / own:15.2f}",
            flush=True,
        )


def over_muon(shapes: dict[str, list[tuple[int, ...]]]) -> None:
    """Print the times of an orthogonalized update over those of Muon and of STAR."""
    theta = lopt.init_meta_parameters(jax.random.key(0))
    config = replace(lopt.STAR, normalize_update=True, orthogonalize_update=True)
    print(f"{'tensors':34}{'time / muon':>12}{'time / star':>12}")
    for name, sizes in shapes.items():
        params = tensors(sizes)
        optimizers = lopt.star(theta, config), optax.contrib.muon(1e-3), lopt.star(theta)
        own, *others = best_times(*(compiled(o, params).call for o in optimizers))
        print(f"{name:34}{own / others[0]:12.2f}{own / others[1]:12.2f}", flush=True)


def over_single(counts: tuple[int, ...] = (8, 64)) -> None:
    """Print the cost a parameter of vectorized updates over a single one's."""
    params = tensors(MLP)
    single = compiled(lopt.star(lopt.init_meta_parameters(jax.random.key(0))), params)
    for count in counts:
        keys = jax.random.split(jax.random.key(0), count)
        thetas = jax.vmap(lopt.init_meta_parameters)(keys)
        many = jax.tree.map(lambda p, n=count: jnp.stack([p] * n), params)
        vectorized = optax.GradientTransformation(
            lambda p, t=thetas: jax.vmap(lambda t, p: lopt.star(t).init(p))(t, p),
            lambda g, s, p, t=thetas: jax.vmap(lambda t, g, s, p: lopt.star(t).update(g, s, p))(
                t, g, s, p
            ),
        )
        times = best_times(compiled(vectorized, many).call, single.call)
        print(f"{count:3d} particles of the MLP: {times[0] / times[1] / count:.2f} of the single")


def stages() -> None:
    """Print what the stages of an update of a 784 x 128 tensor cost over Adam's whole update."""
    theta, (p, *_) = lopt.init_meta_parameters(jax.random.key(0)), tensors(MLP)
    g, decays = jnp.cos(p), learned_decays(theta, lopt.STAR)
    old = lopt.star(theta).init(p).accumulators
    a = jax.jit(update_accumulators)(old, g, decays)

    def squares(a: Any, g: jax.Array, p: jax.Array) -> Any:
        return mean_squares(tensor_features(g, p, a, scales(a)))

    def network(of: Callable, a: Any, g: jax.Array, p: jax.Array, sums: Any) -> jax.Array:
        factors = scales(a)
        x = tensor_features(g, p, a, factors)
        direction, size, nominal = apply_network(theta.network, x, sums, factors, jnp.int32(9), 3)
        return direction * of(1e-3 * size) + x.momentum[0] * of(1e-3 * nominal)

    sums = jax.jit(squares)(a, g, p)
    named: dict[str, tuple[Callable, tuple]] = {
        "accumulators": (update_accumulators, (old, g, decays)),
        "mean squares of 16 features": (squares, (a, g, p)),
        "network without exponentials": (partial(network, lambda x: x), (a, g, p, sums)),
        "network": (partial(network, jnp.exp), (a, g, p, sums)),
    }
    calls = []
    for function, arguments in named.values():
        call = jax.jit(function)
        calls.append(lambda c=call, x=arguments: jax.block_until_ready(c(*x)))
        calls[-1]()
    *times, star, adam = best_times(
        *calls, *(compiled(o, p).call for o in (lopt.star(theta), optax.adam(1e-3)))
    )
    for name, seconds in zip([*named, "whole update"], [*times, star], strict=True):
        print(f"{name:34}{seconds / adam:12.2f}")


def main(arguments: list[str]) -> None:
    """Print the tables asked for."""
    print(f"{jax.devices()[0].device_kind}, {jax.device_count()} device(s), jax {jax.__version__}")
    if "--particles" in arguments:
        over_single()
    if "--stages" in arguments:
        stages()
    shapes = SHAPES | (LARGE if "--large" in arguments else {})
    if "--orthogonal" in arguments:
        over_muon(shapes)
    if not {"--particles", "--stages", "--orthogonal"} & set(arguments):
        over_adam(shapes)


if __name__ == "__main__":
    main(sys.argv[1:])
