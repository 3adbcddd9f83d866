"""How XLA should compile steps with STAR on a CPU."""

from typing import Any

import jax

# XLA keeps to 256 bits where a CPU has 512, and adds in the order that is written, which leaves
# the sums of squares of the features scalar. Not a number and infinities stay what they are.
CPU = {
    "xla_cpu_prefer_vector_width": 512,
    "xla_cpu_enable_fast_math": True,
    "xla_cpu_fast_math_honor_nans": True,
    "xla_cpu_fast_math_honor_infs": True,
    "xla_cpu_fast_math_honor_division": True,
    "xla_cpu_fast_math_honor_functions": True,
}


def compiler_options() -> dict[str, Any] | None:
    """What to compile a training step with STAR with, ``jax.jit(step, compiler_options=...)``.

    On a CPU the whole width of its vectors, and sums in whatever order is quick: results change by
    rounding, as between machines. None elsewhere. Meta-training and evaluation use it;
    ``python -m benchmarks.optimizer_step`` measures what it gains.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> mean = jax.jit(jnp.mean, compiler_options=compiler_options())
    >>> float(mean(jnp.arange(5.0))), bool(jnp.isnan(mean(jnp.array([1.0, jnp.nan]))))
    (2.0, True)
    """
    return dict(CPU) if jax.default_backend() == "cpu" else None
