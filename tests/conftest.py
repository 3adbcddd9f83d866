"""Settings shared by every test: hypothesis profiles, one compilation cache, no network."""

import atexit
import gc
import os
import shutil
import tempfile
from pathlib import Path

# The plain test of a formula must not depend on how many threads BLAS takes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# Every worker, and every process that a test starts, shares what JAX has compiled. This stands
# here, and not in a hook, because another conftest may import JAX before any hook is called.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    folder = tempfile.mkdtemp(prefix="lopt-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

# Compiled by XLA's plainer code generator, without optimization and in one piece rather than in 32
# that are compiled at once, the tests' small programs take a quarter of the time. Tests of shipped
# numbers say `compiler_options=SHIPPED` (tests/xla.py).
if os.environ["JAX_PLATFORMS"] == "cpu" and "XLA_FLAGS" not in os.environ:
    os.environ["XLA_FLAGS"] = (
        "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0 "
        "--xla_llvm_disable_expensive_passes=true --xla_cpu_parallel_codegen_split_count=1"
    )

import pytest
from hypothesis import HealthCheck, settings

# What JAX and SymPy make lives long: looking for garbage after every 700 objects finds little.
gc.set_threshold(50_000, 20, 20)

# Files that take longer than a few seconds, the longest first: each is marked `slow`. Workers take
# whole files (`--dist loadfile`), in this order, so that they end together.
SLOW_FILES = (
    "lopt/tasks/test_suites.py",
    "lopt/monitor/test_star_response.py",
    "lopt/meta/test_durability.py",
    "notebooks/test_notebooks.py",
    "lopt/cli/test_lopt_command.py",
    "lopt/meta/test_processes.py",
    "lopt/monitor/test_inspect.py",
    "lopt/optimizers/test_contract.py",
    "lopt/meta/test_estimators.py",
    "theory/test_mutations.py",
    "lopt/optimizers/test_parity.py",
    "lopt/meta/test_run.py",
    "test_pages.py",
    "lopt/monitor/test_linearize.py",
    "lopt/test_docstrings.py",
    "docs/test_site.py",
    "lopt/meta/test_pes.py",
    "lopt/meta/test_suite_evaluation.py",
    "lopt/meta/test_scheduled_evaluation.py",
    "lopt/meta/test_mixture.py",
    "lopt/monitor/test_curvature.py",
    "lopt/optimizers/test_scale_by_star.py",
    "lopt/tasks/test_family.py",
    "test_public.py",
    "figures/engine/test_pictures.py",
    "lopt/monitor/test_differentiable.py",
    "lopt/cli/test_look_commands.py",
    "theory/test_cli.py",
    "lopt/optimizers/test_reference.py",
    "lopt/meta/test_double_precision.py",
    "lopt/meta/test_linear_training.py",
    "lopt/cli/test_startup.py",
    "theory/test_statements.py",
    "nqm/test_conditions.py",
    "nqm/test_joint_spectral_radius.py",
    "nqm/test_switched.py",
    "lopt/tasks/test_models.py",
    "nqm/test_jax_namespace.py",
    "nqm/test_array_namespaces.py",
    "lopt/tasks/test_language.py",
    "nqm/test_robust.py",
    "lopt/optimizers/test_constants.py",
    "lopt/meta/test_checkpoints.py",
    "figures/monitor/test_edge.py",
    "lopt/meta/test_rules.py",
    "lopt/meta/test_trainer_estimators.py",
    "lopt/meta/test_evaluate.py",
    "lopt/tasks/test_stream.py",
    "lopt/monitor/test_enclosure.py",
    "lopt/optimizers/test_leaves.py",
    "lopt/tasks/test_images.py",
    "lopt/cli/test_damaged_runs.py",
    "lopt/tasks/test_quadratic.py",
    "lopt/optimizers/test_reduction.py",
    "lopt/meta/test_exact.py",
    "lopt/meta/test_estimator_variance.py",
    "lopt/meta/test_watch.py",
    "lopt/optimizers/test_state.py",
    "lopt/tasks/test_wrappers.py",
    "lopt/monitor/test_probe.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark slow files and put them first; leave out what is thorough unless the profile is."""
    if os.environ.get("HYPOTHESIS_PROFILE") != "thorough":
        left = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]
    tests = Path(__file__).parent
    order = {tests / name: place for place, name in enumerate(SLOW_FILES)}
    if gone := [str(path) for path in order if not path.exists()]:
        raise pytest.UsageError(f"SLOW_FILES names files that are gone: {', '.join(gone)}")
    items.sort(key=lambda item: order.get(item.path, len(order)))
    for item in items:
        if item.path in order:
            item.add_marker("slow")


settings.register_profile(
    "default",
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.register_profile("thorough", parent=settings.get_profile("default"), max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
