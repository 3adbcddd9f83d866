"""One training step of the ConvNet over many particles: lax's convolution over the shifted one.

    python -m benchmarks.convnet [SIDE ...]

Every particle has its own parameters and batch, as in meta-training. Prints, for square images of
each side, the ratio of the times of loss and gradient (interleaved in one run, best of several)
under `jax.lax.conv_general_dilated`, which XLA turns into one grouped convolution, and under the
`convolution_by_shifts` that the task uses; and the memory that each takes.
"""

import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp

from lopt.tasks import networks
from lopt.tasks.data.datasets import Images
from lopt.tasks.images import image_task

PARTICLES, BATCH, REPEATS = 8, 128, 5


class Compiled(NamedTuple):
    """Loss and gradient of all particles."""

    call: Callable[[], Any]
    seconds_to_compile: float
    temporary: int


def compiled(side: int, convolution: Callable[..., jax.Array]) -> Compiled:
    """Loss and gradient of the task's ConvNet with this convolution in it."""
    keys = jax.random.split(jax.random.key(0), 3)
    shape = (PARTICLES, BATCH, side, side, 3)
    images = jax.random.randint(keys[0], shape, 0, 256).astype(jnp.uint8)
    labels = jax.random.randint(keys[1], shape[:2], 0, 10).astype(jnp.uint8)
    batches = Images(images, labels)
    network = networks.ConvNet((32, 64, 64), 10)
    task = image_task("convnet", jax.tree.map(lambda x: x[0], batches), network, classes=10)
    with mock.patch.object(networks, "convolution_by_shifts", convolution):
        params = jax.vmap(task.init)(jax.random.split(keys[2], PARTICLES))
        step = jax.vmap(jax.value_and_grad(task.loss), in_axes=(0, None, 0))
        start = time.perf_counter()
        program = jax.jit(step).lower(params, keys[0], batches).compile()
    seconds = time.perf_counter() - start
    temporary = program.memory_analysis().temp_size_in_bytes
    return Compiled(lambda: program(params, keys[0], batches), seconds, temporary)


def best_times(*calls: Callable[[], Any]) -> list[float]:
    """The best time of each call, the calls interleaved."""
    best = [float("inf")] * len(calls)
    for _ in range(REPEATS):
        for index, call in enumerate(calls):
            start = time.perf_counter()
            jax.block_until_ready(call())
            best[index] = min(best[index], time.perf_counter() - start)
    return best


def main(arguments: list[str]) -> None:
    """Print the table."""
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, {PARTICLES} particles")
    print(f"{'side':>4}{'lax / shifted':>15}{'shifted s':>11}{'lax MB':>9}{'shifted MB':>12}")
    for side in [int(a) for a in arguments] or [16, 32]:
        lax = compiled(side, jax.lax.conv_general_dilated)
        shifted = compiled(side, networks.convolution_by_shifts)
        times = best_times(lax.call, shifted.call)
        print(
            f"{side:4d}{times[0] / times[1]:15.2f}{times[1]:11.3f}"
            f"{lax.temporary / 1e6:9.0f}{shifted.temporary / 1e6:12.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
