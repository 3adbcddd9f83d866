"""What a training loop pays for STAR in place of optax.adam: gradient, update, apply_updates.

    python -m benchmarks.training_loop [--general]

Prints, for ReLU networks on batches of 128 images, one step of the loop with STAR over one with
Adam (``--general``: with ``lopt.scale_by_star("general")``, weight decay and learning rate, and
with optax's Muon), both pipelined (the next step is dispatched before the last one has ended) and
compiled as `jax.jit` does and with `lopt.compiler_options`; and the ratio of their compile times.
The two loops are interleaved in one run; the best of several counts.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

import lopt

WIDTHS = {"0.12 M": (784, 128, 128, 10), "0.8 M": (784, 784, 256, 10)}
BATCH, STEPS, REPEATS = 128, 20, 7


def predict(params: list[dict[str, jax.Array]], x: jax.Array) -> jax.Array:
    """Return the logits of the network."""
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


def loop(
    optimizer: optax.GradientTransformation, widths: tuple[int, ...], options: Any
) -> tuple[float, Callable[[], None]]:
    """Return the seconds that a step takes to compile, and a call of `STEPS` pipelined steps."""
    keys = jax.random.split(jax.random.key(0), len(widths))
    params = [
        {"w": jax.random.normal(k, (n, m)) / n**0.5, "b": jnp.zeros(m)}
        for k, n, m in zip(keys[1:], widths, widths[1:], strict=False)
    ]
    x = jax.random.uniform(keys[0], (BATCH, widths[0]))
    labels = jnp.arange(BATCH) % widths[-1]

    def loss(params: Any) -> jax.Array:
        logits = predict(params, x)
        return jnp.mean(optax.losses.softmax_cross_entropy_with_integer_labels(logits, labels))

    def step(params: Any, state: Any) -> Any:
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    carry = [params, optimizer.init(params)]
    lowered = jax.jit(step, donate_argnums=(0, 1)).lower(*carry)
    begin = time.perf_counter()
    compiled = lowered.compile(compiler_options=options)
    seconds = time.perf_counter() - begin

    def run() -> None:
        for _ in range(STEPS):
            carry[:] = compiled(*carry)
        jax.block_until_ready(carry)

    return seconds, run


def vector_width() -> str:
    """Return the widest vectors that the processor says it has, as far as Linux tells."""
    try:
        flags = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return "vectors of unknown width"
    return f"{512 if ' avx512f' in flags else 256 if ' avx2' in flags else 128}-bit vectors"


def general() -> optax.GradientTransformation:
    """The shipped optimizer as it takes the place of AdamW."""
    return optax.chain(
        lopt.scale_by_star("general"),
        optax.add_decayed_weights(0.01),
        optax.scale_by_learning_rate(1e-3),
    )


def main(arguments: list[str]) -> None:
    """Print the ratios."""
    device = jax.devices()[0]
    print(f"{device.device_kind}, {vector_width() if device.platform == 'cpu' else 'accelerator'}")
    others = {"star": lopt.star(lopt.init_meta_parameters(jax.random.key(0)))}
    if "--general" in arguments:
        others = {"general": general(), "muon": optax.contrib.muon(1e-3)}
    for label, other in others.items():
        print(f"{label:12}{'step / adam':>13}{'by options':>12}{'compile / adam':>16}")
        compare(other)


def compare(other: optax.GradientTransformation) -> None:
    """Print a line for each network: an optimizer over Adam."""
    for name, widths in WIDTHS.items():
        made = [
            loop(optimizer, widths, options)
            for options in (None, lopt.compiler_options())
            for optimizer in (other, optax.adam(1e-3))
        ]
        best = [float("inf")] * len(made)
        for _ in range(REPEATS):
            for index, (_, run) in enumerate(made):
                begin = time.perf_counter()
                run()
                best[index] = min(best[index], time.perf_counter() - begin)
        compiling = made[0][0] / made[1][0]
        print(
            f"{name:12}{best[0] / best[1]:13.2f}{best[2] / best[3]:12.2f}{compiling:16.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
