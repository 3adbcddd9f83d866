"""What a training step of the ConvNet costs by size and layout, over the form that is meta-trained.

    python -m benchmarks.convnet [SIDE ...]

Every particle has its own parameters and batch, as in meta-training. Prints the time of loss and
gradient of one of four particles, divided by that of the form in figures/star/settings.py (16x16
images, batch 64, 16, 32 and 32 channels) where particles follow each other; all interleaved in one
run, best of several. The layouts are `convolution_by_shifts`, which the task uses, with all
particles in one program and with one after the other; and `jax.lax.conv_general_dilated`, which XLA
turns into one grouped convolution of all particles. Inside a loop, where XLA's CPU code for it is
far slower, it is left out. The last column is the memory of the first layout.
"""

import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

import jax

from lopt.tasks import networks
from lopt.tasks.data.datasets import Images
from lopt.tasks.images import image_task

PARTICLES, REPEATS = 4, 5
FULL, HALF = (32, 64, 64), (16, 32, 32)
SHIFTED, LAX = networks.convolution_by_shifts, jax.lax.conv_general_dilated


class Compiled(NamedTuple):
    """Loss and gradient of all particles."""

    call: Callable[[], Any]
    temporary: int


def compiled(
    side: int,
    batch: int,
    channels: tuple[int, ...],
    convolution: Callable[..., jax.Array] = SHIFTED,
    *,
    together: bool,
) -> Compiled:
    """Loss and gradient of the task's ConvNet with this convolution in it."""
    keys = jax.random.split(jax.random.key(0), 3)
    shape = (PARTICLES, batch, side, side, 3)
    images = jax.random.randint(keys[0], shape, 0, 256).astype("uint8")
    labels = jax.random.randint(keys[1], shape[:2], 0, 10).astype("uint8")
    batches = Images(images, labels)
    network = networks.ConvNet(channels, 10)
    task = image_task("convnet", jax.tree.map(lambda x: x[0], batches), network, classes=10)

    def one(both: Any) -> Any:
        return task.value_and_grad(both[0], keys[0], both[1])

    with mock.patch.object(networks, "convolution_by_shifts", convolution):
        params = jax.vmap(task.init)(jax.random.split(keys[2], PARTICLES))
        step = jax.vmap(one) if together else lambda both: jax.lax.map(one, both)
        program = jax.jit(step).lower((params, batches)).compile()
    temporary = program.memory_analysis().temp_size_in_bytes
    return Compiled(lambda: program((params, batches)), temporary)


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
    print(f"{'side batch  channels':20}{'in one':>9}{'in turn':>9}{'lax':>9}{'MB':>7}")
    form = compiled(16, 64, HALF, together=False)
    sides = [int(a) for a in arguments] or [16, 32]
    sizes = [(side, batch, FULL) for side in sides for batch in (64, 128)]
    for side, batch, channels in [(16, 64, HALF), *sizes]:
        each = [
            compiled(side, batch, channels, together=True),
            compiled(side, batch, channels, together=False),
            compiled(side, batch, channels, LAX, together=True),
        ]
        base, *times = best_times(form.call, *(c.call for c in each))
        ratios = "".join(f"{found / base:9.2f}" for found in times)
        widths = "x".join(map(str, channels))
        print(f"{side:4d}{batch:6d}  {widths:8}{ratios}{each[0].temporary / 1e6:7.0f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
