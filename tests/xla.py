"""XLA as it is shipped, against the plainer code generation of most tests (see conftest.py)."""

#: For ``jax.jit(f, compiler_options=SHIPPED)`` in tests of numbers and speeds.
SHIPPED = {
    "xla_cpu_use_fusion_emitters": True,
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
    "xla_cpu_parallel_codegen_split_count": 32,
}
