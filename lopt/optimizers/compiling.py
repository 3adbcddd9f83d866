"""How XLA should compile steps with STAR on a CPU."""

from typing import Any

import jax

# XLA keeps to 256 bits where a CPU has 512; STAR's elementwise loops gain from all of them.
CPU = {"xla_cpu_prefer_vector_width": 512}


def compiler_options() -> dict[str, Any] | None:
    """What to compile a training step with STAR with, ``jax.jit(step, compiler_options=...)``.

    On a CPU the whole width of its vectors; None elsewhere. Meta-training and evaluation use it.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> mean = jax.jit(jnp.mean, compiler_options=compiler_options())
    >>> float(mean(jnp.arange(5.0)))
    2.0
    """
    return dict(CPU) if jax.default_backend() == "cpu" else None
