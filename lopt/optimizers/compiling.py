"""How XLA should compile steps with STAR on a CPU."""

from typing import Any

import jax

# XLA keeps to 256 bits where a CPU has 512; STAR's elementwise loops gain from all of them.
CPU = {"xla_cpu_prefer_vector_width": 512}
# XLA's plainer generator of code without optimization: a third of the time to compile, and loops
# over many elements run several times as long.
QUICK = {
    "xla_cpu_use_fusion_emitters": False,
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}
# Below so many parameters a program that runs now and then takes longer to compile than to run.
FEW_PARAMETERS = 2**14


def compiler_options() -> dict[str, Any] | None:
    """Return the options for compiling a step with STAR, ``jax.jit(step, compiler_options=...)``.

    On a CPU the whole width of its vectors; None elsewhere. Meta-training and evaluation use it.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> mean = jax.jit(jnp.mean, compiler_options=compiler_options())
    >>> float(mean(jnp.arange(5.0)))
    2.0
    """
    return dict(CPU) if jax.default_backend() == "cpu" else None


def quick_options(parameters: int) -> dict[str, Any] | None:
    """Return the options for a program over `parameters` parameters that runs rarely.

    On a CPU with few parameters they make it compile quickly; None elsewhere.
    """
    few = parameters < FEW_PARAMETERS and jax.default_backend() == "cpu"
    return dict(QUICK) if few else None
